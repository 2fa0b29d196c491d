/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * words.h - a folio's state in the order of rmaplab.schemes, and the cache lines an update writes.
 *
 * The lines are those of the state words alone: refcount and PTE are everybody's.
 */
#ifndef RMAP_LIB_WORDS_H
#define RMAP_LIB_WORDS_H

#include <stdint.h>

#include "list.h"

/* Lines covered by the first @bytes of the update line. */
static inline int lines_of(size_t bytes)
{
	return (int)((bytes + RMAP_CACHELINE - 1) / RMAP_CACHELINE);
}

static inline int linear_words(struct rmap_folio *f, uint64_t *out, u32 values)
{
	u32 k;

	out[0] = (uint64_t)(int64_t)f->mapcount;
	for (k = 0; k < values; k++)
		out[1 + k] = f->value[k];
	return (int)values + 1;
}

#define LINEAR_WORDS(name, scheme)                                                                          \
	static inline int name##_words(struct rmap_folio *f, uint64_t *out)                                 \
	{                                                                                                   \
		return linear_words(f, out, (scheme).values(f->order));                                     \
	}                                                                                                   \
	static inline int name##_lines(u32 order, s32 nr)                                                   \
	{                                                                                                   \
		(void)nr;                                                                                   \
		return lines_of(offsetof(struct rmap_folio, value) - offsetof(struct rmap_folio, mapcount) + \
				(scheme).values(order) * sizeof(u64));                                      \
	}
LINEAR_WORDS(posted, rmap_generations)
LINEAR_WORDS(safe, rmap_generations_safe)
LINEAR_WORDS(bits, rmap_bits)
LINEAR_WORDS(moments, rmap_moments)
LINEAR_WORDS(one_value, rmap_one_value)

#define ONE_LINE(name)                                    \
	static inline int name##_lines(u32 order, s32 nr) \
	{                                                 \
		(void)order, (void)nr;                    \
		return 1;                                 \
	}
ONE_LINE(total)
ONE_LINE(owner)
ONE_LINE(mm_id)
ONE_LINE(moments_flag)
ONE_LINE(packed)

/* The totals, and the mapcounts of the pages (in Linux one in every struct page, a line each). */
static inline int pages_lines(u32 order, s32 nr)
{
	(void)order;
	return 1 + lines_of((size_t)nr * sizeof(s32));
}

static inline int total_words(struct rmap_folio *f, uint64_t *out)
{
	out[0] = (uint64_t)(int64_t)f->mapcount;
	return 1;
}

static inline int pages_words(struct rmap_folio *f, uint64_t *out)
{
	out[0] = (uint64_t)(int64_t)f->mapcount;
	out[1] = (uint64_t)(int64_t)f->entire_mapcount;
	out[2] = (uint64_t)(int64_t)f->page_mapcount[0];
	return 3;
}

static inline int owner_words(struct rmap_folio *f, uint64_t *out)
{
	out[0] = (uint64_t)(int64_t)f->mapcount;
	out[1] = f->word >> 32;
	out[2] = (u32)f->word;
	return 3;
}

static inline int mm_id_words(struct rmap_folio *f, uint64_t *out)
{
	out[0] = (uint64_t)(int64_t)f->mapcount;
	out[1] = rmap_mm_id_get(f->word, 0);
	out[2] = rmap_mm_id_get(f->word, 1);
	out[3] = (uint64_t)(int64_t)f->count[0];
	out[4] = (uint64_t)(int64_t)f->count[1];
	out[5] = !!(f->word & RMAP_MM_ID_SHARED);
	return 6;
}

static inline int moments_flag_words(struct rmap_folio *f, uint64_t *out)
{
	out[0] = (uint64_t)(int64_t)f->mapcount;
	out[1] = rmap_moments_flag_sum(f->word);
	out[2] = f->squares;
	out[3] = !!(f->word & RMAP_MOMENTS_FLAG_SHARED);
	return 4;
}

static inline int packed_words(struct rmap_folio *f, uint64_t *out)
{
	out[0] = f->packed.lo;
	out[1] = f->packed.hi;
	return 2;
}

#endif /* RMAP_LIB_WORDS_H */
