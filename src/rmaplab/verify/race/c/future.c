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

/* Locations that a thread stores to behind a read of a location: at all, and, by the read's row, where the store may overtake it. */
static unsigned any[THREADS][LOCATIONS], open_[THREADS][LOCATIONS][ROWS];
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

/* What ends the time in which stores overtake a read: seen on the way from it through its thread. */
struct shutter {
	uint64_t kept; /* events that every model keeps behind the read, itself among them */
	int rmw, before, all;
};

static struct shutter behind(const struct graph *g, int r)
{
	const struct event *read = &g->event[r];

	return (struct shutter){ .kept = 1ull << r, .rmw = read->rmw >= 0, .all = !!(read->tags & problem->acquire) };
}

/* Do models keep the store behind what its value and its being made depend on? */
static int binding(const struct event *e)
{
	return e->kind == TAG_W && (!problem->marked || e->rmw >= 0 || e->tags & problem->marked);
}

/*
 * Is the read @x behind what its thread stored there before it? That is so of what it stored last, if the value came from what is
 * kept behind, and of any such store if the read returns another thread's, which then comes later in the order.
 */
static int after_own_store(const struct graph *g, int x, uint64_t kept)
{
	const struct event *read = &g->event[x];
	int w;

	if (read->kind != TAG_R || read->rf < 0)
		return 0;
	for (w = 0; w < x; w++) {
		const struct event *store = &g->event[w];

		if (store->kind == TAG_W && store->thread == read->thread && store->loc == read->loc && binding(store) &&
		    (store->addr | store->data) & kept && (read->rf == w || g->event[read->rf].thread != read->thread))
			return 1;
	}
	return 0;
}

/* Is it the write of a read-modify-write that with acquire and release is a barrier? */
static int full_rmw(const struct graph *g, const struct event *x)
{
	return x->kind == TAG_W && x->rmw >= 0 && x->tags & problem->full_rmw && x->tags & problem->release &&
	       g->event[x->rmw].tags & problem->acquire;
}

/* On to the next event of the thread. */
static void pass(const struct graph *g, struct shutter *s, int i)
{
	const struct event *x = &g->event[i];

	s->rmw |= x->rmw >= 0;
	s->before |= !!(x->tags & problem->full_before_rmw);
	s->all |= (s->before && x->rmw >= 0) || x->tags & (problem->full | (s->rmw ? problem->full_after_rmw : 0));
	if (s->all || x->tags & problem->release || (x->addr | (binding(x) ? x->data | x->ctrl : 0)) & s->kept ||
	    after_own_store(g, i, s->kept)) {
		s->kept |= 1ull << i;
		s->all |= !!(x->tags & problem->acquire) || full_rmw(g, x);
	}
}

/* Does the last event @f keep all later ones behind the read @r of its thread? */
static int shut_by(const struct graph *g, int r, int f)
{
	struct shutter s = behind(g, r);
	int i;

	if (problem->spare_none)
		return 0;
	for (i = r + 1; i <= f; i++)
		if (g->event[i].thread == g->event[r].thread)
			pass(g, &s, i);
	return s.all;
}

/* Is the store @w, behind the read @r in its thread, free to be seen before the read is done? */
static int may_overtake(const struct graph *g, int r, int w)
{
	const struct event *read = &g->event[r], *store = &g->event[w];
	struct shutter s = behind(g, r);
	int i;

	if (w == read->rmw || store->loc == read->loc)
		return 0;
	if (problem->spare_none)
		return 1;
	for (i = r + 1; i <= w; i++)
		if (g->event[i].thread == read->thread)
			pass(g, &s, i);
	return !(s.kept >> w & 1);
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
				learn_bit(&open_[t][read->loc][read->row], store->loc);
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

/* The read @op of @thread lets a store overtake it, from which a chain of reads and stores of others leads to a store to its location. */
static int closes(const struct graph *g, int thread, const struct op *op)
{
	unsigned to[THREADS] = { 0 }, before = 1, after = 0, x, l;
	const int loc = op->loc;
	int t, u;

	to[thread] = open_[thread][loc][op->row];
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
