/* SPDX-License-Identifier: GPL-2.0 */
/*
 * folio.h - the core's folio and MM, laid over struct folio. Takes the place of core/folio.h.
 *
 * Where the words lie, in 64-byte struct pages (order 2 and up; an order-1 folio has two of them and no room):
 *
 *	page 1  _large_mapcount, in the first page of tails, is the mapcount
 *	page 2  bytes 32-47: two words of the scheme (S and Q; word and squares; packed)
 *	page 2, 3, ... bytes 32-39: one word each, for schemes with more than two (generations)
 *	page 3  bytes 16-23: the sequence count; bytes 40-47: a mapcount of its own, with CONFIG_RMAPLAB_STATS beside slots
 *
 * Those are ->index, ->private and half of ->lru of tail pages, which nobody uses in folios that can be mapped in part;
 * hugetlb, which uses page 3, is not tracked. ->private must be 0 when a folio is split, and the sums are. A sequence
 * count is not, and lies elsewhere. ->mapping of page 3 stays what it is.
 */
#ifndef RMAP_FOLIO_H
#define RMAP_FOLIO_H

#include <linux/build_bug.h>
#include <linux/mm_types.h>
#include <linux/rmaplab.h>

#include "atomic_seqcount.h"

#define RMAP_MAX_ORDER 21
#define RMAP_ID_BITS 24
#define RMAP_MAX_SUBIDS 8

/* linux/rmap.h has a macro of this name, for something else; a scheme's file undefines it after its includes. */
enum rmap_verdict { RMAP_UNKNOWN = 0, RMAP_EXCLUSIVE = 1, RMAP_IS_SHARED = 2 };

struct rmap_mm {
	u32 id;
#ifdef RMAPLAB_WANTS_ROWS
	u64 posted[16][RMAP_MAX_SUBIDS] __rmap_aligned(RMAP_CACHELINE);
	u64 safe[RMAP_MAX_ORDER + 1][RMAP_MAX_SUBIDS];
#endif
};

#define RMAPLAB_PAGE(nr, offset) ((nr) * sizeof(struct page) + (offset))
#define RMAPLAB_WORDS RMAPLAB_PAGE(2, 32)

/* One member at a byte offset. */
#define RMAPLAB_AT(where, member)    \
	struct {                     \
		u8 before_##where[where]; \
		member;              \
	}

enum {
	RMAPLAB_REFCOUNT = offsetof(struct folio, _refcount),
	RMAPLAB_ORDER = offsetof(struct folio, _flags_1) + (IS_ENABLED(CONFIG_CPU_BIG_ENDIAN) ? 7 : 0),
	RMAPLAB_SEQ = RMAPLAB_PAGE(3, 16),
	RMAPLAB_LOW = RMAPLAB_WORDS,
	RMAPLAB_HIGH = RMAPLAB_WORDS + 8,
	RMAPLAB_MAPCOUNT = offsetof(struct folio, _large_mapcount),
	RMAPLAB_OWN_MAPCOUNT = RMAPLAB_PAGE(3, 40),
};

struct rmap_folio {
	union {
		struct folio folio;
		RMAPLAB_AT(RMAPLAB_REFCOUNT, s32 refcount);
		RMAPLAB_AT(RMAPLAB_ORDER, u8 order);
		RMAPLAB_AT(RMAPLAB_SEQ, union rmap_seqcount seq);
		struct {
			u8 before_words[RMAPLAB_WORDS];
			union {
#ifdef RMAPLAB_WANTS_ROWS
				struct rmap_far value[RMAP_MAX_SUBIDS];
#else
				u64 value[2];
#endif
				struct {
					union {
						s32 count[2];
						u64 squares;
					};
					u64 word;
				};
				struct rmap_u128 packed;
			};
		};
#if defined(CONFIG_RMAPLAB_STATS) && defined(CONFIG_MM_ID)
		RMAPLAB_AT(RMAPLAB_OWN_MAPCOUNT, s32 mapcount);
#else
		RMAPLAB_AT(RMAPLAB_MAPCOUNT, struct rmap_biased mapcount);
#endif
	};
};

static_assert(sizeof(struct page) == 64);
static_assert(offsetof(struct rmap_folio, order) == RMAPLAB_ORDER);
static_assert(offsetof(struct rmap_folio, refcount) == offsetof(struct folio, _refcount));
static_assert(offsetof(struct rmap_folio, packed) % 16 == 0);
static_assert(offsetof(struct rmap_folio, seq) % 8 == 0);
static_assert(offsetof(struct folio, index) == 32 && offsetof(struct folio, private) == 40);
static_assert(offsetof(struct folio, mapping) == 24);
static_assert(offsetof(struct rmap_folio, mapcount) % 4 == 0);

static __always_inline struct rmap_folio *rmaplab_words(struct folio *folio)
{
	return (struct rmap_folio *)folio;
}

#endif /* RMAP_FOLIO_H */
