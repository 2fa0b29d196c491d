// SPDX-License-Identifier: GPL-2.0 OR MIT
/* one_value.c - one value for everything. Build: cc $(pkg-config --cflags rmaplab-core) one_value.c */
#include <assert.h>
#include <stdio.h>

#include <one_value.h>

DEFINE_RMAP_LINEAR(rmap_single, rmap_one_value, add_return)

int main(void)
{
	static struct rmap_mm parent = { .id = 5 }, worker = { .id = 6 };
	struct rmap_folio folio = { .refcount = 4, .order = 2 };

	rmap_single_set_first(&folio, &parent, 0, 4, 0);
	assert(rmap_single_cow_reuse(&folio, &parent));
	rmap_get(&folio, 4);
	rmap_single_map(&folio, &worker, 0, 4, 0);
	assert(rmap_single_verdict(&folio, &worker) == RMAP_IS_SHARED && !rmap_single_cow_reuse(&folio, &worker));
	rmap_single_unmap(&folio, &parent, 0, 4, 0);
	rmap_put(&folio, 4);
	assert(rmap_single_verdict(&folio, &worker) == RMAP_EXCLUSIVE && rmap_single_cow_reuse(&folio, &worker));
	printf("the last one reuses\n");
	return 0;
}
