/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * total_mapcount.h - the total mapcount alone: the price floor of every scheme.
 *
 * It answers for at most one mapping only. The series measured it as "total mapcount only".
 */
#ifndef RMAP_TOTAL_MAPCOUNT_H
#define RMAP_TOTAL_MAPCOUNT_H

#include "folio.h"
#include "mapcount.h"

static __always_inline void rmap_total_map(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page, s32 nr,
					   int entire)
{
	(void)mm, (void)page, (void)entire;
	rmap_mapcount_add(&folio->mapcount, nr);
}

static __always_inline void rmap_total_unmap(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page, s32 nr,
					     int entire)
{
	(void)mm, (void)page, (void)entire;
	rmap_mapcount_add(&folio->mapcount, -nr);
}

static __always_inline void rmap_total_set_first(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page,
						 s32 nr, int entire)
{
	(void)mm, (void)page, (void)entire;
	rmap_write(&folio->mapcount, nr);
}

static __always_inline void rmap_total_remap(struct rmap_folio *folio, const struct rmap_mm *mm)
{
	(void)mm;
	rmap_mapcount_add(&folio->mapcount, (1 << folio->order) - 1);
}

static __always_inline enum rmap_verdict rmap_total_verdict(const struct rmap_folio *folio, const struct rmap_mm *mm)
{
	(void)mm;
	/* Saturated, it is negative. */
	return (u32)rmap_read(&folio->mapcount) <= 1 ? RMAP_EXCLUSIVE : RMAP_UNKNOWN;
}

/*
 * One mapping, one reference, and the caller holds both: nothing can change under its page-table lock.
 * A saturated mapcount is no mapping that anybody counted.
 */
static __always_inline bool rmap_total_cow_reuse(const struct rmap_folio *folio, const struct rmap_mm *mm)
{
	(void)mm;
	return rmap_read(&folio->refcount) == 1 && rmap_read(&folio->mapcount) == 1;
}

#endif /* RMAP_TOTAL_MAPCOUNT_H */
