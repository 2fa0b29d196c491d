// SPDX-License-Identifier: GPL-2.0 OR MIT
/* folio.c - references of a folio: one for each mapping and one that is no mapping. Build: cc $(pkg-config --cflags rmaplab-core) folio.c */
#include <assert.h>
#include <stdio.h>

#include <folio.h>

int main(void)
{
	struct rmap_folio folio = { .refcount = 1, .order = 9 };

	assert(rmap_folio_test_large(&folio));
	rmap_get(&folio, 512);
	rmap_put(&folio, 512);
	assert(rmap_read(&folio.refcount) == 1);
	printf("%d reference\n", rmap_read(&folio.refcount));
	return 0;
}
