/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * scheme_programs.h - schemes over one folio: `moments` under each stage, `packed`, those under the bit lock, and the small
 * folio's table.
 *
 * Two questions each. MM 1 asks about a folio that MM 2 and MM 3 take turns to map: it was shared throughout, so no answer may be
 * "exclusive". And the COW decision about a folio with one reference more than mappings, throughout: it may never be "reuse".
 *
 * And a sanity check of the COW decision, "not more mappings than references", which may not fire without cause. Linux 6.15 had it wrong
 * twice: where mapcount and refcount were not yet stabilised, and the other way round. Both stand here beside the mended one.
 */
#ifndef RACE_SCHEME_PROGRAMS_H
#define RACE_SCHEME_PROGRAMS_H

#include "mm_id.h"
#include "moments.h"
#include "moments_flag.h"
#include "owner_counter.h"
#include "packed.h"
#include "small.h"

#include "program.h"

static struct rmap_folio folio = { .order = 2 };
static struct rmap_seq_table table;
static const struct rmap_mm mm1 = { .id = 1 }, mm2 = { .id = 2 }, mm3 = { .id = 3 };

static unsigned never(const uint64_t *final)
{
	(void)final;
	return (race_seen[2] ? 1u << FALSE_EXCLUSIVE : 0) | (race_seen[3] ? 1u << FOOLED : 0);
}

/* @turn: MM 3 maps, then MM 2 unmaps. @unmap: one mapping of MM 1 and its reference go. @map: the reverse. */
#define SCHEME(name)                                                                                    \
	static void name##_turn(void)                                                                   \
	{                                                                                               \
		name##_map(&folio, &mm3, 0, 1, 0);                                                      \
		name##_unmap(&folio, &mm2, 0, 1, 0);                                                    \
	}                                                                                               \
	static void name##_drop(void)                                                                   \
	{                                                                                               \
		name##_unmap(&folio, &mm1, 0, 1, 0);                                                    \
		rmap_put(&folio, 1);                                                                    \
	}                                                                                               \
	static void name##_take(void)                                                                   \
	{                                                                                               \
		rmap_get(&folio, 1);                                                                    \
		name##_map(&folio, &mm1, 0, 1, 0);                                                      \
	}                                                                                               \
	static void name##_ask(void) { race_seen[2] = name##_verdict(&folio, &mm1) == RMAP_EXCLUSIVE; } \
	static void name##_cow(void) { race_seen[3] = name##_cow_reuse(&folio, &mm1); }                 \
	static void name##_one(void) { name##_map(&folio, &mm1, 0, 1, 0); }                             \
	static void name##_second(void) { name##_map(&folio, &mm2, 0, 1, 0); }

DEFINE_RMAP_LINEAR(linear_shared, rmap_moments, shared)
DEFINE_RMAP_LINEAR(linear_cmpxchg, rmap_moments, cmpxchg)
DEFINE_RMAP_LINEAR(linear_add_return, rmap_moments, add_return)
SCHEME(linear_shared)
SCHEME(linear_cmpxchg)
SCHEME(linear_add_return)
SCHEME(rmap_packed)
SCHEME(rmap_owner)
SCHEME(rmap_mm_id)
SCHEME(rmap_moments_flag)

/* The smallest false exclusive where nothing protects the reader: a fact about such a reader, no promise of ours. */
static void unprotected_ask(void)
{
	const u64 n = (u64)(s64)rmap_read(&folio.mapcount);

	race_seen[2] = rmap_moments_match(&folio, &mm1, n);
}

static void hashed_drop(void)
{
	rmap_hashed_add(&table, &folio, -1);
	rmap_put(&folio, 1);
}

static void hashed_take(void)
{
	rmap_get(&folio, 1);
	rmap_hashed_add(&table, &folio, 1);
}

static void hashed_cow(void)
{
	race_seen[3] = rmap_hashed_cow_reuse(&table, &folio);
}

static unsigned packed_exact(const uint64_t *f)
{
	const u64 lo = 3 + (1 + 1 + 2) * (1ull << RMAP_PACKED_SHIFT), hi = 1 + 1 + 4;

	return f[0] != lo || f[1] != hi ? 1u << LOST : 0;
}

static unsigned owner_exact(const uint64_t *f)
{
	return f[0] != 2 || (f[1] != (1ull << 32 | 1) && f[1] != (2ull << 32 | 1)) ? 1u << LOST : 0;
}

