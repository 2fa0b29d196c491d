// SPDX-License-Identifier: GPL-2.0
/*
 * packed.c - mapcount and both sums in one 16-byte word.
 *
 * The word has a mapcount of its own; the kernel's is kept beside it, for the many who read that.
 */
#include "scheme.h"

#ifdef system_has_cmpxchg128
#include "core/moments_flag.h"
#include "core/packed.h"

RMAPLAB_UPDATES(packed, rmap_packed, static,
		if (!RMAPLAB_BESIDE) atomic_add(more, &folio->_large_mapcount))
RMAPLAB_ANSWERS(packed, rmap_packed, static)

/* S is kept modulo 2^40: with IDs of 22 bits it is S itself up to 2^18 mappings, and beyond that the answer is "shared". */
static bool packed_shared(struct folio *folio)
{
	const struct rmap_u128 word = rmap_read128(&rmaplab_words(folio)->packed);
	const u64 n = word.lo & RMAP_PACKED_MAPCOUNT;

	return n > 1 << 18 || !rmap_moments_flag_alone(n, word.lo >> RMAP_PACKED_SHIFT, word.hi);
}

static bool packed_usable(void)
{
	return system_has_cmpxchg128();
}

#else
#define packed_add rmaplab_no_update
#define packed_sub rmaplab_no_update
#define packed_set rmaplab_no_update
#define packed_mine NULL
#define packed_reuse NULL
#define packed_shared NULL
static bool packed_usable(void)
{
	return false;
}
#endif

const struct rmaplab_scheme rmaplab_packed = {
	.name = "packed",
	.add = packed_add,
	.sub = packed_sub,
	.set = packed_set,
	.mine = packed_mine,
	.reuse = packed_reuse,
	.shared = packed_shared,
	.usable = packed_usable,
};
