/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * bits.h - one rmap value per bit of the ID: no number theory, many values.
 *
 * An ID has half its bits set on average, so a zero addend is skipped.
 */
#ifndef RMAP_BITS_H
#define RMAP_BITS_H

#include "linear.h"

static __always_inline u32 rmap_bits_count(u32 order)
{
	(void)order;
	return RMAP_ID_BITS;
}

static __always_inline u64 rmap_bits_addend(const struct rmap_mm *mm, u32 order, u32 k)
{
	(void)order;
	return (mm->id >> k) & 1;
}

/* A count of 0 or of all mappings is reached in one way only: no limit. */
static __always_inline u64 rmap_bits_trusted(u32 order)
{
	(void)order;
	return ~0ull;
}

static __always_inline bool rmap_bits_match(const struct rmap_folio *folio, const struct rmap_mm *mm, u64 n);

static const struct rmap_linear rmap_bits = {
	.values = rmap_bits_count,
	.addend = rmap_bits_addend,
	.match = rmap_bits_match,
	.trusted = rmap_bits_trusted,
	.beyond = RMAP_UNKNOWN,
	.skip_zero = true,
};

static __always_inline bool rmap_bits_match(const struct rmap_folio *folio, const struct rmap_mm *mm, u64 n)
{
	return rmap_linear_match(folio, mm, n, &rmap_bits);
}

#endif /* RMAP_BITS_H */
