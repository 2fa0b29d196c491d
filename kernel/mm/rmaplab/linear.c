// SPDX-License-Identifier: GPL-2.0
/*
 * linear.c - moments: two sums under a sequence count with concurrent writers, in its three stages.
 */
#include "scheme.h"

#include "core/moments.h"
#include "core/moments_flag.h"

DEFINE_RMAP_LINEAR(core_moments, rmap_moments, shared)
DEFINE_RMAP_LINEAR(core_exclusive, rmap_moments, cmpxchg)
DEFINE_RMAP_LINEAR(core_exclusive_add, rmap_moments, add_return)

/* More attempts than writers ever are in a row, on a folio that is one; a folio being split may be anything. */
#define PATIENCE 64

/* Whoever the owner is: n * Q == S^2. Inside a read section. */
static __always_inline bool alone(const struct rmap_folio *words)
{
	const u64 n = (u64)(s64)rmap_read(&words->mapcount);
	const u64 s = rmap_read(&words->value[0]);
	const u64 q = rmap_read(&words->value[1]);

	return rmap_moments_flag_alone(n, s, q);
}

/*
 * The caller may hold no more than a reference, or not even that, so the loop has an end, and says "shared" there.
 */
#define ANY(words, kind)                                                         \
	for (int attempt = 0; attempt < PATIENCE; attempt++) {                   \
		rmap_seq start;                                                  \
                                                                                 \
		if (rmap_read_try_begin(&(words)->seq.kind, &start)) {           \
			const bool one = alone(words);                           \
                                                                                 \
			if (!rmap_read_retry(&(words)->seq.kind, start))         \
				return !one;                                     \
		}                                                                \
		rmap_cpu_relax();                                                \
	}                                                                        \
	return true

#define MOMENTS(symbol, title, core, kind)                      \
	RMAPLAB_UPDATES(symbol, core, static, )                 \
	RMAPLAB_ANSWERS(symbol, core, static)                   \
	static bool symbol##_shared(struct folio *folio)        \
	{                                                       \
		const struct rmap_folio *words = rmaplab_words(folio); \
                                                                \
		ANY(words, kind);                               \
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

MOMENTS(moments, "moments", core_moments, shared);
MOMENTS(moments_exclusive, "moments+exclusive", core_exclusive, cmpxchg);
MOMENTS(moments_exclusive_add, "moments+exclusive-add", core_exclusive_add, add_return);
