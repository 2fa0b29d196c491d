/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * folio.h - the state words of a folio, and what an MM brings along.
 *
 * One layout for all schemes, so that one allocation serves any of them. In a
 * kernel these are fields of struct folio and struct mm_struct. Definitions of
 * the schemes: docs/schemes.md.
 *
 * Which operations on one folio may run at the same time: all of them with all of them, and with themselves, but
 * NAME_set_first(), which runs alone. Two of one MM on the same page exclude each other by the page table lock.
 * The caller must hold:
 *
 *   NAME_set_first()	the only pointer to the folio
 *   NAME_map()		the lock of the page tables that it changes, and a reference for each mapping (rmap_get() before)
 *   NAME_unmap()	that lock; the references are dropped after it (rmap_put())
 *   NAME_remap()	that lock; 2^order - 1 references more (rmap_get() before)
 *   NAME_verdict()	a mapping by its MM that cannot go, so the page table lock; without one it is a guess that is
 *			old when it arrives. A reference, lest the folio itself goes.
 *   NAME_cow_reuse()	as NAME_verdict(), with the lock
 *   rmap_get()		a reference, or a mapping that cannot go
 *   rmap_put()		the references it drops
 *
 * A page table lock is a spinlock: nobody is preempted inside an update. Where it is a lock that sleeps, platform.h must
 * disable preemption (rmap_preempt_disable()). None of these is called from an interrupt handler but rmap_get() and rmap_put().
 */
#ifndef RMAP_FOLIO_H
#define RMAP_FOLIO_H

#include "atomic_seqcount.h"

#define RMAP_MAX_ORDER 21
#define RMAP_ID_BITS 24
#define RMAP_MAX_VALUES 24
#define RMAP_MAX_SUBIDS 8

/* Answers; the numbers are those of rmaplab.trace.Verdict. */
enum rmap_verdict { RMAP_UNKNOWN = 0, RMAP_EXCLUSIVE = 1, RMAP_IS_SHARED = 2 };

/**
 * struct rmap_mm - an MM as the schemes see it
 * @id: rmap ID, 1 .. 2^31 - 1
 * @posted: sub-IDs of `generations` by order (set up once, when the MM is made)
 * @safe: sub-IDs of `generations-safe` by order
 *
 * A row is one cache line: an update reads the row of its folio's order only.
 */
struct rmap_mm {
	u32 id;
	u64 posted[16][RMAP_MAX_SUBIDS] __rmap_aligned(RMAP_CACHELINE);
	u64 safe[RMAP_MAX_ORDER + 1][RMAP_MAX_SUBIDS];
};

/**
 * struct rmap_folio - counters of one folio
 * @refcount: references; every mapping holds one, taken before it and dropped after it
 * @order: log2 of the number of pages
 * @small_mapcount: order 0 only: mappings minus one, as in Linux
 * @entire_mapcount: PMD mappings
 * @page_mapcount: PTE mappings of every page (schemes that guess from pages)
 * @shadow: nothing; what rmap_assert_alone() touches, so that ThreadSanitizer sees who is not alone
 * @mapcount: mappings
 * @seq: atomic sequence count of @mapcount and @value
 * @value: rmap values
 * @word: `owner-counter`, `mm-id`, `moments-flag`: IDs or their sum, flag and lock bit
 * @count: `mm-id`: mapcounts of the two slots
 * @squares: `moments-flag`: sum of the squared IDs
 * @packed: `packed`: mapcount and both sums
 *
 * What an update writes starts a cache line of its own; up to 6 values fit in it.
 */
struct rmap_folio {
	s32 refcount;
	u32 order;
	s32 small_mapcount;
	s32 entire_mapcount;
	s32 *page_mapcount;
	u32 shadow;
	union {
		struct {
			s32 mapcount;
			union rmap_seqcount seq;
			union {
				u64 value[RMAP_MAX_VALUES];
				struct {
					u64 word;
					union {
						s32 count[2];
						u64 squares;
					};
				};
			};
		};
		struct rmap_u128 packed;
	} __rmap_aligned(RMAP_CACHELINE);
} __rmap_aligned(RMAP_CACHELINE);

static __always_inline bool rmap_folio_test_large(const struct rmap_folio *folio)
{
	return folio->order != 0;
}

/**
 * rmap_get() - take references
 * @folio: the folio
 * @nr: how many
 *
 * Before the mappings they belong to appear. Needs no order of its own: the write
 * section that makes the mapping visible ends with a RELEASE, and so who sees
 * the mapping sees its reference.
 */
static __always_inline void rmap_get(struct rmap_folio *folio, s32 nr)
{
	rmap_add(&folio->refcount, nr);
}

/**
 * rmap_put() - drop references
 * @folio: the folio
 * @nr: how many
 *
 * After the mappings they belong to are gone, so that refcount < mapcount never shows. For
 * that it needs no order of its own: the fence on entry of the write section (or the full
 * compare-exchange of `packed`, or the lock) stands between, and core/check/ finds no execution
 * that misses it. RELEASE is for whoever drops the last reference and frees the folio.
 */
static __always_inline void rmap_put(struct rmap_folio *folio, s32 nr)
{
	rmap_add_release(&folio->refcount, -nr);
}

#endif /* RMAP_FOLIO_H */
