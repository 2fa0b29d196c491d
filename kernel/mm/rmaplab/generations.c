// SPDX-License-Identifier: GPL-2.0
/*
 * generations.c - sub-IDs in generations, as posted and safe, shared writers.
 *
 * As posted it is wrong for orders 7 to 9 (docs/kernel.md shows how): for experiments only. Neither can answer
 * without an MM at hand; there the guess from the mapcounts stands in.
 */
#define RMAPLAB_WANTS_ROWS
#include "scheme.h"

#include <linux/slab.h>

#include "core/generations.h"

DEFINE_RMAP_LINEAR(core_posted, rmap_generations, shared)
DEFINE_RMAP_LINEAR(core_safe, rmap_generations_safe, shared)

/* The last value must lie inside the folio: order o has 2^o struct pages, the values start in the third. */
static_assert(RMAPLAB_PAGE(2 + 4, 0) <= RMAPLAB_PAGE(8, 0));

void *rmaplab_rows_make(u32 id)
{
	struct rmap_mm *rows = kmalloc(sizeof(*rows), GFP_KERNEL_ACCOUNT);

	if (rows)
		rmap_mm_init(rows, id);
	return rows;
}

#define GENERATIONS(symbol, title, core)                        \
	RMAPLAB_UPDATES(symbol, core, static, )                 \
	RMAPLAB_ANSWERS(symbol, core, static)                   \
	const struct rmaplab_scheme rmaplab_##symbol = {        \
		.name = title,                                  \
		.add = symbol##_add,                            \
		.sub = symbol##_sub,                            \
		.set = symbol##_set,                            \
		.mine = symbol##_mine,                          \
		.reuse = symbol##_reuse,                        \
		.rows = true,                                   \
	}

GENERATIONS(generations, "generations", core_posted);
GENERATIONS(generations_safe, "generations-safe", core_safe);
