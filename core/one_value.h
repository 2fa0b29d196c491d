/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * one_value.h - one rmap value: the ID's halves x and y as a point of a paraboloid.
 *
 * value = sum of x + y * 2^(o+a) + (x^2 + y^2) * 2^(2o+a+c), radices wide enough for P
 * summands. Theorem `one_value_sound`, proofs/. IDs have a + c bits.
 */
#ifndef RMAP_ONE_VALUE_H
#define RMAP_ONE_VALUE_H

#include "linear.h"

#define RMAP_ONE_VALUE_MAX_ORDER 20

/* a and c: the most bits with P * ((2^a-1)^2 + (2^c-1)^2) < 2^(64-2o-a-c), then most equal, a >= c. */
static const struct {
	u8 a, c;
} rmap_one_value_split[RMAP_ONE_VALUE_MAX_ORDER + 1] = {
	[1] = { 12, 12 }, { 12, 12 }, { 12, 12 }, { 12, 12 }, { 12, 12 }, { 11, 11 }, { 10, 10 },
	{ 10, 9 },	  { 9, 9 },   { 8, 8 },	  { 7, 7 },   { 7, 6 },	  { 6, 6 },   { 5, 5 },
	{ 4, 4 },	  { 4, 3 },   { 3, 3 },	  { 2, 2 },   { 2, 1 },	  { 1, 1 },
};

static __always_inline u32 rmap_one_value_count(u32 order)
{
	(void)order;
	return 1;
}

static __always_inline u64 rmap_one_value_addend(const struct rmap_mm *mm, u32 order, u32 k)
{
	const u32 a = rmap_one_value_split[order].a, c = rmap_one_value_split[order].c;
	const u64 x = mm->id & ((1u << a) - 1);
	const u64 y = mm->id >> a;

	(void)k;
	return x | y << (order + a) | (x * x + y * y) << (2 * order + a + c);
}

static __always_inline u64 rmap_one_value_trusted(u32 order)
{
	return 1ull << order;
}

static __always_inline bool rmap_one_value_match(const struct rmap_folio *folio, const struct rmap_mm *mm, u64 n);

static const struct rmap_linear rmap_one_value = {
	.values = rmap_one_value_count,
	.addend = rmap_one_value_addend,
	.match = rmap_one_value_match,
	.trusted = rmap_one_value_trusted,
	.beyond = RMAP_UNKNOWN,
};

static __always_inline bool rmap_one_value_match(const struct rmap_folio *folio, const struct rmap_mm *mm, u64 n)
{
	return rmap_linear_match(folio, mm, n, &rmap_one_value);
}

#endif /* RMAP_ONE_VALUE_H */
