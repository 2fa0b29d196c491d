// SPDX-License-Identifier: GPL-2.0 OR MIT
/* total_mapcount.c - the mapcount alone knows a single mapping from more, and no more. Build: cc $(pkg-config --cflags rmaplab-core) total_mapcount.c */
#include <assert.h>
#include <stdio.h>

#include <total_mapcount.h>

int main(void)
{
	const struct rmap_mm mm = { .id = 5 };
	struct rmap_folio folio = { .refcount = 1, .order = 2 };

	rmap_total_set_first(&folio, &mm, 0, 1, 0);
	assert(rmap_total_verdict(&folio, &mm) == RMAP_EXCLUSIVE && rmap_total_cow_reuse(&folio, &mm));
	rmap_total_map(&folio, &mm, 1, 1, 0);
	assert(rmap_total_verdict(&folio, &mm) == RMAP_UNKNOWN);
	printf("two mappings of one MM: unknown\n");
	return 0;
}
