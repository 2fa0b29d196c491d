// SPDX-License-Identifier: GPL-2.0 OR MIT
/* mapcount.c - a mapcount that has no room saturates, for ever. Build: cc $(pkg-config --cflags rmaplab-core) mapcount.c */
#include <assert.h>
#include <stdio.h>

#include <mapcount.h>

int main(void)
{
	s32 mapcount = RMAP_MAPCOUNT_MAX;

	assert(rmap_mapcount_after(7, -2) == 5);
	rmap_mapcount_add(&mapcount, 1);
	rmap_mapcount_add(&mapcount, -1);
	assert(mapcount == RMAP_MAPCOUNT_SATURATED);
	printf("%d\n", mapcount);
	return 0;
}