/* Both MMs have a slot, in whatever order they came, and the flag is set. */
static unsigned mm_id_exact(const uint64_t *f)
{
	const u64 one = RMAP_MM_ID_SHARED | 1 | 2ull << 32, two = RMAP_MM_ID_SHARED | 2 | 1ull << 32;

	return f[0] != 2 || (f[1] != one && f[1] != two) || f[2] != 1 || f[3] != 1 ? 1u << LOST : 0;
}

static unsigned flag_exact(const uint64_t *f)
{
	return f[0] != 2 || f[1] != (RMAP_MOMENTS_FLAG_SHARED | 3) || f[2] != 5 ? 1u << LOST : 0;
}

/* Where the sanity check stands, and which way round. */
static __always_inline void sanity(int locked, int reversed)
{
	const u64 word = locked ? rmap_bit_lock(&folio.word) : 0;
	const s32 mapcount = rmap_read(&folio.mapcount), refcount = rmap_read(&folio.refcount);

	race_seen[4] = reversed ? mapcount < refcount : mapcount > refcount;
	if (locked)
		rmap_bit_unlock(&folio.word, word);
}

static void sane(void) { sanity(1, 0); }
static void sane_unlocked(void) { sanity(0, 0); }
static void sane_reversed(void) { sanity(1, 1); }

static unsigned no_warning(const uint64_t *final)
{
	(void)final;
	return race_seen[4] ? 1u << WARNED : 0;
}

#define LINEAR_WORDS(n, s, q, r)                                                                         \
	{ { &folio.seq, sizeof(folio.seq), "seq", 0 }, { &folio.mapcount, 4, "mapcount", n },            \
	  { &folio.value[0], 8, "S", s }, { &folio.value[1], 8, "Q", q }, { &folio.refcount, 4, "refcount", r } }
#define PACKED_WORDS(n, s, q, r)                                                                         \
	{ { &folio.packed.lo, 8, "lo", (n) + (u64)(s) * (1ull << RMAP_PACKED_SHIFT) },                    \
	  { &folio.packed.hi, 8, "hi", q }, { &folio.refcount, 4, "refcount", r } }
#define OWNER_WORDS(n, word_, r)                                                                         \
	{ { &folio.mapcount, 4, "mapcount", n }, { &folio.word, 8, "word", word_ }, { &folio.refcount, 4, "refcount", r } }
#define MM_ID_WORDS(n, word_, first, second, r)                                                          \
	{ { &folio.mapcount, 4, "mapcount", n }, { &folio.word, 8, "word", word_ }, { &folio.count[0], 4, "count[0]", first }, \
	  { &folio.count[1], 4, "count[1]", second }, { &folio.refcount, 4, "refcount", r } }
#define FLAG_WORDS(n, word_, q, r)                                                                       \
	{ { &folio.mapcount, 4, "mapcount", n }, { &folio.word, 8, "word", word_ }, { &folio.squares, 8, "Q", q }, \
	  { &folio.refcount, 4, "refcount", r } }
/* Which bucket it is depends on the folio's address: race_select() puts it in. */
#define RACE_TABLE (&table)
#define SMALL_WORDS(n, r) \
	{ { RACE_TABLE, sizeof(rmap_seq), "seq", 0 }, { &folio.small_mapcount, 4, "mapcount", n }, { &folio.refcount, 4, "refcount", r } }

