/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * seqcount_programs.h - what the sequence count promises, on a few threads.
 *
 * Two words, a and b, to which every writer adds one each. Readers must see them equal; in the end both count all writers and the
 * sequence's word has nobody registered. With a reference count: a is the mapcount, and a pinned reference is marked by PIN, so that a
 * reader which takes as many references as mappings for "no other references" is caught.
 */
#ifndef RACE_SEQCOUNT_PROGRAMS_H
#define RACE_SEQCOUNT_PROGRAMS_H

#include "atomic_seqcount.h"
#include "program.h"

#define PIN 256

static rmap_seq seq;
static u64 a, b, refcount;

static __always_inline void add_both(u64 nr, const enum rmap_writer how)
{
	const int exclusive = rmap_write_begin(&seq, how);

	if (exclusive) {
		rmap_write(&a, rmap_read(&a) + nr);
		rmap_write(&b, rmap_read(&b) + nr);
	} else {
		rmap_add(&a, nr);
		rmap_add(&b, nr);
	}
	rmap_write_end(&seq, exclusive, how);
}

static __always_inline void read_both(const enum rmap_writer how)
{
	rmap_seq start;
	u64 x, y;

	do {
		start = rmap_read_begin(&seq, how);
		x = rmap_read(&a);
		y = rmap_read(&b);
	} while (rmap_read_retry(&seq, start));
	race_seen[0] = x != y;
}

/* The COW decision: as many references as mappings. */
static __always_inline void ask_references(const enum rmap_writer how)
{
	rmap_seq start;
	u64 mapcount, references;

	do {
		start = rmap_read_begin(&seq, how);
		mapcount = rmap_read(&a);
		references = rmap_read(&refcount);
	} while (rmap_read_retry(&seq, start));
	race_seen[1] = references > PIN && references % PIN == mapcount;
}

static void pin(void)
{
	rmap_add(&refcount, PIN + 1);
}

/* Bits of the word: below the step of @how nobody is registered, above it every section counts one. */
static unsigned word_is_off(u64 final, u64 initial, int sections, const enum rmap_writer how)
{
	return (rmap_seq)final != (rmap_seq)(initial + (u64)sections * rmap_seq_step(how)) ? 1u << INEXACT : 0;
}

static unsigned sums_are_off(const uint64_t *final, u64 expected)
{
	return final[1] != expected || final[2] != expected ? 1u << LOST : 0;
}

#define STAGE(suffix, how)                                                                                    \
	static void write_##suffix(void) { add_both(1, how); }                                                \
	static void read_##suffix(void) { read_both(how); }                                                   \
	static void ask_##suffix(void) { ask_references(how); }                                               \
	static void map_##suffix(void)                                                                        \
	{                                                                                                     \
		rmap_add(&refcount, 1);                                                                       \
		add_both(1, how);                                                                             \
	}                                                                                                     \
	static void unmap_##suffix(void)                                                                      \
	{                                                                                                     \
		add_both((u64)-1, how);                                                                       \
		rmap_add_release(&refcount, -1);                                                              \
	}                                                                                                     \
	static unsigned check_##suffix(const uint64_t *f, int writers, u64 initial)                           \
	{                                                                                                     \
		return word_is_off(f[0], initial, writers, how) | sums_are_off(f, (u64)writers) |             \
		       (race_seen[0] ? 1u << TORN : 0);                                                       \
	}                                                                                                     \
	static unsigned one_##suffix(const uint64_t *f) { return check_##suffix(f, 1, 0); }                   \
	static unsigned two_##suffix(const uint64_t *f) { return check_##suffix(f, 2, 0); }                   \
	static unsigned three_##suffix(const uint64_t *f) { return check_##suffix(f, 3, 0); }                 \
	static unsigned wrap_##suffix(const uint64_t *f)                                                      \
	{                                                                                                     \
		return check_##suffix(f, 1, (rmap_seq)0 - rmap_seq_step(how));                                \
	}

STAGE(shared, RMAP_SHARED)
STAGE(cmpxchg, RMAP_CMPXCHG)
STAGE(add_return, RMAP_ADD_RETURN)

static unsigned not_fooled(const uint64_t *final)
{
	(void)final;
	return race_seen[1] ? 1u << FOOLED : 0;
}

#define SEQ_AB(start) { { &seq, sizeof(seq), "seq", start }, { &a, 8, "a", 0 }, { &b, 8, "b", 0 } }
#define REFERENCES(n, r) \
	{ { &seq, sizeof(seq), "seq", 0 }, { &a, 8, "mapcount", n }, { &b, 8, "b", n }, { &refcount, 8, "refcount", r } }
#define WRITERS (1u << LOST | 1u << INEXACT | 1u << WAITS)
#define WITH_READER (WRITERS | 1u << TORN)

#define SEQCOUNT_PROGRAMS(stage_name, suffix, how)                                                            \
	{ "writer-reader", stage_name, "a writer, a reader", 1, 2, { write_##suffix, read_##suffix },         \
	  { "writer", "reader" }, SEQ_AB(0), WITH_READER, one_##suffix },                                     \
	{ "wrap-reader", stage_name, "a writer that wraps the sequence, a reader", 1, 2,                      \
	  { write_##suffix, read_##suffix }, { "writer", "reader" }, SEQ_AB((rmap_seq)0 - ((rmap_seq)1 << (RMAP_SEQ_SHARED_BITS + (how == RMAP_SHARED ? 0 : how == RMAP_ADD_RETURN && RMAP_SEQ_HAS_ADD_RETURN ? RMAP_SEQ_SHARED_BITS : 1)))), WITH_READER, wrap_##suffix },    \
	{ "two-writers", stage_name, "two writers", 1, 2, { write_##suffix, write_##suffix },                 \
	  { "writer 1", "writer 2" }, SEQ_AB(0), WRITERS, two_##suffix },                                     \
	{ "two-writers-reader", stage_name, "two writers, a reader", 1, 3,                                    \
	  { write_##suffix, write_##suffix, read_##suffix }, { "writer 1", "writer 2", "reader" }, SEQ_AB(0), \
	  WITH_READER, two_##suffix },                                                                        \
	{ "three-writers", stage_name, "three writers", 1, 3,                                                 \
	  { write_##suffix, write_##suffix, write_##suffix }, { "writer 1", "writer 2", "writer 3" },         \
	  SEQ_AB(0), WRITERS, three_##suffix },                                                               \
	{ "unmap-pin-ask", stage_name, "an unmapper, a pinner, a COW decision", 1, 3,                         \
	  { unmap_##suffix, pin, ask_##suffix }, { "unmapper", "pinner", "asker" }, REFERENCES(1, 1),         \
	  1u << FOOLED | 1u << WAITS, not_fooled },                                                           \
	{ "map-pinned-ask", stage_name, "a mapper of a pinned folio, a COW decision", 1, 2,                   \
	  { map_##suffix, ask_##suffix }, { "mapper", "asker" }, REFERENCES(1, PIN + 2),                      \
	  1u << FOOLED | 1u << WAITS, not_fooled }

#endif /* RACE_SEQCOUNT_PROGRAMS_H */
