/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * list.h - every scheme as an instance with a name, for the code that serves them all.
 *
 * A name is the scheme's of rmaplab.schemes; "+exclusive" says that writers try to become
 * the exclusive writer by compare-exchange, "+exclusive-add" by add-return.
 */
#ifndef RMAP_LIB_LIST_H
#define RMAP_LIB_LIST_H

#include "../bits.h"
#include "../generations.h"
#include "../mm_id.h"
#include "../moments.h"
#include "../moments_flag.h"
#include "../one_value.h"
#include "../owner_counter.h"
#include "../packed.h"
#include "../per_page.h"
#include "../small.h"
#include "../total_mapcount.h"

#define rmap_estimated_map rmap_per_page_map
#define rmap_estimated_unmap rmap_per_page_unmap
#define rmap_estimated_set_first rmap_per_page_set_first
#define rmap_estimated_remap rmap_per_page_remap
#define rmap_estimated_cow_reuse rmap_per_page_cow_reuse
#define rmap_likely_map rmap_per_page_map
#define rmap_likely_unmap rmap_per_page_unmap
#define rmap_likely_set_first rmap_per_page_set_first
#define rmap_likely_remap rmap_per_page_remap
#define rmap_likely_cow_reuse rmap_per_page_cow_reuse

#define RMAP_THREE_WRITERS(prefix)                                   \
	DEFINE_RMAP_LINEAR(prefix##_shared, prefix, shared)          \
	DEFINE_RMAP_LINEAR(prefix##_exclusive, prefix, cmpxchg)      \
	DEFINE_RMAP_LINEAR(prefix##_exclusive_add, prefix, add_return)

RMAP_THREE_WRITERS(rmap_generations)
RMAP_THREE_WRITERS(rmap_generations_safe)
RMAP_THREE_WRITERS(rmap_bits)
RMAP_THREE_WRITERS(rmap_moments)
RMAP_THREE_WRITERS(rmap_one_value)

#define RMAP_LISTED(X, name, prefix, words)             \
	X(name, prefix##_shared, words)                 \
	X(name "+exclusive", prefix##_exclusive, words) \
	X(name "+exclusive-add", prefix##_exclusive_add, words)

#if RMAP_HAS_CMPXCHG128
#define RMAP_LISTED_PACKED(X) X("packed", packed, packed)
#else
#define RMAP_LISTED_PACKED(X)
#endif

/* X(name, function prefix without rmap_, kind of state words) */
#define RMAP_SCHEMES(X)                                                \
	X("total-mapcount", total, total)                              \
	X("estimated-sharers", estimated, pages)                       \
	X("likely-shared", likely, pages)                              \
	X("owner-counter", owner, owner)                               \
	X("mm-id", mm_id, mm_id)                                       \
	RMAP_LISTED(X, "generations", generations, posted)             \
	RMAP_LISTED(X, "generations-safe", generations_safe, safe)     \
	RMAP_LISTED(X, "bits", bits, bits)                             \
	RMAP_LISTED(X, "moments", moments, moments)                    \
	RMAP_LISTED(X, "one-value", one_value, one_value)              \
	RMAP_LISTED_PACKED(X)                                          \
	X("packed-fallback", packed_fallback, packed)                  \
	X("moments-flag", moments_flag, moments_flag)

#endif /* RMAP_LIB_LIST_H */
