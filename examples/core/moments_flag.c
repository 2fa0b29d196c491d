// SPDX-License-Identifier: GPL-2.0 OR MIT
/* moments_flag.c - S and Q under the bit lock: exact for any number of MMs. Build: cc $(pkg-config --cflags rmaplab-core) moments_flag.c */
#include <assert.h>
#include <stdio.h>

#include <moments_flag.h>

int main(void)
{
	static struct rmap_mm parent = { .id = 5 }, worker = { .id = 6 };
	struct rmap_folio folio = { .refcount = 4, .order = 2 };

	rmap_moments_flag_set_first(&folio, &parent, 0, 4, 0);
	assert(rmap_moments_flag_cow_reuse(&folio, &parent));
	rmap_get(&folio, 4);
	rmap_moments_flag_map(&folio, &worker, 0, 4, 0);
	assert(rmap_moments_flag_verdict(&folio, &worker) == RMAP_IS_SHARED && !rmap_moments_flag_cow_reuse(&folio, &worker));
	rmap_moments_flag_unmap(&folio, &parent, 0, 4, 0);
	rmap_put(&folio, 4);
	assert(rmap_moments_flag_verdict(&folio, &worker) == RMAP_EXCLUSIVE && rmap_moments_flag_cow_reuse(&folio, &worker));
	printf("the last one reuses\n");
	return 0;
}
