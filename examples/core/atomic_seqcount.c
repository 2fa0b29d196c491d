// SPDX-License-Identifier: GPL-2.0 OR MIT
/* atomic_seqcount.c - two words that belong together, with one exclusive or many shared writers. Build: cc $(pkg-config --cflags rmaplab-core) atomic_seqcount.c */
#include <assert.h>
#include <stdio.h>

#include <atomic_seqcount.h>

/* The kind is the count's type; nothing below says it again. */
static struct rmap_seqcount_cmpxchg count = RMAP_SEQCOUNT_INIT;
static u64 calls, bytes;

static void account(u64 size)
{
	const bool exclusive = rmap_write_begin(&count);

	if (exclusive) {
		rmap_write(&calls, rmap_read(&calls) + 1);
		rmap_write(&bytes, rmap_read(&bytes) + size);
	} else {
		rmap_add(&calls, 1);
		rmap_add(&bytes, size);
	}
	rmap_write_end(&count, exclusive);
}

/* Readers change nothing, and may be given a const pointer. */
static u64 mean(const struct rmap_seqcount_cmpxchg *s)
{
	u64 n, sum;

	rmap_read_section(s) {
		n = rmap_read(&calls);
		sum = rmap_read(&bytes);
	}
	return n ? sum / n : 0;
}

int main(void)
{
	rmap_seq start;

	account(10);
	account(30);
	assert(mean(&count) == 20);
	/* For who gives up instead of waiting. */
	assert(rmap_read_try_begin(&count, &start) && !rmap_read_retry(&count, start));
	printf("mean of %llu\n", (unsigned long long)mean(&count));
	return 0;
}
