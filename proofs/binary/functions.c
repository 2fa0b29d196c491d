// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * functions.c - every scheme's functions as the compiler makes them, each under a name, for claims.py.
 *
 * Nothing here but wrappers: the headers are what is checked.
 */
#include <stddef.h>

#include "lib/list.h"

int rmap_have_vector_read128;

#define FUNCTIONS(n, p, w)                                                                                    \
	void p##_map(struct rmap_folio *f, const struct rmap_mm *mm, u32 page, s32 nr, int entire)            \
	{                                                                                                     \
		rmap_##p##_map(f, mm, page, nr, entire);                                                      \
	}                                                                                                     \
	void p##_unmap(struct rmap_folio *f, const struct rmap_mm *mm, u32 page, s32 nr, int entire)          \
	{                                                                                                     \
		rmap_##p##_unmap(f, mm, page, nr, entire);                                                    \
	}                                                                                                     \
	void p##_set_first(struct rmap_folio *f, const struct rmap_mm *mm, u32 page, s32 nr, int entire)      \
	{                                                                                                     \
		rmap_##p##_set_first(f, mm, page, nr, entire);                                                \
	}                                                                                                     \
	void p##_remap(struct rmap_folio *f, const struct rmap_mm *mm)                                        \
	{                                                                                                     \
		rmap_##p##_remap(f, mm);                                                                      \
	}                                                                                                     \
	int p##_verdict(struct rmap_folio *f, const struct rmap_mm *mm)                                       \
	{                                                                                                     \
		return rmap_##p##_verdict(f, mm);                                                             \
	}                                                                                                     \
	int p##_cow_reuse(struct rmap_folio *f, const struct rmap_mm *mm)                                     \
	{                                                                                                     \
		return rmap_##p##_cow_reuse(f, mm);                                                           \
	}
RMAP_SCHEMES(FUNCTIONS)

int moments_flag_alone(u64 n, u64 s, u64 q)
{
	return rmap_moments_flag_alone(n, s, q);
}

int moments_flag_perhaps(u64 word, u64 n, u64 q)
{
	return rmap_moments_flag_perhaps(word, n, q);
}

/* Where the fields are: read by claims.py. */
const u64 layout[] = {
	offsetof(struct rmap_folio, refcount),	     offsetof(struct rmap_folio, order),
	offsetof(struct rmap_folio, entire_mapcount), offsetof(struct rmap_folio, page_mapcount),
	offsetof(struct rmap_folio, mapcount),	     offsetof(struct rmap_folio, seq),
	offsetof(struct rmap_folio, value),	     offsetof(struct rmap_folio, word),
	offsetof(struct rmap_folio, count),	     offsetof(struct rmap_folio, squares),
	offsetof(struct rmap_folio, packed),	     sizeof(struct rmap_folio),
	offsetof(struct rmap_mm, id),		     offsetof(struct rmap_mm, posted),
	offsetof(struct rmap_mm, safe),		     sizeof(struct rmap_mm),
	sizeof(((struct rmap_packed_fallback *)0)->lo) + sizeof(((struct rmap_packed_fallback *)0)->hi),
};
