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
#include "posted.h"
#include "program.h"

#define PIN 256

/* Whose operations: core/'s, or those of the mails. */
enum whose { OURS, POSTED };

static union rmap_seqcount seq;
static u64 a, b, refcount;

/* A call on the count as one of a kind. @how is a constant. */
#define OF_KIND(how, call, ...)                                                   \
	((how) == RMAP_SHARED	 ? call(&seq.shared, ##__VA_ARGS__)               \
	 : (how) == RMAP_CMPXCHG ? call(&seq.cmpxchg, ##__VA_ARGS__)              \
				 : call(&seq.add_return, ##__VA_ARGS__))
#define POSTED_SEQ (&seq.shared.word)

static __always_inline rmap_seq open(const enum whose whose, const enum rmap_writer how)
{
	return whose == OURS ? OF_KIND(how, rmap_read_begin) : posted_read_begin(POSTED_SEQ, how);
}

static __always_inline bool again(const enum whose whose, rmap_seq start)
{
	return whose == OURS ? rmap_read_retry(&seq.shared, start) : posted_read_retry(POSTED_SEQ, start);
}

static __always_inline void add_both(u64 nr, const enum whose whose, const enum rmap_writer how)
{
	const bool exclusive = whose == OURS ? OF_KIND(how, rmap_write_begin) : posted_write_begin(POSTED_SEQ, how);

	if (exclusive) {
		rmap_write(&a, rmap_read(&a) + nr);
		rmap_write(&b, rmap_read(&b) + nr);
	} else {
		rmap_add(&a, nr);
		rmap_add(&b, nr);
	}
	if (whose == OURS)
		OF_KIND(how, rmap_write_end, exclusive);
	else
		posted_write_end(POSTED_SEQ, exclusive, how);
}

static __always_inline void read_both(const enum whose whose, const enum rmap_writer how)
{
	rmap_seq start;
	u64 x, y;

	do {
		start = open(whose, how);
		x = rmap_read(&a);
		y = rmap_read(&b);
	} while (again(whose, start));
	race_seen[0] = x != y;
}

/* The COW decision: as many references as mappings. */
static __always_inline void ask_references(const enum whose whose, const enum rmap_writer how)
{
	rmap_seq start;
	u64 mapcount, references;

	do {
		start = open(whose, how);
		mapcount = rmap_read(&a);
		references = rmap_read(&refcount);
	} while (again(whose, start));
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

#define STAGE(suffix, whose, how)                                                                                    \
	static void write_##suffix(void) { add_both(1, whose, how); }                                                \
	static void read_##suffix(void) { read_both(whose, how); }                                                   \
	static void ask_##suffix(void) { ask_references(whose, how); }                                               \
	static void map_##suffix(void)                                                                        \
	{                                                                                                     \
		rmap_add(&refcount, 1);                                                                       \
		add_both(1, whose, how);                                                                             \
	}                                                                                                     \
	static void unmap_##suffix(void)                                                                      \
	{                                                                                                     \
		add_both((u64)-1, whose, how);                                                                       \
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

STAGE(shared, OURS, RMAP_SHARED)
STAGE(cmpxchg, OURS, RMAP_CMPXCHG)
STAGE(add_return, OURS, RMAP_ADD_RETURN)
STAGE(posted_shared, POSTED, RMAP_SHARED)
STAGE(posted_cmpxchg, POSTED, RMAP_CMPXCHG)
STAGE(posted_add_return, POSTED, RMAP_ADD_RETURN)

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

#define SEQCOUNT_PROGRAMS(ours, stage_name, suffix, how)                                                      \
	{ "writer-reader", stage_name, "a writer, a reader", ours, 2, { write_##suffix, read_##suffix },         \
	  { "writer", "reader" }, SEQ_AB(0), WITH_READER, one_##suffix },                                     \
	{ "wrap-reader", stage_name, "a writer that wraps the sequence, a reader", ours, 2,                      \
	  { write_##suffix, read_##suffix }, { "writer", "reader" }, SEQ_AB((rmap_seq)0 - ((rmap_seq)1 << (RMAP_SEQ_SHARED_BITS + (how == RMAP_SHARED ? 0 : how == RMAP_ADD_RETURN && RMAP_SEQ_HAS_ADD_RETURN ? RMAP_SEQ_SHARED_BITS : 1)))), WITH_READER, wrap_##suffix },    \
	{ "two-writers", stage_name, "two writers", ours, 2, { write_##suffix, write_##suffix },                 \
	  { "writer 1", "writer 2" }, SEQ_AB(0), WRITERS, two_##suffix },                                     \
	{ "two-writers-reader", stage_name, "two writers, a reader", ours, 3,                                    \
	  { write_##suffix, write_##suffix, read_##suffix }, { "writer 1", "writer 2", "reader" }, SEQ_AB(0), \
	  WITH_READER, two_##suffix },                                                                        \
	{ "three-writers", stage_name, "three writers", ours, 3,                                                 \
	  { write_##suffix, write_##suffix, write_##suffix }, { "writer 1", "writer 2", "writer 3" },         \
	  SEQ_AB(0), WRITERS, three_##suffix },                                                               \
	{ "unmap-pin-ask", stage_name, "an unmapper, a pinner, a COW decision", ours, 3,                         \
	  { unmap_##suffix, pin, ask_##suffix }, { "unmapper", "pinner", "asker" }, REFERENCES(1, 1),         \
	  1u << FOOLED | 1u << WAITS, not_fooled },                                                           \
	{ "map-pinned-ask", stage_name, "a mapper of a pinned folio, a COW decision", ours, 2,                   \
	  { map_##suffix, ask_##suffix }, { "mapper", "asker" }, REFERENCES(1, PIN + 2),                      \
	  1u << FOOLED | 1u << WAITS, not_fooled }

/* Twenty times the executions of three writers: for our stages only. */
#define FOUR_THREADS(stage_name, suffix)                                                                      \
	{ "three-writers-reader", stage_name, "three writers, a reader", 1, 4,                                \
	  { write_##suffix, write_##suffix, write_##suffix, read_##suffix },                                  \
	  { "writer 1", "writer 2", "writer 3", "reader" }, SEQ_AB(0), WITH_READER, three_##suffix }

#endif /* RACE_SEQCOUNT_PROGRAMS_H */
