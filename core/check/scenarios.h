/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * scenarios.h - what the sequence count promises, on a few threads.
 *
 * Two words, a and b, to which every writer adds one each. Readers must see them equal; in the end both must count all
 * writers. With a reference count: a is the mapcount, and a pinned reference is marked by PIN, so that a reader which
 * takes as many references as mappings for "no other references" is caught. With RMAP_SHARED that is also small.h's
 * decision under a hashed sequence count, word for word.
 */
#ifndef RMAP_CHECK_SCENARIOS_H
#define RMAP_CHECK_SCENARIOS_H

#include "../atomic_seqcount.h"

#define PIN 256

static union rmap_seqcount seq;
static u64 a, b, refcount;

/* A call on the count as one of a kind. @how is a constant. */
#define OF_KIND(how, call, ...)                                                   \
	((how) == RMAP_SHARED	 ? call(&seq.shared, ##__VA_ARGS__)               \
	 : (how) == RMAP_CMPXCHG ? call(&seq.cmpxchg, ##__VA_ARGS__)              \
				 : call(&seq.add_return, ##__VA_ARGS__))

static const struct {
	const u64 *address;
	const char *name;
} watched[LOCATIONS] = { { &seq.shared.word, "seq" }, { &a, "a" }, { &b, "b" }, { &refcount, "refcount" } };

struct scenario {
	const char *name;
	int threads;
	void (*thread[THREADS])(void);
	const char *role[THREADS];
	u64 initial[LOCATIONS];
	const char *(*broken)(void);
};

/* What readers saw; set by the last complete reading of an execution. */
static int torn, fooled;

static __always_inline void add_both(u64 nr, const enum rmap_writer how)
{
	const bool exclusive = OF_KIND(how, rmap_write_begin);

	if (exclusive) {
		rmap_write(&a, rmap_read(&a) + nr);
		rmap_write(&b, rmap_read(&b) + nr);
	} else {
		rmap_add(&a, nr);
		rmap_add(&b, nr);
	}
	OF_KIND(how, rmap_write_end, exclusive);
}

static __always_inline void read_both(const enum rmap_writer how)
{
	rmap_seq start;
	u64 x, y;

	do {
		start = OF_KIND(how, rmap_read_begin);
		x = rmap_read(&a);
		y = rmap_read(&b);
	} while (OF_KIND(how, rmap_read_retry, start));
	torn = x != y;
}

/* The COW decision: as many references as mappings. */
static __always_inline void ask_references(const enum rmap_writer how)
{
	rmap_seq start;
	u64 mapcount, references;

	do {
		start = OF_KIND(how, rmap_read_begin);
		mapcount = rmap_read(&a);
		references = rmap_read(&refcount);
	} while (OF_KIND(how, rmap_read_retry, start));
	fooled = references > PIN && references % PIN == mapcount;
}

/* The put is relaxed on purpose, weaker than rmap_put(): it shows that the COW decision needs no more. */
#define THREADS_OF(suffix, how)                                                     \
	static void write_##suffix(void) { add_both(1, how); }                      \
	static void read_##suffix(void) { read_both(how); }                         \
	static void ask_##suffix(void) { ask_references(how); }                     \
	static void map_##suffix(void)                                              \
	{                                                                           \
		rmap_add(&refcount, 1);                                             \
		add_both(1, how);                                                   \
	}                                                                           \
	static void unmap_##suffix(void)                                            \
	{                                                                           \
		add_both((u64)-1, how);                                             \
		rmap_add(&refcount, -1);                                            \
	}

THREADS_OF(shared, RMAP_SHARED)
THREADS_OF(cmpxchg, RMAP_CMPXCHG)
THREADS_OF(add_return, RMAP_ADD_RETURN)

/* A pin counts one reference more, marked. */
static void pin(void)
{
	rmap_add(&refcount, PIN + 1);
}

static const char *both_exact(u64 expected)
{
	if (torn)
		return "a reader saw one word of an update without the other";
	return last_value(&a) == expected && last_value(&b) == expected ? NULL : "an update was lost";
}

static const char *one_written(void)
{
	return both_exact(1);
}

static const char *two_written(void)
{
	return both_exact(2);
}

static const char *not_fooled(void)
{
	return fooled ? "a stranger's reference passed for a mapping's" : NULL;
}

#define WITH_READER(how, suffix) \
	{ how " writer and reader", 2, { write_##suffix, read_##suffix }, { "writer", "reader" }, { 0 }, one_written }
#define TWO_WRITERS(how, suffix) \
	{ "two " how " writers", 2, { write_##suffix, write_##suffix }, { "writer 1", "writer 2" }, { 0 }, two_written }
#define UNMAPPED(how, suffix)                                                                                       \
	{ "unmap (" how "), pin and COW decision", 3, { unmap_##suffix, pin, ask_##suffix }, { "unmapper", "pinner", "asker" }, \
	  { 0, 1, 1, 1 }, not_fooled }
#define MAPPED(how, suffix)                                                                                     \
	{ "map (" how ") of a pinned folio and COW decision", 2, { map_##suffix, ask_##suffix }, { "mapper", "asker" }, \
	  { 0, 1, 1, PIN + 2 }, not_fooled }

static const struct scenario scenarios[] = {
	WITH_READER("shared", shared),
	WITH_READER("cmpxchg", cmpxchg),
	WITH_READER("add-return", add_return),
	TWO_WRITERS("cmpxchg", cmpxchg),
	TWO_WRITERS("add-return", add_return),
	UNMAPPED("shared", shared),
	UNMAPPED("cmpxchg", cmpxchg),
	UNMAPPED("add-return", add_return),
	MAPPED("shared", shared),
	MAPPED("cmpxchg", cmpxchg),
	MAPPED("add-return", add_return),
	{ "two shared writers and reader", 3, { write_shared, write_shared, read_shared },
	  { "writer 1", "writer 2", "reader" }, { 0 }, two_written },
};

#endif /* RMAP_CHECK_SCENARIOS_H */
