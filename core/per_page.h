/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * per_page.h - mapcounts of the single pages, and the two guesses built on them.
 *
 * folio_estimated_sharers() (Linux up to 6.9) and folio_likely_mapped_shared() (6.10 to
 * 6.14). Counters are adjusted one after the other and nothing stabilises them
 * against each other or against the refcount: that is what these kernels had, and the verdicts
 * are guesses anyway.
 */
#ifndef RMAP_PER_PAGE_H
#define RMAP_PER_PAGE_H

#include "folio.h"

static __always_inline void rmap_pages_add(struct rmap_folio *folio, u32 page, s32 nr, s32 sign)
{
	s32 i;

	for (i = 0; i < nr; i++)
		rmap_add(&folio->page_mapcount[page + (u32)i], sign);
}

static __always_inline void rmap_per_page_map(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page, s32 nr,
					      int entire)
{
	(void)mm;
	if (entire)
		rmap_add(&folio->entire_mapcount, nr);
	else
		rmap_pages_add(folio, page, nr, 1);
	rmap_add(&folio->mapcount, nr);
}

static __always_inline void rmap_per_page_unmap(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page,
						s32 nr, int entire)
{
	(void)mm;
	rmap_add(&folio->mapcount, -nr);
	if (entire)
		rmap_add(&folio->entire_mapcount, -nr);
	else
		rmap_pages_add(folio, page, nr, -1);
}

static __always_inline void rmap_per_page_set_first(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page,
						    s32 nr, int entire)
{
	s32 i;

	(void)mm;
	if (entire)
		rmap_write(&folio->entire_mapcount, nr);
	for (i = 0; !entire && i < nr; i++)
		rmap_write(&folio->page_mapcount[page + (u32)i], 1);
	rmap_write(&folio->mapcount, nr);
}

/* Add before removing: a count that dips would look like a mapper who left. */
static __always_inline void rmap_per_page_remap(struct rmap_folio *folio, const struct rmap_mm *mm)
{
	rmap_per_page_map(folio, mm, 0, 1 << folio->order, 0);
	rmap_per_page_unmap(folio, mm, 0, 1, 1);
}

static __always_inline enum rmap_verdict rmap_estimated_verdict(const struct rmap_folio *folio, const struct rmap_mm *mm)
{
	(void)mm;
	return rmap_read(&folio->page_mapcount[0]) + rmap_read(&folio->entire_mapcount) > 1 ? RMAP_IS_SHARED
											      : RMAP_EXCLUSIVE;
}

static __always_inline enum rmap_verdict rmap_likely_verdict(const struct rmap_folio *folio, const struct rmap_mm *mm)
{
	const s32 mapcount = rmap_read(&folio->mapcount);

	(void)mm;
	if (mapcount <= 1)
		return RMAP_EXCLUSIVE;
	if (rmap_read(&folio->entire_mapcount) > 0 || mapcount > 1 << folio->order)
		return RMAP_IS_SHARED;
	return rmap_read(&folio->page_mapcount[0]) > 1 ? RMAP_IS_SHARED : RMAP_EXCLUSIVE;
}

/* These kernels copied, always: a guess must not decide who may write. */
static __always_inline bool rmap_per_page_cow_reuse(const struct rmap_folio *folio, const struct rmap_mm *mm)
{
	(void)folio, (void)mm;
	return false;
}

#endif /* RMAP_PER_PAGE_H */
