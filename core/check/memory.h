/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * memory.h - C11's memory model as an abstract machine, for weak.c.
 *
 * Views: every location keeps its stores in modification order, every thread knows the oldest store
 * of each location it may still read. Loads choose any store from there on; plain stores choose any place behind it; a
 * read-modify-write goes right behind the store it read. Release and acquire, on accesses and as fences, pass views on;
 * read-modify-writes continue a release sequence. This is the model of C11 without cycles through the future: a load
 * cannot return a store that is not yet executed (load buffering), so a fault that needs it is not found here.
 */
#ifndef RMAP_CHECK_MEMORY_H
#define RMAP_CHECK_MEMORY_H

#include "weak_platform.h"

enum { LOCATIONS = 4, STORES = 24, THREADS = 3 };

/* For every location a store's number (not its place, which later insertions move). */
struct view {
	u8 seen[LOCATIONS];
};

struct store {
	u64 value;
	struct view released;
	int is_rmw;
};

struct location {
	const u64 *address;
	const char *name;
	struct store store[STORES];
	u8 order[STORES];
	u8 place[STORES];
	int count;
};

struct thread_view {
	struct view now;
	struct view at_release_fence;
	struct view until_acquire_fence;
};

static struct location memory[LOCATIONS];

static void join(struct view *into, const struct view *from)
{
	int l;

	for (l = 0; l < LOCATIONS; l++)
		if (memory[l].place[from->seen[l]] > memory[l].place[into->seen[l]])
			into->seen[l] = from->seen[l];
}

static struct location *location_of(const u64 *p)
{
	int l;

	for (l = 0; memory[l].address != p; l++)
		;
	return &memory[l];
}

/* The store at @place in modification order may be the one a read-modify-write reads: nothing stands right behind it. */
static int free_behind(const struct location *at, int place)
{
	return place + 1 == at->count || !at->store[at->order[place + 1]].is_rmw;
}

/* Number of a new store, inserted right behind @place. */
static int insert(struct location *at, int place, u64 value, int is_rmw)
{
	const int number = at->count++;
	int i;

	for (i = number; i > place + 1; i--) {
		at->order[i] = at->order[i - 1];
		at->place[at->order[i]] = (u8)i;
	}
	at->order[place + 1] = (u8)number;
	at->place[number] = (u8)(place + 1);
	at->store[number].value = value;
	at->store[number].is_rmw = is_rmw;
	return number;
}

/* The thread reads store @number. */
static void take(struct thread_view *t, struct location *at, int number, enum weak_order order)
{
	const int l = (int)(at - memory);
	const struct store *s = &at->store[number];

	t->now.seen[l] = (u8)number;
	join(order == WEAK_ACQUIRE ? &t->now : &t->until_acquire_fence, &s->released);
}

/* The thread puts store @number, which as a read-modify-write continues what @read released. */
static void give(struct thread_view *t, struct location *at, int number, enum weak_order order, const struct store *read)
{
	const int l = (int)(at - memory);
	struct store *s = &at->store[number];

	t->now.seen[l] = (u8)number;
	s->released = order == WEAK_RELEASE ? t->now : t->at_release_fence;
	s->released.seen[l] = (u8)number;
	if (read)
		join(&s->released, &read->released);
}

static void fence(struct thread_view *t, enum weak_order order)
{
	if (order == WEAK_RELEASE)
		t->at_release_fence = t->now;
	else
		join(&t->now, &t->until_acquire_fence);
}

static u64 last_value(const u64 *p)
{
	const struct location *at = location_of(p);

	return at->store[at->order[at->count - 1]].value;
}

#endif /* RMAP_CHECK_MEMORY_H */
