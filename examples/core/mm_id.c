// SPDX-License-Identifier: GPL-2.0 OR MIT
/* mm_id.c - two slots: exact while two are enough. Build: cc $(pkg-config --cflags rmaplab-core) mm_id.c */
#include <assert.h>
#include <stdio.h>

#include <mm_id.h>

int main(void)
{
	static struct rmap_mm parent = { .id = 5 }, worker = { .id = 6 };
	struct rmap_folio folio = { .refcount = 4, .order = 2 };

	rmap_mm_id_set_first(&folio, &parent, 0, 4, 0);
	assert(rmap_mm_id_cow_reuse(&folio, &parent));
	rmap_get(&folio, 4);
	rmap_mm_id_map(&folio, &worker, 0, 4, 0);
	assert(rmap_mm_id_verdict(&folio, &worker) == RMAP_IS_SHARED && !rmap_mm_id_cow_reuse(&folio, &worker));
	rmap_mm_id_unmap(&folio, &parent, 0, 4, 0);
	rmap_put(&folio, 4);
	assert(rmap_mm_id_verdict(&folio, &worker) == RMAP_EXCLUSIVE && rmap_mm_id_cow_reuse(&folio, &worker));
	printf("the last one reuses\n");
	return 0;
}
