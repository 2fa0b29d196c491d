// SPDX-License-Identifier: GPL-2.0
/*
 * flag.c - the schemes under the bit lock: moments-flag and, for kernels without slots, mm-id.
 */
#include "scheme.h"

#include "core/moments_flag.h"
#ifdef CONFIG_MM_ID
#include <linux/rmaplab_slots.h>
#endif

#if defined(CONFIG_MM_ID) && !defined(CONFIG_RMAPLAB_STATS)
/* The lock is held, mapcount and squares are what they shall be, and so is @word, but for its flag, which is set. */
u64 rmaplab_slots_settle(struct folio *folio, u64 word)
{
	const u32 n = atomic_read(&folio->_large_mapcount) + 1;

	return rmap_moments_flag_settle(word, *rmaplab_slots_squares(folio) + 1, n);
}
#endif

#if !(defined(CONFIG_RMAPLAB_ONE_MOMENTS_FLAG) && defined(CONFIG_MM_ID))
#ifdef CONFIG_RMAPLAB_MANY
#define SCOPE static
#else
#define SCOPE
#endif

RMAPLAB_UPDATES(rmaplab_flag, rmap_moments_flag, SCOPE, )
RMAPLAB_ANSWERS(rmaplab_flag, rmap_moments_flag, SCOPE)

SCOPE bool rmaplab_flag_shared(struct folio *folio)
{
	return READ_ONCE(rmaplab_words(folio)->word) & RMAP_MOMENTS_FLAG_SHARED;
}

#if defined(CONFIG_MM_ID) && !defined(CONFIG_RMAPLAB_STATS)
/* In the slots' place, which two pages have too. */
__rmaplab_callee void rmaplab_two_pages_add(RMAPLAB_UPDATE)
{
	rmaplab_slots_add(folio, nr, vma);
}

__rmaplab_callee void rmaplab_two_pages_sub(RMAPLAB_UPDATE)
{
	rmaplab_slots_sub(folio, nr, vma);
}

__rmaplab_callee void rmaplab_two_pages_set(RMAPLAB_UPDATE)
{
	rmaplab_slots_set(folio, nr, vma);
}
#else
__rmaplab_callee void rmaplab_two_pages_add(RMAPLAB_UPDATE)
{
	rmaplab_mapped(vma, nr);
	if (!RMAPLAB_BESIDE)
		atomic_add(nr, &folio->_large_mapcount);
}

__rmaplab_callee void rmaplab_two_pages_sub(RMAPLAB_UPDATE)
{
	rmaplab_mapped(vma, -nr);
	if (!RMAPLAB_BESIDE)
		atomic_sub(nr, &folio->_large_mapcount);
}

__rmaplab_callee void rmaplab_two_pages_set(RMAPLAB_UPDATE)
{
	rmaplab_mapped(vma, nr);
	if (!RMAPLAB_BESIDE)
		atomic_set(&folio->_large_mapcount, nr - 1);
}
#endif
#endif /* not in the slots' place alone */

#ifdef CONFIG_RMAPLAB_MANY
const struct rmaplab_scheme rmaplab_moments_flag = {
	.name = "moments-flag",
	.add = rmaplab_flag_add,
	.sub = rmaplab_flag_sub,
	.set = rmaplab_flag_set,
	.mine = rmaplab_flag_mine,
	.reuse = rmaplab_flag_reuse,
	.shared = rmaplab_flag_shared,
};

#if defined(CONFIG_MM_ID) && !defined(CONFIG_RMAPLAB_STATS)
/* The kernel reads its flag itself; nobody asks us. */
const struct rmaplab_scheme rmaplab_moments_flag_slots = {
	.name = "moments-flag",
	.add = rmaplab_two_pages_add,
	.sub = rmaplab_two_pages_sub,
	.set = rmaplab_two_pages_set,
	.slots = true,
};
#endif

#ifndef CONFIG_MM_ID
#include "core/mm_id.h"

RMAPLAB_UPDATES(mm_id, rmap_mm_id, static, )
RMAPLAB_ANSWERS(mm_id, rmap_mm_id, static)

static bool mm_id_shared(struct folio *folio)
{
	return READ_ONCE(rmaplab_words(folio)->word) & RMAP_MM_ID_SHARED;
}

const struct rmaplab_scheme rmaplab_mm_id = {
	.name = "mm-id",
	.add = mm_id_add,
	.sub = mm_id_sub,
	.set = mm_id_set,
	.mine = mm_id_mine,
	.reuse = mm_id_reuse,
	.shared = mm_id_shared,
};
#endif
#endif /* CONFIG_RMAPLAB_MANY */
