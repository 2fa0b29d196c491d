// SPDX-License-Identifier: GPL-2.0 OR MIT
/* bits.c - a counter for each bit of the ID. Build: cc $(pkg-config --cflags rmaplab-core) bits.c */
#include <assert.h>
#include <stdio.h>

#include <bits.h>

DEFINE_RMAP_LINEAR(rmap_counters, rmap_bits, shared)

int main(void)
{
	static struct rmap_mm parent = { .id = 5 }, worker = { .id = 6 };
	struct rmap_folio folio = { .refcount = 4, .order = 2 };

	rmap_counters_set_first(&folio, &parent, 0, 4, 0);
	assert(rmap_counters_cow_reuse(&folio, &parent));
	rmap_get(&folio, 4);
	rmap_counters_map(&folio, &worker, 0, 4, 0);
	assert(rmap_counters_verdict(&folio, &worker) == RMAP_IS_SHARED && !rmap_counters_cow_reuse(&folio, &worker));
	rmap_counters_unmap(&folio, &parent, 0, 4, 0);
	rmap_put(&folio, 4);
	assert(rmap_counters_verdict(&folio, &worker) == RMAP_EXCLUSIVE && rmap_counters_cow_reuse(&folio, &worker));
	printf("the last one reuses\n");
	return 0;
}
