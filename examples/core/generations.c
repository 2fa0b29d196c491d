// SPDX-License-Identifier: GPL-2.0 OR MIT
/* generations.c - sub-IDs are made once for an MM, then a fork whose parent leaves. Build: cc $(pkg-config --cflags rmaplab-core) generations.c */
#include <assert.h>
#include <stdio.h>

#include <generations.h>

DEFINE_RMAP_LINEAR(rmap_safe, rmap_generations_safe, shared)

int main(void)
{
	static struct rmap_mm parent, worker;
	struct rmap_folio folio = { .refcount = 4, .order = 2 };

	rmap_mm_init(&parent, 5);
	rmap_mm_init(&worker, 6);
	rmap_safe_set_first(&folio, &parent, 0, 4, 0);
	assert(rmap_safe_cow_reuse(&folio, &parent));
	rmap_get(&folio, 4);
	rmap_safe_map(&folio, &worker, 0, 4, 0);
	assert(rmap_safe_verdict(&folio, &worker) == RMAP_IS_SHARED && !rmap_safe_cow_reuse(&folio, &worker));
	rmap_safe_unmap(&folio, &parent, 0, 4, 0);
	rmap_put(&folio, 4);
	assert(rmap_safe_verdict(&folio, &worker) == RMAP_EXCLUSIVE && rmap_safe_cow_reuse(&folio, &worker));
	printf("the last one reuses\n");
	return 0;
}
