/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * linear.h - what all schemes have in common whose state is a sum.
 *
 * A mapping by an MM adds one fixed vector to the folio's values, unmapping
 * subtracts it, a batch of n pages is n times the vector in one write section.
 * A scheme gives the vector and the test; DEFINE_RMAP_LINEAR() makes its
 * operations. Theorem `bookkeeping`, proofs/. A mapcount that has no room saturates, and
 * nobody is told EXCLUSIVE again (mapcount.h); the values go on.
 */
#ifndef RMAP_LINEAR_H
#define RMAP_LINEAR_H

#include "folio.h"
#include "mapcount.h"

/**
 * struct rmap_linear - a linear scheme (always a compile-time constant)
 * @values: number of rmap values for folios of an order
 * @addend: what one mapping by @mm adds to value @k
 * @match: do the values look as if all @n mappings were @mm's? May stop early.
 * @trusted: largest mapcount for which a match proves it
 * @beyond: the answer to a match beyond that
 * @skip_zero: addends are often 0 and testing is cheaper than adding
 */
struct rmap_linear {
	u32 (*values)(u32 order);
	u64 (*addend)(const struct rmap_mm *mm, u32 order, u32 k);
	int (*match)(struct rmap_folio *folio, const struct rmap_mm *mm, u64 n);
	u64 (*trusted)(u32 order);
	enum rmap_verdict beyond;
	int skip_zero;
};

/* Add @nr mappings of @mm (negative: remove), in one write section. */
static __always_inline void rmap_linear_add(struct rmap_folio *folio, const struct rmap_mm *mm, s32 nr,
					    const struct rmap_linear *scheme, const enum rmap_writer how)
{
	const u32 values = scheme->values(folio->order);
	const int exclusive = rmap_write_begin(&folio->seq, how);
	u32 k;

	/*
	 * Everything in here may be relaxed: no reader trusts it before
	 * rmap_write_end(), and shared writers only ever add, or saturate.
	 */
	if (exclusive) {
		rmap_assert_alone(&folio->shadow);
		rmap_write(&folio->mapcount, rmap_mapcount_after(rmap_read(&folio->mapcount), nr));
		for (k = 0; k < values; k++) {
			const u64 add = scheme->addend(mm, folio->order, k) * (u64)(s64)nr;

			if (!scheme->skip_zero || add)
				rmap_write(&folio->value[k], rmap_read(&folio->value[k]) + add);
		}
	} else {
		rmap_assert_not_alone(&folio->shadow);
		rmap_mapcount_add(&folio->mapcount, nr);
		for (k = 0; k < values; k++) {
			const u64 add = scheme->addend(mm, folio->order, k) * (u64)(s64)nr;

			if (!scheme->skip_zero || add)
				rmap_add(&folio->value[k], add);
		}
	}
	rmap_write_end(&folio->seq, exclusive, how);
}

/* The first mapping of a folio nobody else can see yet: no section, no atomics. */
static __always_inline void rmap_linear_set_first(struct rmap_folio *folio, const struct rmap_mm *mm, s32 nr,
						  const struct rmap_linear *scheme)
{
	const u32 values = scheme->values(folio->order);
	u32 k;

	RMAP_WARN_ON(rmap_read(&folio->mapcount));
	rmap_write(&folio->mapcount, nr);
	for (k = 0; k < values; k++)
		rmap_write(&folio->value[k], scheme->addend(mm, folio->order, k) * (u64)(s64)nr);
}

/* Values equal to mapcount times the caller's, one by one. */
static __always_inline int rmap_linear_match(struct rmap_folio *folio, const struct rmap_mm *mm, u64 n,
					     const struct rmap_linear *scheme)
{
	const u32 values = scheme->values(folio->order);
	u32 k;

	for (k = 0; k < values; k++)
		if (rmap_read(&folio->value[k]) != n * scheme->addend(mm, folio->order, k))
			return 0;
	return 1;
}

/**
 * rmap_linear_ask() - one consistent look at mapcount, values and refcount
 * @folio: a large folio
 * @mm: who asks
 * @references: extra result: were there as many references as mappings?
 * @scheme: the scheme
 * @how: how its writers enter
 *
 * The mapcount cannot change between the two looks at the sequence, and never
 * exceeds the refcount; so if the refcount read in between equals it, then at that
 * moment every reference was a mapping.
 *
 * Return: the scheme's verdict.
 */
static __always_inline int rmap_linear_ask(struct rmap_folio *folio, const struct rmap_mm *mm, int *references,
					   const struct rmap_linear *scheme, const enum rmap_writer how)
{
	const u64 trusted = scheme->trusted(folio->order);
	rmap_seq start;
	int match;
	u64 n;

	do {
		start = rmap_read_begin(&folio->seq, how);
		n = (u64)(s64)rmap_read(&folio->mapcount);
		match = (scheme->beyond != RMAP_IS_SHARED || n <= trusted) && scheme->match(folio, mm, n);
		if (references)
			*references = (u64)(s64)rmap_read(&folio->refcount) == n;
	} while (rmap_read_retry(&folio->seq, start));
	if (!match || unlikely(n > RMAP_MAPCOUNT_MAX))
		return RMAP_IS_SHARED;
	return n <= trusted ? RMAP_EXCLUSIVE : scheme->beyond;
}

/**
 * DEFINE_RMAP_LINEAR() - the operations of a linear scheme
 * @name: prefix of the functions
 * @scheme: a static const struct rmap_linear
 * @how: enum rmap_writer
 *
 * @name_map(), @name_unmap(): @nr pages from @page on, or @nr PMD mappings if
 * @entire. @name_remap(): one PMD mapping becomes a PTE mapping of every page.
 */
#define DEFINE_RMAP_LINEAR(name, scheme, how)                                                                    \
	static __always_inline void name##_map(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page,     \
					       s32 nr, int entire)                                               \
	{                                                                                                        \
		(void)page, (void)entire;                                                                        \
		rmap_linear_add(folio, mm, nr, &(scheme), how);                                                  \
	}                                                                                                        \
	static __always_inline void name##_unmap(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page,   \
						 s32 nr, int entire)                                             \
	{                                                                                                        \
		(void)page, (void)entire;                                                                        \
		rmap_linear_add(folio, mm, -nr, &(scheme), how);                                                 \
	}                                                                                                        \
	static __always_inline void name##_set_first(struct rmap_folio *folio, const struct rmap_mm *mm,         \
						     u32 page, s32 nr, int entire)                               \
	{                                                                                                        \
		(void)page, (void)entire;                                                                        \
		rmap_linear_set_first(folio, mm, nr, &(scheme));                                                 \
	}                                                                                                        \
	static __always_inline void name##_remap(struct rmap_folio *folio, const struct rmap_mm *mm)             \
	{                                                                                                        \
		rmap_linear_add(folio, mm, (1 << folio->order) - 1, &(scheme), how);                             \
	}                                                                                                        \
	static __always_inline int name##_verdict(struct rmap_folio *folio, const struct rmap_mm *mm)            \
	{                                                                                                        \
		return rmap_linear_ask(folio, mm, (int *)0, &(scheme), how);                                     \
	}                                                                                                        \
	static __always_inline int name##_cow_reuse(struct rmap_folio *folio, const struct rmap_mm *mm)          \
	{                                                                                                        \
		int references;                                                                                  \
                                                                                                                 \
		return rmap_linear_ask(folio, mm, &references, &(scheme), how) == RMAP_EXCLUSIVE && references;  \
	}

#endif /* RMAP_LINEAR_H */
