// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * explore.c - every execution of a few threads that a model allows, each once.
 *
 * A partial execution grows by one operation at a time. Fences and stores are added at once, a store at every place in its location's order.
 * A read either returns one of the stores there are, or sleeps until there are others and then returns one of those: so the choice
 * between now and later is made once, and no execution is built twice. Partial executions that the model forbids are given up:
 * what is added later takes no relation away. Where a model allows cycles of po and rf (load buffering), a read may also guess a value
 * that a complete execution of an earlier round has stored there; a store that comes after it in (po | rf)+ must then make it true.
 *
 * A thread that comes back to a read without having stored since is given up (OP_SPIN): the execution in which it waits for the last
 * iteration is explored, and has the same stores. If everybody sleeps and would spin for ever on the last stores, that is reported.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine.h"

/* Operations of a thread by the values it read: a node a operation, a child a value. */
struct node {
	struct op op;
	uint64_t key[2];
	int child, sibling, known;
};

static struct node *nodes;
static int node_count, node_room;
static const struct problem *problem;
static struct result *result;
static uint64_t candidate[LOCATIONS][VALUES];
static unsigned writer_of[LOCATIONS][VALUES];
static int candidates[LOCATIONS], grown, stop;
static double deadline;

static void grow(const struct graph *g);

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fail(int error)
{
	result->error = error;
	stop = 1;
}

static int new_node(uint64_t a, uint64_t b)
{
	if (node_count == node_room) {
		node_room = node_room ? 2 * node_room : 4096;
		nodes = realloc(nodes, (size_t)node_room * sizeof(*nodes));
		if (!nodes)
			abort();
	}
	memset(&nodes[node_count], 0, sizeof(*nodes));
	nodes[node_count].key[0] = a;
	nodes[node_count].key[1] = b;
	nodes[node_count].child = nodes[node_count].sibling = -1;
	return node_count++;
}

static int child_of(int node, uint64_t a, uint64_t b)
{
	int c;

	for (c = nodes[node].child; c >= 0; c = nodes[c].sibling)
		if (nodes[c].key[0] == a && nodes[c].key[1] == b)
			return c;
	c = new_node(a, b);
	nodes[c].sibling = nodes[node].child;
	nodes[node].child = c;
	return c;
}

static const struct op *operation(const struct graph *g, int thread)
{
	const struct thread_state *t = &g->thread[thread];
	const int node = t->node;

	if (!nodes[node].known) {
		struct op op = { 0 };
		const int error = problem->next(thread, t->value, t->reads, t->ops, &op);

		if (error)
			fail(error);
		nodes[node].op = op;
		nodes[node].known = 1;
	}
	return &nodes[node].op;
}

/* Reads of the thread, as events. */
static uint64_t events_of(const struct thread_state *t, uint64_t reads)
{
	uint64_t out = 0;

	for (; reads; reads &= reads - 1)
		out |= 1ull << t->read[__builtin_ctzll(reads)];
	return out;
}

static int add_event(struct graph *g, int thread, const struct op *op, int kind, int loc, uint64_t tags)
{
	const struct thread_state *t = &g->thread[thread];
	struct event *e = &g->event[g->n];

	if (g->n == EVENTS) {
		fail(1);
		return 0;
	}
	*e = (struct event){ .thread = thread, .kind = kind, .loc = loc, .rf = -1, .rmw = -1, .twin = -1,
			     .tags = tags | (uint64_t)kind };
	e->addr = kind == TAG_F ? 0 : events_of(t, op->addr);
	e->data = kind == TAG_W ? events_of(t, op->data) : 0;
	e->ctrl = events_of(t, op->ctrl) | t->before;
	return g->n++;
}

static void add_fences(struct graph *g, int thread, const struct op *op, const uint64_t *tags)
{
	int i;

	for (i = 0; i < FENCES && tags[i]; i++)
		add_event(g, thread, op, TAG_F, -1, tags[i]);
}

/* Events before which @e comes in (po | rf)+. */
static uint64_t reached(const struct graph *g, int e)
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
	uint64_t shut = 0;
	int i, rmw = read->rmw >= 0;

	if (w == read->rmw || store->loc == read->loc || (store->addr | store->data | store->ctrl) >> r & 1)
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

