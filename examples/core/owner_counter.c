// SPDX-License-Identifier: GPL-2.0 OR MIT
/* owner_counter.c - the first one is remembered, the others are counted: after it has left nobody is exclusive. Build: cc $(pkg-config --cflags rmaplab-core) owner_counter.c */
#include <assert.h>
#include <stdio.h>

#include <owner_counter.h>

int main(void)
{
	static struct rmap_mm parent = { .id = 5 }, worker = { .id = 6 };
	struct rmap_folio folio = { .refcount = 4, .order = 2 };

	rmap_owner_set_first(&folio, &parent, 0, 4, 0);
	assert(rmap_owner_cow_reuse(&folio, &parent));
	rmap_get(&folio, 4);
	rmap_owner_map(&folio, &worker, 0, 4, 0);
	assert(rmap_owner_verdict(&folio, &worker) == RMAP_IS_SHARED && !rmap_owner_cow_reuse(&folio, &worker));
	rmap_owner_unmap(&folio, &parent, 0, 4, 0);
	rmap_put(&folio, 4);
	assert(rmap_owner_verdict(&folio, &worker) == RMAP_IS_SHARED && !rmap_owner_cow_reuse(&folio, &worker));
	printf("the last one copies\n");
	return 0;
}
