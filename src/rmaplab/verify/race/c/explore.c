// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * explore.c - every execution of a few threads that a model allows, each once.
 *
 * A partial execution grows by one operation at a time. Fences and stores are added at once, a store at every place in its location's order.
 * A read either returns one of the stores there are, or sleeps until there are others and then returns one of those: so the choice
 * between now and later is made once, and no execution is built twice. Partial executions that the model forbids are given up:
 * what is added later takes no relation away. Where a model allows cycles of po and rf (load buffering), a read may also guess a value
 * that an execution of an earlier round has stored there; a store that comes after it in (po | rf)+ must then make it true.
 *
 * A thread that comes back to a read without having stored since is given up (OP_SPIN): the execution in which it waits for the last
 * iteration is explored, and has the same stores. If everybody sleeps and would spin for ever on the last stores, that is reported.
 */
#include <string.h>
#include <time.h>

#include "explore.h"

const struct problem *problem;
struct result *result;
int stop;
static double deadline;

static void grow(const struct graph *g);

/* CPU time: how far a search gets does not depend on what else the machine does. */
static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void fail(int error)
{
	result->error = error;
	stop = 1;
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
	leave(g, thread, op);
	if (stop || !in_turn(g) || !consistent(g) || (g->pending && hopeless(g, thread, 0)))
		return;
	if (!g->pending)
		learn(g);
	grow(g);
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

/* Both halves of a read are in, at @read: now the write, if there is one. */
static void finish_read(struct graph *g, int thread, const struct op *op, const int *read)
{
	const int halves = op->wide ? 2 : 1, writes = took(g, thread, op, read);
	int h, w[2] = { -1, -1 };

	if (g->thread[thread].reads > READS - 2) {
		fail(3);
		return;
	}
	if (!writes) {
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
	uint64_t value[VALUES];
	const int count = guesses(g, thread, op, value);
	int i;

	for (i = 0; i < count && !stop; i++) {
		struct graph next = *g;
		int read[2];

		next.thread[thread].excluded = 0;
		next.pending++;
		add_fences(&next, thread, op, problem->row[op->row].pre);
		read[0] = add_read(&next, thread, op, 0, -1, value[i]);
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

static void complete(const struct graph *g, unsigned stuck)
{
	uint64_t final[LOCATIONS];
	unsigned broken;
	int l, p;

	learn(g);
	for (l = 0; l < problem->locations; l++)
		final[l] = final_value(g, l);
	result->executions += !stuck;
	result->stuck += !!stuck;
	broken = problem->judge(g, final, stuck) | (race_flags(problem, g) ? problem->flagged : 0);
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
		if (in_turn(&next))
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
	if (!op.wide && problem->row[op.row].future && !problem->no_future && !g->thread[reader].excluded)
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
		g->thread[t].node = first_path();
}

void race_explore(const struct problem *p, struct result *r)
{
	struct graph g;
	int future = 0, i;

	problem = p;
	result = r;
	memset(r, 0, sizeof(*r));
	forget_future();
	forget_paths();
	stop = 0;
	deadline = now() + p->seconds;
	for (i = 0; i < ROWS; i++)
		future |= p->row[i].future;
	begin(&g);
	do {
		const int rounds = r->rounds + 1;
		const long steps = r->steps;

		memset(r, 0, sizeof(*r));
		r->rounds = rounds;
		r->steps = steps;
		grow(&g);
	} while (future && !p->no_future && learned() && !stop);
}