/* What complete executions have shown: @any, @open: locations that a thread stores to behind a read of a location. */
static unsigned any[THREADS][LOCATIONS], open_[THREADS][LOCATIONS];
static int most[THREADS][LOCATIONS];

static void learn_bit(unsigned *bits, int bit)
{
	grown |= !(*bits >> bit & 1);
	*bits |= 1u << bit;
}

static void learn_order(const struct graph *g)
{
	int r, w, count[THREADS][LOCATIONS] = { { 0 } };

	for (w = 0; w < g->n; w++) {
		const struct event *store = &g->event[w];

		if (store->kind != TAG_W || store->thread < 0)
			continue;
		if (++count[store->thread][store->loc] > most[store->thread][store->loc])
			most[store->thread][store->loc] = count[store->thread][store->loc], grown = 1;
		for (r = 0; r < w; r++) {
			const struct event *read = &g->event[r];

			if (read->kind != TAG_R || read->thread != store->thread)
				continue;
			learn_bit(&any[read->thread][read->loc], store->loc);
			if (may_overtake(g, r, w))
				learn_bit(&open_[read->thread][read->loc], store->loc);
		}
	}
}

/* Stores that @thread has made to @loc. */
static int stored(const struct graph *g, int thread, int loc)
{
	int i, count = 0;

	for (i = 0; i < g->stores[loc]; i++)
		count += g->event[g->order[loc][i]].thread == thread;
	return count;
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

/* Can no store any more make a pending read's guess true? @closed: the thread has ended. */
static int hopeless(const struct graph *g, int thread, int closed)
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

static int consistent(const struct graph *g)
{
	result->steps++;
	if (!(result->steps & 1023) && now() > deadline) {
		result->timed_out = 1;
		stop = 1;
	}
	return !stop && race_consistent(problem, g);
}

static int place_of(const struct graph *g, int w)
{
	const int l = g->event[w].loc;
	int i;

	for (i = 0; g->order[l][i] != w; i++)
		;
	return i;
}

/* The earliest store in the order of @loc that the thread may still see: it has seen or stored it. */
static int oldest(const struct graph *g, int thread, int loc)
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

static void insert(struct graph *g, int w, int place)
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

static void wake(struct graph *g, int loc)
{
	int t;

	for (t = 0; t < problem->threads; t++)
		if (g->thread[t].asleep) {
			const struct op *op = operation(g, t);

			if (op->loc == loc || (op->wide && op->loc + 1 == loc))
				g->thread[t].asleep = 0;
		}
}

static void settle(struct graph *g, int thread, const struct op *op);

/*
 * A new store may be what pending reads guessed; each may take it or not. Goes on with the other new store (of 16 bytes), then
 * with what follows the operation.
 */
static void satisfy(const struct graph *g, int thread, const struct op *op, int w, int other, int from)
{
	const struct event *e = &g->event[w];
	int r;

	for (r = from; g->pending && r < g->n; r++) {
		const struct event *x = &g->event[r];

		if (x->kind == TAG_R && x->thread >= 0 && x->rf < 0 && x->loc == e->loc && x->value == e->value &&
		    reached(g, r) >> w & 1) {
			struct graph with = *g;

			with.event[r].rf = w;
			with.pending--;
			satisfy(&with, thread, op, w, other, r + 1);
			if (stop)
				return;
		}
	}
	if (other >= 0) {
		satisfy(g, thread, op, other, -1, 0);
	} else {
		struct graph rest = *g;

		settle(&rest, thread, op);
	}
}

/* The operation's stores and reads are in: its last fences, then on. */
static void settle(struct graph *g, int thread, const struct op *op)
{
	struct thread_state *t = &g->thread[thread];
	const struct row *row = &problem->row[op->row];
	const int failed = op->kind == OP_CAS && g->event[t->read[t->reads - 1]].rmw < 0;

	if (row->ctrl && op->kind != OP_WRITE && op->kind != OP_FENCE) {
		t->before |= 1ull << t->read[t->reads - 1];
		if (op->wide)
			t->before |= 1ull << t->read[t->reads - 2];
	}
	add_fences(g, thread, op, failed ? row->fail : row->post);
	if (stop || !consistent(g) || (g->pending && hopeless(g, thread, 0)))
		return;
	grow(g);
}

static void step_to(struct graph *g, int thread, uint64_t a, uint64_t b)
{
	struct thread_state *t = &g->thread[thread];

	t->node = child_of(t->node, a, b);
	t->ops++;
}

static void write_everywhere(const struct graph *g, int thread, const struct op *op)
{
	const struct row *row = &problem->row[op->row];
	int place;

	for (place = g->stores[op->loc]; place > oldest(g, thread, op->loc) && !stop; place--) {
		struct graph next = *g;
		int w;

		step_to(&next, thread, 0, 0);
		add_fences(&next, thread, op, row->pre);
		w = add_event(&next, thread, op, TAG_W, op->loc, row->write);
		next.event[w].value = op->value[0] & op->mask;
		insert(&next, w, place);
		wake(&next, op->loc);
		satisfy(&next, thread, op, w, -1, 0);
	}
}

static uint64_t result_of(const struct op *op, uint64_t old, int half)
{
	const uint64_t v = op->value[half];

	if (op->kind == OP_CAS || op->function == FN_PUT)
		return v & op->mask;
	return (op->function == FN_ADD ? old + v : op->function == FN_OR ? old | v : old & v) & op->mask;
}

/* Put the write of a read-modify-write at @place. Return: the event. */
static int put_write(struct graph *g, int thread, const struct op *op, int read, int half, int place)
{
	const int w = add_event(g, thread, op, TAG_W, op->loc + half, problem->row[op->row].write);

	g->event[w].data |= op->kind == OP_RMW && op->function != FN_PUT ? 1ull << read : 0;
	g->event[w].value = result_of(op, g->event[read].value, half);
	g->event[w].rmw = read;
	g->event[read].rmw = w;
	insert(g, w, place);
	return w;
}

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

/* Both halves of a read are in, at @read: now the write, if there is one. */
static void finish_read(struct graph *g, int thread, const struct op *op, const int *read)
{
	const int halves = op->wide ? 2 : 1;
	struct thread_state *t = &g->thread[thread];
	int h, w[2] = { -1, -1 };

	step_to(g, thread, g->event[read[0]].value, halves == 2 ? g->event[read[1]].value : 0);
	for (h = 0; h < halves; h++) {
		t->value[t->reads] = g->event[read[h]].value;
		t->read[t->reads++] = (unsigned char)read[h];
	}
	if (t->reads > READS - 2) {
		fail(3);
		return;
	}
	if (!succeeds(g, op, read, halves)) {
		for (h = 0; h < FENCES && problem->row[op->row].quiet && problem->row[op->row].pre[h]; h++)
			g->event[read[0] - 1 - h].tags = TAG_F;
		for (h = 0; h < halves && op->kind == OP_CAS; h++)
			g->event[read[h]].tags = problem->row[op->row].failed | TAG_R;
		settle(g, thread, op);
		return;
	}
	if (g->event[read[0]].rf < 0) { /* guessed: its write may stand anywhere */
		int place;

		for (place = g->stores[op->loc]; place > oldest(g, thread, op->loc) && !stop; place--) {
			struct graph next = *g;

			w[0] = put_write(&next, thread, op, read[0], 0, place);
			wake(&next, op->loc);
			satisfy(&next, thread, op, w[0], -1, 0);
		}
		return;
	}
	for (h = 0; h < halves; h++)
		w[h] = put_write(g, thread, op, read[h], h, place_of(g, g->event[read[h]].rf) + 1);
	if (halves == 2) {
		g->event[w[0]].twin = w[1];
		g->event[w[1]].twin = w[0];
	}
	for (h = 0; h < halves; h++)
		wake(g, op->loc + h);
	satisfy(g, thread, op, w[0], w[1], 0);
}

static int add_read(struct graph *g, int thread, const struct op *op, int half, int from, uint64_t value)
{
	const int r = add_event(g, thread, op, TAG_R, op->loc + half, problem->row[op->row].read);

	g->event[r].rf = from;
	g->event[r].value = value;
	return r;
}

/* All pairs of stores of the two halves; they need not belong to one access, the model says when they must. */
static void read_halves(const struct graph *g, int thread, const struct op *op)
{
	const uint64_t excluded = g->thread[thread].excluded;
	const unsigned char *lo = g->order[op->loc], *hi = g->order[op->loc + 1];
	int i, j;

	for (i = oldest(g, thread, op->loc); i < g->stores[op->loc]; i++)
		for (j = oldest(g, thread, op->loc + 1); j < g->stores[op->loc + 1] && !stop; j++) {
			struct graph next = *g;
			int read[2];

			if (excluded >> lo[i] & excluded >> hi[j] & 1)
				continue;
			next.thread[thread].excluded = 0;
			add_fences(&next, thread, op, problem->row[op->row].pre);
			read[0] = add_read(&next, thread, op, 0, lo[i], g->event[lo[i]].value & op->mask);
			read[1] = add_read(&next, thread, op, 1, hi[j], g->event[hi[j]].value & op->mask);
			next.event[read[0]].twin = read[1];
			next.event[read[1]].twin = read[0];
			if (consistent(&next))
				finish_read(&next, thread, op, read);
		}
}

static void read_now(const struct graph *g, int thread, const struct op *op)
{
	const uint64_t excluded = g->thread[thread].excluded;
	const unsigned char *order = g->order[op->loc];
	int i;

	for (i = g->stores[op->loc] - 1; i >= oldest(g, thread, op->loc) && !stop; i--) {
		struct graph next = *g;
		const uint64_t value = g->event[order[i]].value & op->mask;
		int read[2];

		if (excluded >> order[i] & 1)
			continue;
		next.thread[thread].excluded = 0;
		add_fences(&next, thread, op, problem->row[op->row].pre);
		read[0] = add_read(&next, thread, op, 0, order[i], value);
		if (stop || (op->kind == OP_RMW && i + 1 < g->stores[op->loc] && g->event[order[i + 1]].rmw >= 0 &&
			     g->event[g->event[order[i + 1]].rmw].rf == order[i]))
			continue;
		finish_read(&next, thread, op, read);
	}
}

static void read_future(const struct graph *g, int thread, const struct op *op)
{
	int i;

	for (i = 0; i < candidates[op->loc] && !stop; i++) {
		struct graph next = *g;
		int read[2];

		if (!(writer_of[op->loc][i] & ~(1u << thread)))
			continue;

		next.thread[thread].excluded = 0;
		next.pending++;
		add_fences(&next, thread, op, problem->row[op->row].pre);
		read[0] = add_read(&next, thread, op, 0, -1, candidate[op->loc][i]);
		if (!stop)
			finish_read(&next, thread, op, read);
	}
}

static void sleep_on(const struct graph *g, int thread, const struct op *op)
{
	struct graph next = *g;
	struct thread_state *t = &next.thread[thread];
	int h, i;

	t->asleep = 1;
	for (h = 0; h < (op->wide ? 2 : 1); h++)
		for (i = 0; i < g->stores[op->loc + h]; i++)
			t->excluded |= 1ull << g->order[op->loc + h][i];
	grow(&next);
}

static uint64_t final_value(const struct graph *g, int loc)
{
	return g->stores[loc] ? g->event[g->order[loc][g->stores[loc] - 1]].value : problem->initial[loc];
}

static void remember_values(const struct graph *g)
{
	int i, k;

	for (i = 0; i < g->n; i++) {
		const struct event *e = &g->event[i];

		if (e->kind != TAG_W || e->thread < 0)
			continue;
		for (k = 0; k < candidates[e->loc] && candidate[e->loc][k] != e->value; k++)
			;
		if (k < candidates[e->loc]) {
			learn_bit(&writer_of[e->loc][k], e->thread);
			continue;
		}
		if (k == VALUES) {
			fail(5);
			return;
		}
		writer_of[e->loc][k] = 1u << e->thread;
		candidate[e->loc][candidates[e->loc]++] = e->value;
		grown = 1;
	}
}

static void complete(const struct graph *g, unsigned stuck)
{
	uint64_t final[LOCATIONS];
	unsigned broken;
	int l, p;

	remember_values(g);
	learn_order(g);
	for (l = 0; l < problem->locations; l++)
		final[l] = final_value(g, l);
	result->executions += !stuck;
	result->stuck += !!stuck;
	broken = problem->judge(g, final, stuck);
	for (p = 0; p < problem->promises; p++) {
		if (!(broken >> p & 1))
			continue;
		if (!result->broken[p]++ || g->n < result->witness[p].n)
			result->witness[p] = *g;
		stop |= problem->first_only;
	}
}

/* Everybody sleeps or is done. If the sleepers would sleep for ever, that is how the execution ends. */
static void nobody_awake(const struct graph *g)
{
	uint64_t final[LOCATIONS];
	unsigned stuck = 0;
	int t, l;

	for (l = 0; l < problem->locations; l++)
		final[l] = final_value(g, l);
	for (t = 0; t < problem->threads; t++) {
		const struct thread_state *s = &g->thread[t];

		if (s->done)
			continue;
		if (!problem->forever || !problem->forever(t, s->value, s->reads, s->ops, final))
			return;
		stuck |= 1u << t;
	}
	if (!g->pending)
		complete(g, stuck);
}

static void go_on(const struct graph *g, int thread, const struct op *op)
{
	struct graph next;

	switch (op->kind) {
	case OP_DONE:
		if (g->pending && hopeless(g, thread, 1))
			return;
		next = *g;
		next.thread[thread].done = 1;
		grow(&next);
		break;
	case OP_FENCE:
		next = *g;
		step_to(&next, thread, 0, 0);
		add_fences(&next, thread, op, problem->row[op->row].pre);
		if (!stop && !(next.pending && hopeless(&next, thread, 0)))
			grow(&next);
		break;
	case OP_WRITE:
		write_everywhere(g, thread, op);
		break;
	default:
		result->spins++;
	}
}

static void grow(const struct graph *g)
{
	int t, reader = -1;
	struct op op;

	for (t = 0; t < problem->threads && !stop; t++) {
		if (g->thread[t].done || g->thread[t].asleep)
			continue;
		op = *operation(g, t);
		if (op.kind != OP_READ && op.kind != OP_RMW && op.kind != OP_CAS) {
			go_on(g, t, &op);
			return;
		}
		reader = t;
	}
	if (stop)
		return;
	if (reader < 0) {
		nobody_awake(g);
		return;
	}
	op = *operation(g, reader);
	if (op.wide)
		read_halves(g, reader, &op);
	else
		read_now(g, reader, &op);
	if (!op.wide && problem->row[op.row].future && !problem->no_future && !g->thread[reader].excluded &&
	    closes(g, reader, op.loc))
		read_future(g, reader, &op);
	if (!stop)
		sleep_on(g, reader, &op);
}

static void begin(struct graph *g)
{
	int l, t;

	memset(g, 0, sizeof(*g));
	for (l = 0; l < problem->locations; l++) {
		g->event[l] = (struct event){ .thread = -1, .kind = TAG_W, .loc = l, .rf = -1, .rmw = -1, .twin = -1,
					      .value = problem->initial[l], .tags = TAG_W | TAG_INIT };
		g->order[l][0] = (unsigned char)l;
		g->stores[l] = 1;
	}
	g->n = problem->locations;
	for (t = 0; t < problem->threads; t++)
		g->thread[t].node = new_node(0, 0);
}

void race_explore(const struct problem *p, struct result *r)
{
	struct graph g;
	int future = 0, i;

	problem = p;
	result = r;
	memset(r, 0, sizeof(*r));
	memset(candidates, 0, sizeof(candidates));
	memset(any, 0, sizeof(any));
	memset(open_, 0, sizeof(open_));
	memset(most, 0, sizeof(most));
	stop = node_count = 0;
	deadline = now() + p->seconds;
	for (i = 0; i < ROWS; i++)
		future |= p->row[i].future;
	begin(&g);
	do {
		const int rounds = r->rounds + 1;
		const long steps = r->steps;

		grown = 0;
		memset(r, 0, sizeof(*r));
		r->rounds = rounds;
		r->steps = steps;
		grow(&g);
	} while (future && !p->no_future && grown && !stop);
}