#define ASKED 1u << FALSE_EXCLUSIVE | 1u << WAITS
#define DECIDED 1u << FOOLED | 1u << WAITS
#define TURN(stage, name, words) \
	{ "turn-ask", stage, "MM 3 maps, MM 2 unmaps; MM 1 asks", 1, 2, { name##_turn, name##_ask }, { "mappers", "asker" }, words, ASKED, never }
#define DROP(stage, drop, cow, words) \
	{ "drop-cow", stage, "an unmapper of a pinned folio, a COW decision", 1, 2, { drop, cow }, { "unmapper", "decider" }, words, DECIDED, never }
#define TAKE(stage, take, cow, words) \
	{ "take-cow", stage, "a mapper of a pinned folio, a COW decision", 1, 2, { take, cow }, { "mapper", "decider" }, words, DECIDED, never }
#define SANITY(stage, ours, cow)                                                                          \
	{ "drop-sanity", stage, "an unmapper, and a check that mappings are not more than references", ours, 2, \
	  { rmap_mm_id_drop, cow }, { "unmapper", "decider" }, MM_ID_WORDS(2, 1, 2, 0, 2), 1u << WARNED | 1u << WAITS, no_warning }
#define BOTH_MAP(stage, name, words, more, exact)                                                         \
	{ "map-map", stage, "two mappers of an unmapped folio", 1, 2, { name##_one, name##_second },       \
	  { "MM 1", "MM 2" }, words, 1u << LOST | 1u << WAITS | (more), exact }
#define LINEAR(stage, name)                                                  \
	TURN(stage, name, LINEAR_WORDS(2, 3, 5, 2)),                         \
	DROP(stage, name##_drop, name##_cow, LINEAR_WORDS(2, 2, 2, 3)),      \
	TAKE(stage, name##_take, name##_cow, LINEAR_WORDS(1, 1, 1, 2))

#define SCHEME_PROGRAMS                                                                                              \
	LINEAR("moments shared", linear_shared),                                                                     \
	LINEAR("moments cmpxchg", linear_cmpxchg),                                                                   \
	LINEAR("moments add-return", linear_add_return),                                                             \
	TURN("packed", rmap_packed, PACKED_WORDS(2, 3, 5, 2)),                                                       \
	DROP("packed", rmap_packed_drop, rmap_packed_cow, PACKED_WORDS(2, 2, 2, 3)),                                 \
	TAKE("packed", rmap_packed_take, rmap_packed_cow, PACKED_WORDS(1, 1, 1, 2)),                                 \
	{ "map-map-cow", "packed", "two mappers, a COW decision", 1, 3, { rmap_packed_one, rmap_packed_second, rmap_packed_cow }, \
	  { "MM 1", "MM 2", "decider" }, PACKED_WORDS(1, 1, 1, 1), 1u << LOST | 1u << WAITS, packed_exact },         \
	TURN("owner-counter", rmap_owner, OWNER_WORDS(2, 1ull << 32 | 1, 2)),                                        \
	DROP("owner-counter", rmap_owner_drop, rmap_owner_cow, OWNER_WORDS(2, 1ull << 32, 3)),                                \
	TAKE("owner-counter", rmap_owner_take, rmap_owner_cow, OWNER_WORDS(1, 1ull << 32, 2)),                                \
	BOTH_MAP("owner-counter", rmap_owner, OWNER_WORDS(0, 0, 0), 0, owner_exact),                                 \
	TURN("mm-id", rmap_mm_id, MM_ID_WORDS(2, RMAP_MM_ID_SHARED | 1 | 2ull << 32, 1, 1, 2)),                      \
	DROP("mm-id", rmap_mm_id_drop, rmap_mm_id_cow, MM_ID_WORDS(2, 1, 2, 0, 3)),                                  \
	TAKE("mm-id", rmap_mm_id_take, rmap_mm_id_cow, MM_ID_WORDS(1, 1, 1, 0, 2)),                                  \
	BOTH_MAP("mm-id", rmap_mm_id, MM_ID_WORDS(0, 0, 0, 0, 0), 1u << RACED, mm_id_exact),                          \
	SANITY("mm-id", 1, sane),                                                                                    \
	SANITY("mm-id, before the lock", 0, sane_unlocked),                                                          \
	SANITY("mm-id, reversed", 0, sane_reversed),                                                                 \
	TURN("moments-flag", rmap_moments_flag, FLAG_WORDS(2, RMAP_MOMENTS_FLAG_SHARED | 3, 5, 2)),                  \
	DROP("moments-flag", rmap_moments_flag_drop, rmap_moments_flag_cow, FLAG_WORDS(2, 2, 2, 3)),                 \
	TAKE("moments-flag", rmap_moments_flag_take, rmap_moments_flag_cow, FLAG_WORDS(1, 1, 1, 2)),                 \
	BOTH_MAP("moments-flag", rmap_moments_flag, FLAG_WORDS(0, 0, 0, 0), 1u << RACED, flag_exact),                \
	DROP("small, hashed", hashed_drop, hashed_cow, SMALL_WORDS(0, 2)),                                           \
	TAKE("small, hashed", hashed_take, hashed_cow, SMALL_WORDS(-1, 1)),                                          \
	{ "turn-unprotected", "moments shared", "as turn-ask, without the sequence count", 0, 2,                     \
	  { linear_shared_turn, unprotected_ask }, { "mappers", "asker" }, LINEAR_WORDS(2, 3, 5, 2),                 \
	  1u << FALSE_EXCLUSIVE, never }

#endif /* RACE_SCHEME_PROGRAMS_H */
