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
	bool (*match)(const struct rmap_folio *folio, const struct rmap_mm *mm, u64 n);
	u64 (*trusted)(u32 order);
	enum rmap_verdict beyond;
	bool skip_zero;
};

/* Add @nr mappings of @mm (negative: remove). The caller is inside a write section, as the exclusive writer or not. */
static __always_inline void rmap_linear_add(struct rmap_folio *folio, const struct rmap_mm *mm, s32 nr,
					    const struct rmap_linear *scheme, bool exclusive)
{
	const u32 values = scheme->values(folio->order);
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
static __always_inline bool rmap_linear_match(const struct rmap_folio *folio, const struct rmap_mm *mm, u64 n,
					      const struct rmap_linear *scheme)
{
	const u32 values = scheme->values(folio->order);
	u32 k;

	for (k = 0; k < values; k++)
		if (rmap_read(&folio->value[k]) != n * scheme->addend(mm, folio->order, k))
			return false;
	return true;
}

/**
 * struct rmap_linear_look - what a read section saw of a folio
 * @n: the mapcount
 * @match: did the values look as if all were the asker's?
 */
struct rmap_linear_look {
	u64 n;
	bool match;
};

/* Inside a read section; its result is one look only if the section was closed. */
static __always_inline struct rmap_linear_look rmap_linear_look(const struct rmap_folio *folio, const struct rmap_mm *mm,
								const struct rmap_linear *scheme)
{
	struct rmap_linear_look look = { .n = (u64)(s64)rmap_read(&folio->mapcount) };

	look.match = (scheme->beyond != RMAP_IS_SHARED || look.n <= scheme->trusted(folio->order)) &&
		     scheme->match(folio, mm, look.n);
	return look;
}

static __always_inline enum rmap_verdict rmap_linear_answer(const struct rmap_folio *folio, struct rmap_linear_look look,
							    const struct rmap_linear *scheme)
{
	if (!look.match || unlikely(look.n > RMAP_MAPCOUNT_MAX))
		return RMAP_IS_SHARED;
	return look.n <= scheme->trusted(folio->order) ? RMAP_EXCLUSIVE : scheme->beyond;
}

/**
 * DEFINE_RMAP_LINEAR() - the operations of a linear scheme
 * @name: prefix of the functions
 * @scheme: a static const struct rmap_linear
 * @kind: of the folio's sequence count: shared, cmpxchg or add_return
 *
 * @name_map(), @name_unmap(): @nr pages from @page on, or @nr PMD mappings if
 * @entire. @name_remap(): one PMD mapping becomes a PTE mapping of every page.
 */
#define DEFINE_RMAP_LINEAR(name, scheme, kind)                                                                   \
	static __always_inline void name##_add(struct rmap_folio *folio, const struct rmap_mm *mm, s32 nr)       \
	{                                                                                                        \
		const bool exclusive = rmap_write_begin(&folio->seq.kind);                                       \
                                                                                                                 \
		rmap_linear_add(folio, mm, nr, &(scheme), exclusive);                                            \
		rmap_write_end(&folio->seq.kind, exclusive);                                                     \
	}                                                                                                        \
	static __always_inline void name##_map(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page,     \
					       s32 nr, int entire)                                               \
	{                                                                                                        \
		(void)page, (void)entire;                                                                        \
		name##_add(folio, mm, nr);                                                                       \
	}                                                                                                        \
	static __always_inline void name##_unmap(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page,   \
						 s32 nr, int entire)                                             \
	{                                                                                                        \
		(void)page, (void)entire;                                                                        \
		name##_add(folio, mm, -nr);                                                                      \
	}                                                                                                        \
	static __always_inline void name##_set_first(struct rmap_folio *folio, const struct rmap_mm *mm,         \
						     u32 page, s32 nr, int entire)                               \
	{                                                                                                        \
		(void)page, (void)entire;                                                                        \
		rmap_linear_set_first(folio, mm, nr, &(scheme));                                                 \
	}                                                                                                        \
	static __always_inline void name##_remap(struct rmap_folio *folio, const struct rmap_mm *mm)             \
	{                                                                                                        \
		name##_add(folio, mm, (1 << folio->order) - 1);                                                  \
	}                                                                                                        \
	static __always_inline enum rmap_verdict name##_verdict(const struct rmap_folio *folio,                  \
								const struct rmap_mm *mm)                        \
	{                                                                                                        \
		struct rmap_linear_look look;                                                                    \
                                                                                                                 \
		rmap_read_section(&folio->seq.kind)                                                              \
			look = rmap_linear_look(folio, mm, &(scheme));                                           \
		return rmap_linear_answer(folio, look, &(scheme));                                               \
	}                                                                                                        \
	/*                                                                                                       \
	 * The mapcount cannot change between the two looks at the sequence, and never exceeds the               \
	 * refcount; so if the refcount read in between equals it, then at that moment every reference           \
	 * was a mapping.                                                                                        \
	 */                                                                                                      \
	static __always_inline bool name##_cow_reuse(const struct rmap_folio *folio, const struct rmap_mm *mm)   \
	{                                                                                                        \
		struct rmap_linear_look look;                                                                    \
		bool references;                                                                                 \
                                                                                                                 \
		rmap_read_section(&folio->seq.kind) {                                                            \
			look = rmap_linear_look(folio, mm, &(scheme));                                           \
			references = (u64)(s64)rmap_read(&folio->refcount) == look.n;                            \
		}                                                                                                \
		return rmap_linear_answer(folio, look, &(scheme)) == RMAP_EXCLUSIVE && references;               \
	}

#endif /* RMAP_LINEAR_H */
