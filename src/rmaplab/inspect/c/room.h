/* Columns that grow together. */
#ifndef RMAPLAB_INSPECT_ROOM_H
#define RMAPLAB_INSPECT_ROOM_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#define RMAP_FIRST_ROOM 256

/* Half as much again, so that n rows cost O(n) copies; large blocks move by mremap(2), without any. */
static inline int64_t rmap_more_room(int64_t room)
{
	return room ? room + room / 2 : RMAP_FIRST_ROOM;
}

static inline int rmap_resize(void **column, int64_t rows, size_t width)
{
	void *moved = realloc(*column, (rows ? rows : 1) * width);

	if (!moved)
		return -ENOMEM;
	*column = moved;
	return 0;
}

#define RMAP_RESIZE(column, rows) rmap_resize((void **)&(column), rows, sizeof(*(column)))

#endif
