/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * packed.h - mapcount, S and Q in one 128-bit word.
 *
 *	lo = mapcount (bits 0-22) | frozen (bit 23) | S modulo 2^40 (bits 24-63)
 *	hi = Q modulo 2^64
 *
 * One compare-exchange updates all three, one 16-byte load reads them: there is no
 * sequence count, and readers never wait and never retry. Theorem `packed_sound`,
 * proofs/. A COW decision freezes the word while it reads the refcount: updates wait,
 * verdicts do not look (`packed_frozen`).
 *
 * A mapcount that leaves 0 .. 2^23 - 2 saturates: lo becomes RMAP_PACKED_MAPCOUNT, that is
 * 2^23 - 1 mappings with S = 0, and stays so. 2^23 - 1 is odd and IDs are below 2^40, so no ID
 * times it is 0 modulo 2^40: every verdict is SHARED. The frozen bit is never touched by counts.
 * Q goes on as it was. docs/schemes.md, "Limits".
 *
 * Where the CPU cannot compare and exchange 16 bytes, rmap_packed_fallback_*() keeps
 * the same two words under a sequence count. One folio is updated in one of
 * the two ways only.
 */
#ifndef RMAP_PACKED_H
#define RMAP_PACKED_H

#include "moments.h"

#define RMAP_PACKED_SHIFT 24
#define RMAP_PACKED_FROZEN (1ull << 23)
#define RMAP_PACKED_MAPCOUNT (RMAP_PACKED_FROZEN - 1)

static __always_inline struct rmap_u128 rmap_packed_addend(const struct rmap_mm *mm, s32 nr)
{
	const u64 id = mm->id, n = (u64)(s64)nr;

	/* Borrows and carries stay inside: lo is n + 2^24 * S as one number modulo 2^64. */
	return (struct rmap_u128){ .lo = n * (1 + (id << RMAP_PACKED_SHIFT)), .hi = n * id * id };
}

/* Does the mapcount of @lo have room for @nr more, or, negative, less? It stays as it is once it had none. */
static __always_inline bool rmap_packed_room(u64 lo, s32 nr)
{
	const u64 n = lo & (RMAP_PACKED_FROZEN | RMAP_PACKED_MAPCOUNT);

	return likely(n < RMAP_PACKED_MAPCOUNT && n + (u64)(s64)nr < RMAP_PACKED_MAPCOUNT);
}

static __always_inline u64 rmap_packed_trusted(u32 order)
{
	const u64 d = rmap_largest_difference(order <= 16 ? RMAP_ID_BITS : RMAP_ID_BITS + 16 - order);
	const u64 by_sum = ((1ull << 40) - 1) / d, by_squares = ~0ull / (d * d);

	if (likely(order <= 16))
		return 65536;
	return by_sum < by_squares ? by_sum : by_squares;
}

static __always_inline enum rmap_verdict rmap_packed_answer(struct rmap_u128 word, u32 order, const struct rmap_mm *mm)
{
	const u64 n = word.lo & RMAP_PACKED_MAPCOUNT;
	const struct rmap_u128 mine = rmap_packed_addend(mm, (s32)n);

	if ((word.lo & ~RMAP_PACKED_FROZEN) != mine.lo || word.hi != mine.hi)
		return RMAP_IS_SHARED;
	return n <= rmap_packed_trusted(order) ? RMAP_EXCLUSIVE : RMAP_UNKNOWN;
}

#if RMAP_HAS_CMPXCHG128

static __always_inline void rmap_packed_add(struct rmap_folio *folio, const struct rmap_mm *mm, s32 nr)
{
	const struct rmap_u128 add = rmap_packed_addend(mm, nr);
	struct rmap_u128 old, new;

	/*
	 * A torn pair of loads is only a bad guess: the compare-exchange refuses
	 * it and hands back the true word.
	 */
	old.lo = rmap_read(&folio->packed.lo);
	old.hi = rmap_read(&folio->packed.hi);
	do {
		/* A COW decision holds the word still for as long as it takes to read the refcount. */
		while (unlikely(old.lo & RMAP_PACKED_FROZEN)) {
			rmap_cpu_relax();
			old.lo = rmap_read(&folio->packed.lo);
			old.hi = rmap_read(&folio->packed.hi);
		}
		new.lo = rmap_packed_room(old.lo, nr) ? old.lo + add.lo : RMAP_PACKED_MAPCOUNT;
		new.hi = old.hi + add.hi;
		RMAP_WARN_ON(new.lo & RMAP_PACKED_FROZEN);
	} while (unlikely(!rmap_try_cmpxchg128(&folio->packed, &old, new)));
}

static __always_inline void rmap_packed_map(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page, s32 nr,
					    int entire)
{
	(void)page, (void)entire;
	rmap_packed_add(folio, mm, nr);
}

static __always_inline void rmap_packed_unmap(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page, s32 nr,
					      int entire)
{
	(void)page, (void)entire;
	rmap_packed_add(folio, mm, -nr);
}

static __always_inline void rmap_packed_remap(struct rmap_folio *folio, const struct rmap_mm *mm)
{
	rmap_packed_add(folio, mm, (1 << folio->order) - 1);
}

static __always_inline enum rmap_verdict rmap_packed_verdict(struct rmap_folio *folio, const struct rmap_mm *mm)
{
	return rmap_packed_answer(rmap_read128(&folio->packed), folio->order, mm);
}

