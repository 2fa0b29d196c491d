// SPDX-License-Identifier: GPL-2.0 OR MIT
/* linear.c - a scheme of one's own: parity of the ID. It errs, and a test of it says so. Build: cc $(pkg-config --cflags rmaplab-core) linear.c */
#include <assert.h>
#include <stdio.h>

#include <linear.h>

static u32 one(u32 order)
{
	(void)order;
	return 1;
}

static u64 parity(const struct rmap_mm *mm, u32 order, u32 k)
{
	(void)order, (void)k;
	return mm->id & 1;
}

static bool all_or_none(const struct rmap_folio *folio, const struct rmap_mm *mm, u64 n)
{
	return rmap_read(&folio->value[0]) == n * parity(mm, 0, 0);
}

static u64 never(u32 order)
{
	(void)order;
	return 0;
}

/* A match proves nothing, whatever the mapcount: the answer is "unknown". */
static const struct rmap_linear odd = {
	.values = one, .addend = parity, .match = all_or_none, .trusted = never, .beyond = RMAP_UNKNOWN,
};

DEFINE_RMAP_LINEAR(rmap_odd, odd, add_return)

int main(void)
{
	const struct rmap_mm five = { .id = 5 }, six = { .id = 6 }, seven = { .id = 7 };
	struct rmap_folio folio = { .refcount = 3, .order = 2 };

	rmap_odd_set_first(&folio, &five, 0, 1, 0);
	rmap_odd_map(&folio, &seven, 0, 1, 0);
	assert(rmap_odd_verdict(&folio, &five) == RMAP_UNKNOWN);
	rmap_odd_map(&folio, &six, 0, 1, 0);
	assert(rmap_odd_verdict(&folio, &five) == RMAP_IS_SHARED);
	rmap_odd_unmap(&folio, &six, 0, 1, 0);
	assert(!rmap_odd_cow_reuse(&folio, &five));
	printf("an odd one cannot be told from another\n");
	return 0;
}
