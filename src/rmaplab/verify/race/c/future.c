// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * future.c - reads that return what no store has yet: which values to guess, and when a guess cannot come true any more.
 *
 * Only values that a complete execution has stored are guessed, and only where stores that overtake the read can lead to a store
 * that makes the guess true. Threads that do the same learn from each other.
 */
#include <string.h>

#include "explore.h"

/* Values stored to a location, and who stores them. */
static uint64_t candidate[LOCATIONS][VALUES];
static unsigned writer_of[LOCATIONS][VALUES];
static int candidates[LOCATIONS], grown;

/* Locations that a thread stores to behind a read of a location: at all, and where the store may overtake the read. */
static unsigned any[THREADS][LOCATIONS], open_[THREADS][LOCATIONS];
static int most[THREADS][LOCATIONS];

void forget_future(void)
{
	grown = 0;
	memset(candidates, 0, sizeof(candidates));
	memset(any, 0, sizeof(any));
	memset(open_, 0, sizeof(open_));
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

/* Does the last fence @f keep later stores behind the read @r of its thread? */
static int shut_by(const struct graph *g, int r, int f)
{
	int i, rmw = 0;

	for (i = r; i < f; i++)
		rmw |= g->event[i].thread == g->event[f].thread && g->event[i].rmw >= 0;
	return !!(g->event[f].tags & (problem->full | (rmw ? problem->full_after_rmw : 0)));
}

/* Is the store @w, behind the read @r in its thread, free to be seen before the read is done? */
static int may_overtake(const struct graph *g, int r, int w)
{
	const struct event *read = &g->event[r], *store = &g->event[w];
	const uint64_t binding = !problem->marked || store->rmw >= 0 || store->tags & problem->marked ? store->data | store->ctrl : 0;
	uint64_t shut = 0;
	int i, rmw = read->rmw >= 0;

	if (w == read->rmw || store->loc == read->loc || (store->addr | binding) >> r & 1)
		return 0;
	for (i = r + 1; i < w; i++) {
		const struct event *x = &g->event[i];

		if (x->thread != read->thread)
			continue;
		rmw |= x->rmw >= 0;
		shut |= x->tags & (problem->full | (rmw ? problem->full_after_rmw : 0));
	}
	return !shut && !(store->tags & problem->release);
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
		for (m = kind_of(read->thread); m; m &= m - 1) {
			const int t = __builtin_ctz(m);

			learn_bit(&any[t][read->loc], store->loc);
			if (read->twin < 0 && may_overtake(g, r, w)) /* a read of 16 bytes guesses nothing */
				learn_bit(&open_[t][read->loc], store->loc);
		}
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
	}
	for (m = kind_of(e->thread); m; m &= m - 1)
		learn_bit(&writer_of[e->loc][k], __builtin_ctz(m));
}

/* A complete execution shows what is stored, by whom, behind which reads. */
void learn(const struct graph *g)
{
	int i;

	for (i = 0; i < g->n; i++)
		if (g->event[i].kind == TAG_W && g->event[i].thread >= 0)
			learn_value(&g->event[i]);
	learn_order(g);
}

/* A read of @loc by @thread lets a store overtake it, from which a chain of reads and stores of others leads to a store to @loc. */
static int closes(const struct graph *g, int thread, int loc)
{
	unsigned to[THREADS] = { 0 }, before = 1, after = 0, x, l;
	int t, u;

	to[thread] = open_[thread][loc];
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

/* Values that a read of @loc by @thread may guess. Return: how many of @value. */
int guesses(const struct graph *g, int thread, int loc, uint64_t *value)
{
	int i, count = 0;

	if (!closes(g, thread, loc))
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
