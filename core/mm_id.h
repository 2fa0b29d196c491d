/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * mm_id.h - two slots {MM ID, mapcount} and a maybe-shared flag, under a bit spinlock.
 *
 * The rules of Linux 6.15, <20250303163014.1128035-1-david@redhat.com>, as defined in
 * docs/schemes.md; this code is not Linux'. Theorem `mm_id_never_false_exclusive`, proofs/.
 *
 * The slots' counts are plain: nobody reads them without the lock.
 *
 * A mapcount that has no room saturates (mapcount.h); slots and their counts stay as they are
 * then, and the flag stays set.
 *
 *	word = ID of slot 0 (bits 0-30) | lock (31) | ID of slot 1 (32-62) | maybe shared (63), as in Linux
 */
#ifndef RMAP_MM_ID_H
#define RMAP_MM_ID_H

#include "bit_lock.h"
#include "folio.h"
#include "mapcount.h"

#define RMAP_MM_ID_MASK 0x7fffffffull
#define RMAP_MM_ID_SHARED (1ull << 63)

static __always_inline u32 rmap_mm_id_get(u64 word, int slot)
{
	return (u32)(word >> (32 * slot)) & RMAP_MM_ID_MASK;
}

static __always_inline u64 rmap_mm_id_set(u64 word, int slot, u32 id)
{
	return (word & ~(RMAP_MM_ID_MASK << (32 * slot))) | ((u64)id << (32 * slot));
}

/* The slot that holds @id, or -1. */
static __always_inline int rmap_mm_id_slot(u64 word, u32 id)
{
	if (rmap_mm_id_get(word, 0) == id)
		return 0;
	return rmap_mm_id_get(word, 1) == id ? 1 : -1;
}

/* @nr more mappings of @id; the lock is held. Return: the new word. */
static __always_inline u64 rmap_mm_id_locked_map(struct rmap_folio *folio, u64 word, u32 id, s32 nr)
{
	const s32 total = rmap_mapcount_after(rmap_read(&folio->mapcount), nr);
	int slot = rmap_mm_id_slot(word, id);

	rmap_write(&folio->mapcount, total);
	if (unlikely(total < 0))
		return word | RMAP_MM_ID_SHARED;
	if (likely(slot >= 0)) {
		rmap_plain_write(&folio->count[slot], rmap_plain_read(&folio->count[slot]) + nr);
		return word;
	}
	slot = rmap_mm_id_slot(word, 0);
	if (slot < 0)
		return word | RMAP_MM_ID_SHARED;
	rmap_plain_write(&folio->count[slot], nr);
	word = rmap_mm_id_set(word, slot, id);
	return total == nr ? word : word | RMAP_MM_ID_SHARED;
}

/* @nr mappings of @id less; the lock is held. Return: the new word. */
static __always_inline u64 rmap_mm_id_locked_unmap(struct rmap_folio *folio, u64 word, u32 id, s32 nr)
{
	const s32 total = rmap_mapcount_after(rmap_read(&folio->mapcount), -nr);
	const int slot = rmap_mm_id_slot(word, id);
	int i;

	rmap_write(&folio->mapcount, total);
	if (unlikely(total < 0))
		return word | RMAP_MM_ID_SHARED;
	if (likely(slot >= 0)) {
		s32 left = rmap_plain_read(&folio->count[slot]) - nr;

		if (left <= 0) {
			/* Below zero: some mappings came while no slot was free. */
			left = 0;
			word = rmap_mm_id_set(word, slot, 0);
		}
		rmap_plain_write(&folio->count[slot], left);
	}
	if (!total)
		return word & ~RMAP_MM_ID_SHARED;
	for (i = 0; i < 2; i++)
		if (rmap_mm_id_get(word, i) && rmap_plain_read(&folio->count[i]) == total)
			return word & ~RMAP_MM_ID_SHARED;
	return word;
}

static __always_inline void rmap_mm_id_map(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page, s32 nr,
					   int entire)
{
	const u64 word = rmap_bit_lock(&folio->word);

	(void)page, (void)entire;
	rmap_bit_unlock(&folio->word, rmap_mm_id_locked_map(folio, word, mm->id, nr));
}

static __always_inline void rmap_mm_id_unmap(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page, s32 nr,
					     int entire)
{
	const u64 word = rmap_bit_lock(&folio->word);

	(void)page, (void)entire;
	rmap_bit_unlock(&folio->word, rmap_mm_id_locked_unmap(folio, word, mm->id, nr));
}

static __always_inline void rmap_mm_id_set_first(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page,
						 s32 nr, int entire)
{
	(void)page, (void)entire;
	rmap_write(&folio->mapcount, nr);
	folio->count[0] = nr;
	rmap_write(&folio->word, (u64)mm->id);
}

/* Map the pages first: in between, the folio must not look as if the caller had left. */
static __always_inline void rmap_mm_id_remap(struct rmap_folio *folio, const struct rmap_mm *mm)
{
	u64 word = rmap_bit_lock(&folio->word);

	word = rmap_mm_id_locked_map(folio, word, mm->id, 1 << folio->order);
	word = rmap_mm_id_locked_unmap(folio, word, mm->id, 1);
	rmap_bit_unlock(&folio->word, word);
}

/* One flag, one load: no lock. The page-table lock orders it against the caller's own updates. */
static __always_inline enum rmap_verdict rmap_mm_id_verdict(const struct rmap_folio *folio, const struct rmap_mm *mm)
{
	(void)mm;
	return rmap_read(&folio->word) & RMAP_MM_ID_SHARED ? RMAP_IS_SHARED : RMAP_EXCLUSIVE;
}

/* Under the lock the mapcount stands still, and so bounds the refcount from below. */
static __always_inline bool rmap_mm_id_cow_reuse(struct rmap_folio *folio, const struct rmap_mm *mm)
{
	const u64 word = rmap_bit_lock(&folio->word);
	bool reuse;

	(void)mm;
	reuse = !(word & RMAP_MM_ID_SHARED) && rmap_read(&folio->refcount) == rmap_read(&folio->mapcount);
	rmap_bit_unlock(&folio->word, word);
	return reuse;
}

#endif /* RMAP_MM_ID_H */
