// SPDX-License-Identifier: GPL-2.0 OR MIT
/* per_page.c - a guess from the first page, and how it goes wrong. Build: cc $(pkg-config --cflags rmaplab-core) per_page.c */
#include <assert.h>
#include <stdio.h>

#include <per_page.h>

int main(void)
{
	const struct rmap_mm parent = { .id = 5 }, worker = { .id = 6 };
	s32 pages[4] = { 0 };
	struct rmap_folio folio = { .refcount = 5, .order = 2, .page_mapcount = pages };

	rmap_per_page_set_first(&folio, &parent, 0, 4, 0);
	rmap_per_page_map(&folio, &worker, 3, 1, 0);
	/* Shared, but not its first page. */
	assert(rmap_estimated_verdict(&folio, &parent) == RMAP_EXCLUSIVE);
	assert(rmap_likely_verdict(&folio, &parent) == RMAP_IS_SHARED);
	printf("one guess of two is right\n");
	return 0;
}
