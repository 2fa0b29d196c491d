// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * future.c - reads that return what no store has yet: which values to guess, and when a guess cannot come true any more.
 *
 * Only values are guessed that an execution without an open guess, complete or not yet, has stored, and only where stores that overtake
 * the read (overtake.c) can lead to a store that makes the guess true. Threads that do the same learn from each other.
 */
#include <string.h>

#include "explore.h"

/* Values stored to a location, and who stores them. */
static uint64_t candidate[LOCATIONS][VALUES];
static unsigned writer_of[LOCATIONS][VALUES];
static int candidates[LOCATIONS], grown, age;

/* Locations that a thread stores to behind a read of a location, and how often at most it stores to one. */
static unsigned any[THREADS][LOCATIONS];
static int most[THREADS][LOCATIONS];

void forget_future(void)
{
	grown = 0;
	age = 1;
	memset(candidates, 0, sizeof(candidates));
	memset(any, 0, sizeof(any));
	memset(most, 0, sizeof(most));
}

/* Was anything learned since this was asked? */
int learned(void)
{
	const int was = grown;

	grown = 0;
	return was;
}

/* Events before which @e comes in (po | rf)+. */
uint64_t reached(const struct graph *g, int e)
{
	uint64_t seen = 1ull << e, before = 0;
	int i;

	while (seen != before) {
		before = seen;
		for (i = 0; i < g->n; i++) {
			const struct event *x = &g->event[i];
			uint64_t from = x->rf >= 0 ? 1ull << x->rf : 0;
			int j;

			for (j = 0; j < i && x->thread >= 0; j++)
				if (g->event[j].thread == x->thread)
					from |= 1ull << j;
			if (from & seen)
				seen |= 1ull << i;
		}
	}
	return seen & ~(1ull << e);
}

static void learn_bit(unsigned *bits, int bit)
{
	grown |= !(*bits >> bit & 1);
	*bits |= 1u << bit;
}

/* A thread and those that do the same. */
static unsigned kind_of(int thread)
{
	return problem->alike[thread] | 1u << thread;
}

static void learn_store(const struct graph *g, int w)
{
	const struct event *store = &g->event[w];
	unsigned m;
	int r;

	for (r = 0; r < w; r++) {
		const struct event *read = &g->event[r];

		if (read->kind != TAG_R || read->thread != store->thread)
			continue;
		for (m = kind_of(read->thread); m; m &= m - 1)
			learn_bit(&any[__builtin_ctz(m)][read->loc], store->loc);
	}
}

static void learn_order(const struct graph *g)
{
	int w, count[THREADS][LOCATIONS] = { { 0 } };
	unsigned m;

	for (w = 0; w < g->n; w++) {
		const struct event *store = &g->event[w];

		if (store->kind != TAG_W || store->thread < 0)
			continue;
		count[store->thread][store->loc]++;
		for (m = kind_of(store->thread); m; m &= m - 1) {
			int *known = &most[__builtin_ctz(m)][store->loc];

			if (count[store->thread][store->loc] > *known)
				*known = count[store->thread][store->loc], grown = 1;
		}
		learn_store(g, w);
	}
}

static void learn_value(const struct event *e)
{
	unsigned m;
	int k;

	for (k = 0; k < candidates[e->loc] && candidate[e->loc][k] != e->value; k++)
		;
	if (k == VALUES) {
		fail(5);
		return;
	}
	if (k == candidates[e->loc]) {
		writer_of[e->loc][k] = 0;
		candidate[e->loc][candidates[e->loc]++] = e->value;
		age++;
	}
	for (m = kind_of(e->thread); m; m &= m - 1)
		learn_bit(&writer_of[e->loc][k], __builtin_ctz(m));
}

/* An execution shows what is stored, by whom, behind which reads. */
void learn(const struct graph *g)
{
	int i;

	for (i = 0; i < g->n; i++)
		if (g->event[i].kind == TAG_W && g->event[i].thread >= 0)
			learn_value(&g->event[i]);
	learn_order(g);
}

/* Values that a read of @loc may return: the first one, and all that were stored. Return: how many of @value. */
int values_of(int loc, uint64_t *value)
{
	memcpy(value, candidate[loc], (size_t)candidates[loc] * sizeof(*value));
	value[candidates[loc]] = problem->initial[loc];
	return candidates[loc] + 1;
}

/* Locations of stores that may overtake the read @op, which @thread does next. */
static unsigned open_behind(const struct graph *g, int thread, const struct op *op)
{
	if (ahead(g, thread)->age != age) {
		const unsigned open = overtaking(g, thread, op);

		*ahead(g, thread) = (struct ahead){ .open = open, .age = age };
	}
	return ahead(g, thread)->open;
}

/* The read @op of @thread lets a store overtake it, from which a chain of reads and stores of others leads to a store to its location. */
static int closes(const struct graph *g, int thread, const struct op *op)
{
	unsigned to[THREADS] = { 0 }, before = 1, after = 0, x, l;
	const int loc = op->loc;
	int t, u;

	to[thread] = problem->spare_none ? any[thread][loc] : open_behind(g, thread, op);
	while (before != after) {
		before = after;
		for (t = 0; t < problem->threads; t++)
			for (x = to[t]; x; x &= x - 1)
				for (u = 0; u < problem->threads; u++)
					if (u != t && u != thread)
						to[u] |= any[u][__builtin_ctz(x)];
		for (after = 0, t = 0; t < problem->threads; t++)
			for (l = 0; l < LOCATIONS; l++)
				after += to[t] >> l & 1;
	}
	for (t = 0; t < problem->threads; t++)
		if (t != thread && to[t] >> loc & 1 && stored(g, t, loc) < most[t][loc])
			return 1;
	return 0;
}

/* Values that the read @op of @thread may guess. Return: how many of @value. */
int guesses(const struct graph *g, int thread, const struct op *op, uint64_t *value)
{
	const int loc = op->loc;
	int i, count = 0;

	if (!closes(g, thread, op))
		return 0;
	for (i = 0; i < candidates[loc]; i++)
		if (writer_of[loc][i] & ~(1u << thread))
			value[count++] = candidate[loc][i];
	return count;
}

/* Can no store any more make a pending read's guess true? @closed: the thread has ended. */
int hopeless(const struct graph *g, int thread, int closed)
{
	int r, w, t;

	for (r = 0; r < g->n; r++) {
		const struct event *e = &g->event[r];
		int overtaken = 0, left = 0;

		if (e->thread < 0 || e->kind != TAG_R || e->rf >= 0)
			continue;
		for (t = 0; t < problem->threads; t++)
			left |= t != e->thread && stored(g, t, e->loc) < most[t][e->loc];
		if (!left)
			return 1;
		if (e->thread != thread || !(closed || shut_by(g, r, g->n - 1)))
			continue;
		for (w = r + 1; w < g->n && !overtaken; w++)
			overtaken = g->event[w].thread == thread && g->event[w].kind == TAG_W && may_overtake(g, r, w);
		if (!overtaken)
			return 1;
	}
	return 0;
}
