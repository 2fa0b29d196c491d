// SPDX-License-Identifier: GPL-2.0 OR MIT
/* moments.c - S and Q under a sequence count whose writers try to be alone. Build: cc $(pkg-config --cflags rmaplab-core) moments.c */
#include <assert.h>
#include <stdio.h>

#include <moments.h>

DEFINE_RMAP_LINEAR(rmap_sums, rmap_moments, cmpxchg)

int main(void)
{
	static struct rmap_mm parent = { .id = 5 }, worker = { .id = 6 };
	struct rmap_folio folio = { .refcount = 4, .order = 2 };

	rmap_sums_set_first(&folio, &parent, 0, 4, 0);
	assert(rmap_sums_cow_reuse(&folio, &parent));
	rmap_get(&folio, 4);
	rmap_sums_map(&folio, &worker, 0, 4, 0);
	assert(rmap_sums_verdict(&folio, &worker) == RMAP_IS_SHARED && !rmap_sums_cow_reuse(&folio, &worker));
	rmap_sums_unmap(&folio, &parent, 0, 4, 0);
	rmap_put(&folio, 4);
	assert(rmap_sums_verdict(&folio, &worker) == RMAP_EXCLUSIVE && rmap_sums_cow_reuse(&folio, &worker));
	printf("the last one reuses\n");
	return 0;
}
