// SPDX-License-Identifier: GPL-2.0 OR MIT
/* platform.c - a counter that threads share, in the words that all headers are written in. Build: cc $(pkg-config --cflags rmaplab-core) platform.c */
#include <assert.h>
#include <stdio.h>

#include <platform.h>

static u64 hits;

int main(void)
{
	u64 seen = rmap_read(&hits);

	/* From an even value only; `seen` is brought up to date where others were faster. */
	while (!(seen & 1) && !rmap_try_cmpxchg_acquire(&hits, &seen, seen + 1))
		rmap_cpu_relax();
	rmap_add_release(&hits, 1);
	assert(rmap_read_acquire(&hits) == 2);
	printf("%llu hits\n", (unsigned long long)rmap_read(&hits));
	return 0;
}
