/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * mapcount.h - a mapcount has 31 bits, and saturates.
 *
 * Linux keeps it in an atomic_t. One page table entry is 8 bytes, so whoever has 16 GiB for page
 * tables can map one page 2^31 times. A count that wrapped would make a folio with
 * mappings look like one without; so, as refcount_t does, a count that leaves 0 .. 2^31 - 1
 * stays at RMAP_MAPCOUNT_SATURATED for ever: the folio leaks, and nobody is told EXCLUSIVE
 * again. docs/schemes.md, "Limits".
 */
#ifndef RMAP_MAPCOUNT_H
#define RMAP_MAPCOUNT_H

#include "platform.h"

#define RMAP_MAPCOUNT_MAX 0x7fffffff
/* In the middle of the negative numbers: far from both ends. */
#define RMAP_MAPCOUNT_SATURATED (-0x40000000)

/**
 * rmap_mapcount_update() - update a mapcount, for whoever holds the folio's lock
 * @mapcount: the mapcount
 * @before: what it is
 * @nr: mappings more, or, negative, less
 *
 * Return: the mapcount after it, RMAP_MAPCOUNT_SATURATED (negative) where it has no room.
 */
static __always_inline s32 rmap_mapcount_update(s32 *mapcount, s32 before, s32 nr)
{
	const s32 after = (s32)((u32)before + (u32)nr);

	if (unlikely((before | after) < 0)) {
		rmap_write(mapcount, RMAP_MAPCOUNT_SATURATED);
		return RMAP_MAPCOUNT_SATURATED;
	}
	rmap_write(mapcount, after);
	return after;
}

#endif /* RMAP_MAPCOUNT_H */
