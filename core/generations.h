/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * generations.h - sub-IDs in generations, as posted and made safe.
 *
 * <20231124132626.235350-1-david@redhat.com>. The posted table is not sound for
 * orders 7 to 9 (docs/schemes.md); rmap_generations_safe is. Sub-IDs are computed once
 * per MM, which is the cheapest way to have them and one of the series' open ideas.
 */
#ifndef RMAP_GENERATIONS_H
#define RMAP_GENERATIONS_H

#include "linear.h"

/* The posted table: values, ID bits per value, and the order whose P + 1 is the base. */
static const struct {
	u8 values, bits, base_order;
} rmap_posted_row[16] = {
	[2] = { 1, 24, 2 },  [3] = { 2, 12, 5 },  [4] = { 2, 12, 5 },  [5] = { 2, 12, 5 },
	[6] = { 3, 8, 9 },   [7] = { 3, 8, 9 },	  [8] = { 3, 8, 9 },   [9] = { 3, 8, 9 },
	[10] = { 4, 6, 10 }, [11] = { 5, 5, 12 }, [12] = { 5, 5, 12 }, [13] = { 6, 4, 15 },
	[14] = { 6, 4, 15 }, [15] = { 6, 4, 15 },
};

/* K = ceil(24 / N), N the largest with (P + 1)^N <= 2^64; bits per value are ceil(24 / K). */
static const u8 rmap_safe_values[RMAP_MAX_ORDER + 1] = {
	[1] = 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 5, 5, 6, 6, 6, 8, 8, 8, 8, 8, 8,
};

/**
 * rmap_subid() - binary digits of an ID chunk, read in another base
 * @chunk: some bits of the rmap ID
 * @base: P + 1
 */
static inline u64 rmap_subid(u32 chunk, u64 base)
{
	u64 sum = 0, weight = 1;

	for (; chunk; chunk >>= 1, weight *= base)
		if (chunk & 1)
			sum += weight;
	return sum;
}

/* All sub-IDs of one row: the ID is cut, lowest bits first, into @values chunks of @bits bits. */
static inline void rmap_subids(u64 *row, u32 id, u32 values, u32 bits, u32 base_order)
{
	u32 k;

	for (k = 0; k < values; k++)
		row[k] = rmap_subid((u32)((u64)id >> (k * bits)) & ((1u << bits) - 1), (1ull << base_order) + 1);
}

/**
 * rmap_mm_init() - give an MM its rmap ID and sub-IDs
 * @mm: not yet visible to others
 * @id: rmap ID; `generations` use its lower 24 bits
 */
static inline void rmap_mm_init(struct rmap_mm *mm, u32 id)
{
	u32 order;

	mm->id = id;
	for (order = 2; order < 16; order++)
		rmap_subids(mm->posted[order], id, rmap_posted_row[order].values, rmap_posted_row[order].bits,
			    rmap_posted_row[order].base_order);
	for (order = 1; order <= RMAP_MAX_ORDER; order++) {
		const u32 values = rmap_safe_values[order];

		rmap_subids(mm->safe[order], id, values, (RMAP_ID_BITS + values - 1) / values, order);
	}
}

static __always_inline u32 rmap_posted_count(u32 order)
{
	return rmap_posted_row[order].values;
}

static __always_inline u64 rmap_posted_addend(const struct rmap_mm *mm, u32 order, u32 k)
{
	return mm->posted[order][k];
}

static __always_inline u32 rmap_safe_count(u32 order)
{
	return rmap_safe_values[order];
}

static __always_inline u64 rmap_safe_addend(const struct rmap_mm *mm, u32 order, u32 k)
{
	return mm->safe[order][k];
}

/* Above P mappings "obviously shared", as posted. */
static __always_inline u64 rmap_pages_trusted(u32 order)
{
	return 1ull << order;
}

static __always_inline bool rmap_posted_match(const struct rmap_folio *folio, const struct rmap_mm *mm, u64 n);
static __always_inline bool rmap_safe_match(const struct rmap_folio *folio, const struct rmap_mm *mm, u64 n);

static const struct rmap_linear rmap_generations = {
	.values = rmap_posted_count,
	.addend = rmap_posted_addend,
	.match = rmap_posted_match,
	.trusted = rmap_pages_trusted,
	.beyond = RMAP_IS_SHARED,
};

static const struct rmap_linear rmap_generations_safe = {
	.values = rmap_safe_count,
	.addend = rmap_safe_addend,
	.match = rmap_safe_match,
	.trusted = rmap_pages_trusted,
	.beyond = RMAP_IS_SHARED,
};

static __always_inline bool rmap_posted_match(const struct rmap_folio *folio, const struct rmap_mm *mm, u64 n)
{
	return rmap_linear_match(folio, mm, n, &rmap_generations);
}

static __always_inline bool rmap_safe_match(const struct rmap_folio *folio, const struct rmap_mm *mm, u64 n)
{
	return rmap_linear_match(folio, mm, n, &rmap_generations_safe);
}

#endif /* RMAP_GENERATIONS_H */
