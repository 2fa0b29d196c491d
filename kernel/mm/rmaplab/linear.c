// SPDX-License-Identifier: GPL-2.0
/*
 * linear.c - moments: two sums under a sequence count with concurrent writers, in its three stages.
 */
#include "scheme.h"

#include "core/moments.h"
#include "core/moments_flag.h"

DEFINE_RMAP_LINEAR(core_moments, rmap_moments, RMAP_SHARED)
DEFINE_RMAP_LINEAR(core_exclusive, rmap_moments, RMAP_CMPXCHG)
DEFINE_RMAP_LINEAR(core_exclusive_add, rmap_moments, RMAP_ADD_RETURN)

/* More attempts than writers ever are in a row, on a folio that is one; a folio being split may be anything. */
#define PATIENCE 64

/*
 * Whoever the owner is: n * Q == S^2. The caller may hold no more than a reference, or not even that, so the loop
 * has an end, and says "shared" there.
 */
static __always_inline bool any(struct folio *folio, const enum rmap_writer how)
{
	struct rmap_folio *words = rmaplab_words(folio);
	int attempt;

	for (attempt = 0; attempt < PATIENCE; attempt++) {
		const rmap_seq start = rmap_read_acquire(&words->seq);
		u64 n, s, q;

		if (start & rmap_seq_writers_mask(how)) {
			rmap_cpu_relax();
			continue;
		}
		n = (u64)(s64)rmap_read(&words->mapcount);
		s = rmap_read(&words->value[0]);
		q = rmap_read(&words->value[1]);
		if (!rmap_read_retry(&words->seq, start))
			return !rmap_moments_flag_alone(n, s, q);
	}
	return true;
}

#define MOMENTS(symbol, title, core, how)                       \
	RMAPLAB_UPDATES(symbol, core, static, )                 \
	RMAPLAB_ANSWERS(symbol, core, static)                   \
	static bool symbol##_shared(struct folio *folio)        \
	{                                                       \
		return any(folio, how);                         \
	}                                                       \
	const struct rmaplab_scheme rmaplab_##symbol = {        \
		.name = title,                                  \
		.add = symbol##_add,                            \
		.sub = symbol##_sub,                            \
		.set = symbol##_set,                            \
		.mine = symbol##_mine,                          \
		.reuse = symbol##_reuse,                        \
		.shared = symbol##_shared,                      \
	}

MOMENTS(moments, "moments", core_moments, RMAP_SHARED);
MOMENTS(moments_exclusive, "moments+exclusive", core_exclusive, RMAP_CMPXCHG);
MOMENTS(moments_exclusive_add, "moments+exclusive-add", core_exclusive_add, RMAP_ADD_RETURN);
