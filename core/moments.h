/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * moments.h - S, the sum of the IDs, and Q, the sum of their squares.
 *
 * Q - 2*x*S + n*x^2 is the sum of (id - x)^2 over all mappings: 0 iff all are x's.
 * Theorem `moments_sound`, proofs/. No table, no dependence on the order.
 */
#ifndef RMAP_MOMENTS_H
#define RMAP_MOMENTS_H

#include "linear.h"

/* ID bits: 24, less where P of the largest differences squared would reach 2^64. */
static __always_inline u32 rmap_moments_bits(u32 order)
{
	return order <= 16 ? RMAP_ID_BITS : RMAP_ID_BITS - (order - 15) / 2;
}

/* Largest difference of two IDs 1 .. 2^bits - 1. */
static __always_inline u64 rmap_largest_difference(u32 bits)
{
	return (1ull << bits) - 2;
}

static __always_inline u32 rmap_moments_count(u32 order)
{
	(void)order;
	return 2;
}

static __always_inline u64 rmap_moments_addend(const struct rmap_mm *mm, u32 order, u32 k)
{
	const u64 id = mm->id;

	(void)order;
	return k ? id * id : id;
}

/* Beyond that the sum of squares could be a multiple of 2^64. A division, but of constants for most orders. */
static __always_inline u64 rmap_moments_trusted(u32 order)
{
	const u64 d24 = rmap_largest_difference(RMAP_ID_BITS);
	const u64 d = rmap_largest_difference(rmap_moments_bits(order));

	return likely(order <= 16) ? ~0ull / (d24 * d24) : ~0ull / (d * d);
}

static __always_inline bool rmap_moments_match(const struct rmap_folio *folio, const struct rmap_mm *mm, u64 n)
{
	const u64 id = mm->id;
	const u64 s = rmap_read(&folio->value[0]);
	const u64 q = rmap_read(&folio->value[1]);

	return q - 2 * id * s + n * id * id == 0;
}

static const struct rmap_linear rmap_moments = {
	.values = rmap_moments_count,
	.addend = rmap_moments_addend,
	.match = rmap_moments_match,
	.trusted = rmap_moments_trusted,
	.beyond = RMAP_UNKNOWN,
};

#endif /* RMAP_MOMENTS_H */
