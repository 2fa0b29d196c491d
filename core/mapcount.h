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
 * rmap_mapcount_after() - a mapcount after an update
 * @before: what it was
 * @nr: mappings more, or, negative, less
 *
 * Return: the mapcount, RMAP_MAPCOUNT_SATURATED (negative) where it has, or had, no room.
 */
static __always_inline s32 rmap_mapcount_after(s32 before, s32 nr)
{
	const s32 after = (s32)((u32)before + (u32)nr);

	return unlikely((before | after) < 0) ? RMAP_MAPCOUNT_SATURATED : after;
}

/**
 * rmap_mapcount_add() - update a mapcount to which others may add at the same time
 * @mapcount: pointer to the mapcount
 * @nr: mappings more, or, negative, less
 *
 * Whoever sees no room before or after its own addition ends it by a store: what others add in
 * between is overwritten, and who comes later finds it saturated. So readers must not look before
 * the store, which a write section sees to. Where nothing does, as in total_mapcount.h, a batch
 * is below 2^30 and what they see in between is negative, too. A macro, since a kernel keeps mapcounts
 * in a type of its own.
 */
#define rmap_mapcount_add(mapcount, nr)                                                        \
	do {                                                                                   \
		const s32 __nr = (nr), __after = rmap_add_return(mapcount, __nr);              \
                                                                                               \
		if (unlikely((((s32)((u32)__after - (u32)__nr)) | __after) < 0))               \
			rmap_write(mapcount, RMAP_MAPCOUNT_SATURATED);                         \
	} while (0)

#endif /* RMAP_MAPCOUNT_H */
