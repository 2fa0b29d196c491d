// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * graph.c - what an execution is made of: events of operations, and each location's stores in order.
 */
#include <string.h>

#include "explore.h"

/* Reads of the thread, as events. */
static uint64_t events_of(const struct thread_state *t, uint64_t reads)
{
	uint64_t out = 0;

	for (; reads; reads &= reads - 1)
		out |= 1ull << t->read[__builtin_ctzll(reads)];
	return out;
}

int add_event(struct graph *g, int thread, const struct op *op, int kind, int loc, uint64_t tags)
{
	const struct thread_state *t = &g->thread[thread];
	struct event *e = &g->event[g->n];

	if (g->n == EVENTS) {
		fail(1);
		return 0;
	}
	*e = (struct event){ .thread = thread, .kind = kind, .row = op->row, .loc = loc, .rf = -1, .rmw = -1, .twin = -1,
			     .tags = tags | (uint64_t)kind };
	e->addr = kind == TAG_F ? 0 : events_of(t, op->addr);
	e->data = kind == TAG_W ? events_of(t, op->data) : 0;
	e->ctrl = events_of(t, op->ctrl) | t->before;
	return g->n++;
}

void add_fences(struct graph *g, int thread, const struct op *op, const uint64_t *tags)
{
	int i;

	for (i = 0; i < FENCES && tags[i]; i++)
		add_event(g, thread, op, TAG_F, -1, tags[i]);
}

int place_of(const struct graph *g, int w)
{
	const int l = g->event[w].loc;
	int i;

	for (i = 0; g->order[l][i] != w; i++)
		;
	return i;
}

/* The earliest store in the order of @loc that the thread may still see: it has seen or stored it. */
int oldest(const struct graph *g, int thread, int loc)
{
	int place = 0, i;

	for (i = 0; i < g->n; i++) {
		const struct event *e = &g->event[i];
		const int w = e->kind == TAG_W ? i : e->rf;

		if (e->thread == thread && e->loc == loc && w >= 0 && place_of(g, w) > place)
			place = place_of(g, w);
	}
	return place;
}

void insert(struct graph *g, int w, int place)
{
	const int l = g->event[w].loc;
	unsigned char *order = g->order[l];

	if (g->stores[l] == PLACES) {
		fail(2);
		return;
	}
	memmove(order + place + 1, order + place, (size_t)(g->stores[l] - place));
	order[place] = (unsigned char)w;
	g->stores[l]++;
}

/* Stores that @thread has made to @loc. */
int stored(const struct graph *g, int thread, int loc)
{
	int i, count = 0;

	for (i = 0; i < g->stores[loc]; i++)
		count += g->event[g->order[loc][i]].thread == thread;
	return count;
}

uint64_t final_value(const struct graph *g, int loc)
{
	return g->stores[loc] ? g->event[g->order[loc][g->stores[loc] - 1]].value : problem->initial[loc];
}

static uint64_t result_of(const struct op *op, uint64_t old, int half)
{
	const uint64_t v = op->value[half];

	if (op->kind == OP_CAS || op->function == FN_PUT)
		return v & op->mask;
	return (op->function == FN_ADD ? old + v : op->function == FN_OR ? old | v : old & v) & op->mask;
}

/* Put the write of a read-modify-write at @place. Return: the event. */
int put_write(struct graph *g, int thread, const struct op *op, int read, int half, int place)
{
	const int w = add_event(g, thread, op, TAG_W, op->loc + half, problem->row[op->row].write);

	g->event[w].data |= op->kind == OP_RMW && op->function != FN_PUT ? 1ull << read : 0;
	g->event[w].value = result_of(op, g->event[read].value, half);
	g->event[w].rmw = read;
	g->event[read].rmw = w;
	insert(g, w, place);
	return w;
}

/* Does the operation write, its read having found what it did? */
static int succeeds(const struct graph *g, const struct op *op, const int *read, int halves)
{
	int h;

	if (op->kind != OP_CAS)
		return op->kind == OP_RMW;
	for (h = 0; h < halves; h++)
		if (g->event[read[h]].value != (op->expect[h] & op->mask))
			return 0;
	return 1;
}

int add_read(struct graph *g, int thread, const struct op *op, int half, int from, uint64_t value)
{
	const int r = add_event(g, thread, op, TAG_R, op->loc + half, problem->row[op->row].read);

	g->event[r].rf = from;
	g->event[r].value = value;
	return r;
}

/* The operation's reads are in, at @read: the thread goes on with what they returned. Return: does the operation write? */
int took(struct graph *g, int thread, const struct op *op, const int *read)
{
	const struct row *row = &problem->row[op->row];
	const int halves = op->wide ? 2 : 1;
	struct thread_state *t = &g->thread[thread];
	int h;

	step_to(g, thread, g->event[read[0]].value, halves == 2 ? g->event[read[1]].value : 0);
	for (h = 0; h < halves; h++) {
		t->value[t->reads] = g->event[read[h]].value;
		t->read[t->reads++] = (unsigned char)read[h];
	}
	if (succeeds(g, op, read, halves))
		return 1;
	for (h = 0; h < FENCES && row->quiet && row->pre[h]; h++)
		g->event[read[0] - 1 - h].tags = TAG_F;
	for (h = 0; h < halves && op->kind == OP_CAS; h++)
		g->event[read[h]].tags = row->failed | TAG_R;
	return 0;
}

/* The operation's last fences; what follows it may be behind a branch. */
void leave(struct graph *g, int thread, const struct op *op)
{
	const struct row *row = &problem->row[op->row];
	struct thread_state *t = &g->thread[thread];
	const int failed = op->kind == OP_CAS && g->event[t->read[t->reads - 1]].rmw < 0;

	if (row->ctrl && op->kind != OP_WRITE && op->kind != OP_FENCE) {
		t->before |= 1ull << t->read[t->reads - 1];
		if (op->wide)
			t->before |= 1ull << t->read[t->reads - 2];
	}
	add_fences(g, thread, op, failed ? row->fail : row->post);
}

/* May the place before a location's first store of @t still take one? Not if all up to there are read-modify-writes in a row. */
static int room_before(const struct graph *g, int place)
{
	const unsigned char *order = g->order[0];

	for (; place > 0; place--) {
		const int r = g->event[order[place]].rmw;

		if (r < 0 || g->event[r].rf != order[place - 1])
			return 1;
	}
	return 0;
}

/*
 * Threads that do the same can change places, so one order of theirs is enough: whoever has the higher number stores to the first
 * location first, and who never does has the lowest number. 0: it is another order, or can only become one.
 */
int in_turn(const struct graph *g)
{
	int first[THREADS], t, u, i;

	memset(first, -1, sizeof(first));
	for (i = g->stores[0] - 1; i >= 0; i--)
		if (g->event[g->order[0][i]].thread >= 0)
			first[g->event[g->order[0][i]].thread] = i;
	for (t = 0; t < problem->threads; t++)
		for (u = t + 1; u < problem->threads && first[t] >= 0; u++)
			if (problem->alike[t] >> u & 1 &&
			    (first[u] < 0 ? g->thread[u].done || !room_before(g, first[t]) : first[u] > first[t]))
				return 0;
	return 1;
}