/**
 * rmap_packed_cow_reuse() - may a COW fault on this folio keep its page?
 * @folio: a large folio the caller maps, its page table locked
 * @mm: the caller
 *
 * Reading the word, the refcount and the word again is not enough: the word can
 * change and change back (another thread of @mm unmaps a page and maps one), and a
 * stranger's reference can be there just in between. So the word is frozen while
 * the refcount is read; updates wait, verdicts do not. Preemption is off as long as it is.
 *
 * The compare-exchange is a full barrier: who unmapped before it has its RELEASE of
 * the reference after it, and cannot be seen with the reference gone and the mapping
 * there.
 *
 * Return: true iff at one moment all mappings were @mm's and all references were mappings.
 */
static __always_inline bool rmap_packed_cow_reuse(struct rmap_folio *folio, const struct rmap_mm *mm)
{
	struct rmap_u128 word = rmap_read128(&folio->packed), frozen;
	s32 refcount;

	rmap_preempt_disable();
	do {
		if (rmap_packed_answer(word, folio->order, mm) != RMAP_EXCLUSIVE) {
			rmap_preempt_enable();
			return false;
		}
		while (unlikely(word.lo & RMAP_PACKED_FROZEN)) {
			rmap_cpu_relax();
			word = rmap_read128(&folio->packed);
		}
		frozen.lo = word.lo | RMAP_PACKED_FROZEN;
		frozen.hi = word.hi;
	} while (unlikely(!rmap_try_cmpxchg128(&folio->packed, &word, frozen)));
	rmap_assert_alone(&folio->shadow);
	refcount = rmap_read(&folio->refcount);
	/*
	 * RELEASE: the refcount is read before anybody may move on. Nobody else writes a frozen
	 * word, so half of it may be stored alone.
	 */
	rmap_write_release(&folio->packed.lo, word.lo);
	rmap_preempt_enable();
	return rmap_packed_answer(word, folio->order, mm) == RMAP_EXCLUSIVE &&
	       (u64)(s64)refcount == (word.lo & RMAP_PACKED_MAPCOUNT);
}

#endif /* RMAP_HAS_CMPXCHG128 */

/* First mapping of a folio nobody else can see yet; serves both variants. */
static __always_inline void rmap_packed_set_first(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page,
						  s32 nr, int entire)
{
	const struct rmap_u128 add = rmap_packed_addend(mm, nr);

	(void)page, (void)entire;
	rmap_write(&folio->packed.lo, rmap_packed_room(0, nr) ? add.lo : RMAP_PACKED_MAPCOUNT);
	rmap_write(&folio->packed.hi, add.hi);
}

/**
 * struct rmap_packed_fallback - the same words where 16 bytes are two accesses
 *
 * Overlays struct rmap_folio's update line: the words first, then a sequence count.
 */
struct rmap_packed_fallback {
	u64 lo;
	u64 hi;
	struct rmap_seqcount_shared seq;
};

static __always_inline struct rmap_packed_fallback *rmap_packed_two(struct rmap_folio *folio)
{
	return (struct rmap_packed_fallback *)&folio->packed;
}

static __always_inline void rmap_packed_fallback_add(struct rmap_folio *folio, const struct rmap_mm *mm, s32 nr)
{
	const struct rmap_u128 add = rmap_packed_addend(mm, nr);
	struct rmap_packed_fallback *two = rmap_packed_two(folio);
	const bool exclusive = rmap_write_begin(&two->seq);
	u64 lo;

	/*
	 * Other writers add at the same time, so lo may be anything for a while. Whoever found no room
	 * ends it, after its own addition: what others add in between is overwritten, and who comes
	 * later finds it saturated. Readers do not look before all have left.
	 */
	lo = rmap_add_return(&two->lo, add.lo) - add.lo;
	if (unlikely(!rmap_packed_room(lo, nr)))
		rmap_write(&two->lo, RMAP_PACKED_MAPCOUNT);
	rmap_add(&two->hi, add.hi);
	rmap_write_end(&two->seq, exclusive);
}

static __always_inline void rmap_packed_fallback_map(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page,
						     s32 nr, int entire)
{
	(void)page, (void)entire;
	rmap_packed_fallback_add(folio, mm, nr);
}

static __always_inline void rmap_packed_fallback_unmap(struct rmap_folio *folio, const struct rmap_mm *mm,
						       u32 page, s32 nr, int entire)
{
	(void)page, (void)entire;
	rmap_packed_fallback_add(folio, mm, -nr);
}

#define rmap_packed_fallback_set_first rmap_packed_set_first

static __always_inline void rmap_packed_fallback_remap(struct rmap_folio *folio, const struct rmap_mm *mm)
{
	rmap_packed_fallback_add(folio, mm, (1 << folio->order) - 1);
}

static __always_inline struct rmap_u128 rmap_packed_fallback_read(const struct rmap_folio *folio, s32 *refcount)
{
	const struct rmap_packed_fallback *two = (const struct rmap_packed_fallback *)&folio->packed;
	struct rmap_u128 word;

	rmap_read_section(&two->seq) {
		word.lo = rmap_read(&two->lo);
		word.hi = rmap_read(&two->hi);
		*refcount = rmap_read(&folio->refcount);
	}
	return word;
}

static __always_inline enum rmap_verdict rmap_packed_fallback_verdict(const struct rmap_folio *folio, const struct rmap_mm *mm)
{
	s32 refcount;

	return rmap_packed_answer(rmap_packed_fallback_read(folio, &refcount), folio->order, mm);
}

static __always_inline bool rmap_packed_fallback_cow_reuse(const struct rmap_folio *folio, const struct rmap_mm *mm)
{
	s32 refcount;
	const struct rmap_u128 word = rmap_packed_fallback_read(folio, &refcount);

	return rmap_packed_answer(word, folio->order, mm) == RMAP_EXCLUSIVE &&
	       (u64)(s64)refcount == (word.lo & RMAP_PACKED_MAPCOUNT);
}

#endif /* RMAP_PACKED_H */
