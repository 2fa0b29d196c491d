// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * overtake.c - which stores may be seen before an earlier read of their thread is done?
 *
 * In an execution: the models' axioms, read as rules for one thread. Before it is one: the thread is followed on every way it can go,
 * each read returning any value ever stored to its location, until something keeps all that comes later behind the read.
 */
#include <string.h>

#include "explore.h"

/* Ways followed from one read. Beyond it any store may overtake. */
enum { WAYS = 1 << 15 };
static const unsigned ANY = (1u << LOCATIONS) - 1;

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
 * kept behind, and of any such store if the read returns another thread's, which then comes later in the order. (Without a store yet it
 * will be either what its thread stored last or another thread's.)
 */
static int after_own_store(const struct graph *g, int x, uint64_t kept)
{
	const struct event *read = &g->event[x];
	int w, last = 1;

	if (read->kind != TAG_R)
		return 0;
	for (w = x - 1; w >= 0; w--) {
		const struct event *store = &g->event[w];

		if (store->kind != TAG_W || store->thread != read->thread || store->loc != read->loc)
			continue;
		if (binding(store) && (store->addr | store->data) & kept &&
		    (read->rf < 0 ? last : read->rf == w || g->event[read->rf].thread != read->thread))
			return 1;
		last = 0;
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
int shut_by(const struct graph *g, int r, int f)
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
int may_overtake(const struct graph *g, int r, int w)
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

static unsigned follow(const struct graph *g, int thread, int r, int *ways);

/* The operation's stores and fences, and on: @next has its reads. */
static unsigned past(struct graph *next, int thread, const struct op *op, int r, int w, int *ways)
{
	unsigned found = 0;

	if (w >= 0 && may_overtake(next, r, w))
		found = 1u << next->event[w].loc;
	leave(next, thread, op);
	return shut_by(next, r, next->n - 1) ? found : found | follow(next, thread, r, ways);
}

/* @op reads @value (16 bytes: its halves). @r: the read that is asked about, or -1: it is this one. */
static unsigned having_read(const struct graph *g, int thread, const struct op *op, int r, const uint64_t *value, int *ways)
{
	const struct row *row = &problem->row[op->row];
	const int halves = op->wide ? 2 : 1;
	struct graph next = *g;
	int h, read[2], w = -1;

	add_fences(&next, thread, op, row->pre);
	for (h = 0; h < halves; h++)
		read[h] = add_read(&next, thread, op, h, -1, value[h] & op->mask);
	if (took(&next, thread, op, read))
		for (h = 0; h < halves; h++) {
			w = add_event(&next, thread, op, TAG_W, op->loc + h, row->write);
			next.event[w].data |= op->kind == OP_RMW && op->function != FN_PUT ? 1ull << read[h] : 0;
			next.event[w].rmw = read[h];
			next.event[read[h]].rmw = w;
		}
	if (r >= 0 && halves == 2 && w >= 0)
		return past(&next, thread, op, r, w, ways) | (may_overtake(&next, r, w - 1) ? 1u << op->loc : 0);
	return past(&next, thread, op, r < 0 ? read[0] : r, w, ways);
}

static unsigned follow_read(const struct graph *g, int thread, const struct op *op, int r, int *ways)
{
	uint64_t low[VALUES + 1], high[VALUES + 1] = { 0 };
	const int lows = values_of(op->loc, low), highs = op->wide ? values_of(op->loc + 1, high) : 1;
	unsigned found = 0;
	int i, j;

	for (i = 0; i < lows; i++)
		for (j = 0; j < highs; j++)
			found |= having_read(g, thread, op, r, (uint64_t[]){ low[i], high[j] }, ways);
	return found;
}

/* Locations of stores behind @g in the thread that may overtake its read @r. */
static unsigned follow(const struct graph *g, int thread, int r, int *ways)
{
	struct graph next;
	struct op op;
	int w = -1;

	if (!forecast(g, thread, &op) || --*ways < 0 || g->n > EVENTS - 2 * FENCES - 4 || g->thread[thread].reads > READS - 4)
		return ANY;
	switch (op.kind) {
	case OP_DONE:
	case OP_SPIN:
		return 0;
	case OP_FENCE:
	case OP_WRITE:
		next = *g;
		step_to(&next, thread, 0, 0);
		add_fences(&next, thread, &op, problem->row[op.row].pre);
		if (op.kind == OP_WRITE)
			w = add_event(&next, thread, &op, TAG_W, op.loc, problem->row[op.row].write);
		return past(&next, thread, &op, r, w, ways);
	default:
		return follow_read(g, thread, &op, r, ways);
	}
}

/* Locations of stores that may overtake the read that @thread does next, whatever it and later ones return. */
unsigned overtaking(const struct graph *g, int thread, const struct op *op)
{
	int ways = WAYS;

	return follow_read(g, thread, op, -1, &ways);
}
