// SPDX-License-Identifier: GPL-2.0 OR MIT
/* small.c - a small folio: its mapcount answers, and a table of counts makes the COW decision sound. Build: cc $(pkg-config --cflags rmaplab-core) small.c */
#include <assert.h>
#include <stdio.h>

#include <small.h>

static struct rmap_seq_table table;

int main(void)
{
	struct rmap_folio folio = { .refcount = 1, .small_mapcount = -1 };

	rmap_hashed_add(&table, &folio, 1);
	assert(rmap_small_verdict(&folio) == RMAP_EXCLUSIVE && rmap_hashed_cow_reuse(&table, &folio));
	rmap_get(&folio, 1);
	assert(!rmap_hashed_cow_reuse(&table, &folio));
	rmap_put(&folio, 1);
	assert(rmap_small_unmap(&folio));
	printf("unmapped\n");
	return 0;
}
