/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * owner_counter.h - the first mapper, and a counter of everybody else's mappings.
 *
 * The reviewer's idea against <20231124132626.235350-1-david@redhat.com>. Choosing and
 * forgetting the owner is more than an addition, hence the bit spinlock; owner and counter
 * share a word, so that one load answers. Theorem `owner_counter_never_false_exclusive`.
 *
 *	word = others' mappings (bits 0-30) | lock (31) | owner (32-63)
 *
 * A mapcount that has no room saturates (mapcount.h); the word becomes RMAP_OWNER_SATURATED
 * then, which is nobody's, and stays so.
 */
#ifndef RMAP_OWNER_COUNTER_H
#define RMAP_OWNER_COUNTER_H

#include "bit_lock.h"
#include "folio.h"
#include "mapcount.h"

/* One mapping by others than nobody. */
#define RMAP_OWNER_SATURATED 1ull

static __always_inline void rmap_owner_add(struct rmap_folio *folio, const struct rmap_mm *mm, s32 nr)
{
	const u64 word = rmap_bit_lock(&folio->word);
	const s32 before = rmap_read(&folio->mapcount);
	const s32 after = rmap_mapcount_after(before, nr);
	u64 others = (u32)word;
	u32 owner = (u32)(word >> 32);

	rmap_write(&folio->mapcount, after);
	if (unlikely(after < 0)) {
		rmap_bit_unlock(&folio->word, RMAP_OWNER_SATURATED);
		return;
	}
	if (!before)
		owner = mm->id;
	if (owner != mm->id)
		others += (u64)(s64)nr;
	if (!after)
		owner = 0;
	rmap_bit_unlock(&folio->word, (u64)owner << 32 | others);
}

static __always_inline void rmap_owner_map(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page, s32 nr,
					   int entire)
{
	(void)page, (void)entire;
	rmap_owner_add(folio, mm, nr);
}

static __always_inline void rmap_owner_unmap(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page, s32 nr,
					     int entire)
{
	(void)page, (void)entire;
	rmap_owner_add(folio, mm, -nr);
}

static __always_inline void rmap_owner_set_first(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page,
						 s32 nr, int entire)
{
	(void)page, (void)entire;
	rmap_write(&folio->mapcount, nr);
	rmap_write(&folio->word, (u64)mm->id << 32);
}

static __always_inline void rmap_owner_remap(struct rmap_folio *folio, const struct rmap_mm *mm)
{
	rmap_owner_add(folio, mm, (1 << folio->order) - 1);
}

static __always_inline enum rmap_verdict rmap_owner_answer(u64 word, const struct rmap_mm *mm)
{
	word &= ~RMAP_LOCK_BIT;
	/* No owner means no mappings; any other word but {caller, 0} has somebody else's. */
	return !word || word == (u64)mm->id << 32 ? RMAP_EXCLUSIVE : RMAP_IS_SHARED;
}

static __always_inline enum rmap_verdict rmap_owner_verdict(const struct rmap_folio *folio, const struct rmap_mm *mm)
{
	return rmap_owner_answer(rmap_read(&folio->word), mm);
}

/* Under the lock the mapcount stands still, and so bounds the refcount from below. */
static __always_inline bool rmap_owner_cow_reuse(struct rmap_folio *folio, const struct rmap_mm *mm)
{
	const u64 word = rmap_bit_lock(&folio->word);
	bool reuse;

	reuse = rmap_owner_answer(word, mm) == RMAP_EXCLUSIVE &&
		rmap_read(&folio->refcount) == rmap_read(&folio->mapcount);
	rmap_bit_unlock(&folio->word, word);
	return reuse;
}

#endif /* RMAP_OWNER_COUNTER_H */
