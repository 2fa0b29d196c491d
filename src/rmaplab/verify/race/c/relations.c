// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * relations.c - does an execution graph satisfy a model? Relations are 64 rows of 64 bits, a model is a list of steps.
 *
 * First the basic relations are filled in from the graph, then the steps run in order; the first axiom that does not hold ends.
 * Sequence and closure cost n^2 word operations at most.
 */
#include <string.h>

#include "engine.h"

typedef uint64_t rel[EVENTS];

static rel slot[SLOTS];
static int n;

static int place_of(const struct graph *g, int w)
{
	const struct event *e = &g->event[w];
	int i;

	for (i = 0; g->order[e->loc][i] != w; i++)
		;
	return i;
}

static void fill_order(const struct graph *g)
{
	int l, i, j;

	for (l = 0; l < LOCATIONS; l++)
		for (i = 0; i < g->stores[l]; i++)
			for (j = i + 1; j < g->stores[l]; j++)
				slot[REL_CO][g->order[l][i]] |= 1ull << g->order[l][j];
}

static void fill_pair(const struct event *a, const struct event *b, int i, int j)
{
	const uint64_t bit = 1ull << j;
	const int same = a->thread >= 0 && a->thread == b->thread;

	slot[same || i == j ? REL_INT : REL_EXT][i] |= bit;
	if (same && i < j && a->twin != j)
		slot[REL_PO][i] |= bit;
	if (a->loc >= 0 && a->loc == b->loc)
		slot[REL_LOC][i] |= bit;
}

static void fill(const struct graph *g)
{
	int i, j;

	n = g->n;
	for (i = 0; i < REL_FIRST; i++)
		memset(slot[i], 0, n * sizeof(uint64_t));
	for (i = 0; i < n; i++) {
		const struct event *e = &g->event[i];
		uint64_t m;

		slot[REL_ID][i] = 1ull << i;
		slot[REL_TWIN][i] = 1ull << i;
		if (e->twin >= 0)
			slot[REL_TWIN][i] |= 1ull << e->twin;
		slot[REL_ALL][i] = n == 64 ? ~0ull : (1ull << n) - 1;
		for (j = 0; j < n; j++)
			fill_pair(e, &g->event[j], i, j);
		if (e->kind == TAG_R && e->rf >= 0)
			slot[REL_RF][e->rf] |= 1ull << i;
		if (e->kind == TAG_R && e->rmw >= 0)
			slot[REL_RMW][i] |= 1ull << e->rmw;
		for (m = e->addr; m; m &= m - 1)
			slot[REL_ADDR][__builtin_ctzll(m)] |= 1ull << i;
		for (m = e->data; m; m &= m - 1)
			slot[REL_DATA][__builtin_ctzll(m)] |= 1ull << i;
		for (m = e->ctrl; m; m &= m - 1)
			slot[REL_CTRL][__builtin_ctzll(m)] |= 1ull << i;
	}
	fill_order(g);
}

static void sequence(uint64_t *to, const uint64_t *a, const uint64_t *b)
{
	rel out;
	int i;

	for (i = 0; i < n; i++) {
		uint64_t m, row = 0;

		for (m = a[i]; m; m &= m - 1)
			row |= b[__builtin_ctzll(m)];
		out[i] = row;
	}
	memcpy(to, out, n * sizeof(uint64_t));
}

static void close_transitively(uint64_t *r)
{
	int i, k;

	for (k = 0; k < n; k++)
		for (i = 0; i < n; i++)
			if (r[i] >> k & 1)
				r[i] |= r[k];
}

static int irreflexive(const uint64_t *r)
{
	int i;

	for (i = 0; i < n; i++)
		if (r[i] >> i & 1)
			return 0;
	return 1;
}

/* Take away events without a successor until none is left. */
static int acyclic(const uint64_t *r)
{
	uint64_t left = n == 64 ? ~0ull : (1ull << n) - 1, before, m;

	do {
		before = left;
		for (m = left; m; m &= m - 1) {
			const int i = __builtin_ctzll(m);

			if (!(r[i] & left))
				left &= ~(1ull << i);
		}
	} while (left && left != before);
	return !left;
}

/* A 16-byte access is one: what holds of a half holds of both. */
static const uint64_t *with_twins(const uint64_t *r)
{
	static rel out;

	sequence(out, r, slot[REL_TWIN]);
	sequence(out, slot[REL_TWIN], out);
	return out;
}

static void transpose(uint64_t *to, const uint64_t *a)
{
	rel out = { 0 };
	uint64_t m;
	int i;

	for (i = 0; i < n; i++)
		for (m = a[i]; m; m &= m - 1)
			out[__builtin_ctzll(m)] |= 1ull << i;
	memcpy(to, out, n * sizeof(uint64_t));
}

static void unary(const struct step *s)
{
	uint64_t *to = slot[s->to];
	const uint64_t *a = slot[s->a];
	rel out = { 0 };
	uint64_t all = 0;
	int i;

	if (s->what == DO_DOMAIN || s->what == DO_RANGE) {
		for (i = 0; i < n; i++) {
			all |= a[i];
			out[i] = a[i] ? 1ull << i : 0;
		}
		for (i = 0; s->what == DO_RANGE && i < n; i++)
			out[i] = all & 1ull << i;
		memcpy(to, out, n * sizeof(uint64_t));
		return;
	}
	if (s->what == DO_INVERSE) {
		transpose(to, a);
		return;
	}
	if (to != a)
		memcpy(to, a, n * sizeof(uint64_t));
	if (s->what == DO_PLUS || s->what == DO_STAR)
		close_transitively(to);
	for (i = 0; (s->what == DO_STAR || s->what == DO_OPT) && i < n; i++)
		to[i] |= 1ull << i;
}

static void binary(const struct step *s)
{
	uint64_t *to = slot[s->to];
	const uint64_t *a = slot[s->a], *b = slot[s->b];
	int i;

	if (s->what == DO_SEQ) {
		sequence(to, a, b);
		return;
	}
	for (i = 0; i < n; i++)
		to[i] = s->what == DO_OR ? a[i] | b[i] : s->what == DO_AND ? a[i] & b[i] : a[i] & ~b[i];
}

static void tagged(const struct graph *g, const struct step *s)
{
	int i;

	for (i = 0; i < n; i++)
		slot[s->to][i] = g->event[i].tags >> s->a & 1 ? 1ull << i : 0;
}

/* Is slot @a what slot @b was? Then the recursion has its fixed point, else @b becomes @a. */
static int settled(const struct step *s)
{
	const int same = !memcmp(slot[s->a], slot[s->b], n * sizeof(uint64_t));

	memcpy(slot[s->b], slot[s->a], n * sizeof(uint64_t));
	return same;
}

/* Two compare-exchanges, or a rule of all models: nothing comes between a read-modify-write's read and write. */
static int atomic(const struct graph *g)
{
	int i;

	for (i = 0; i < g->n; i++) {
		const struct event *r = &g->event[i];

		if (r->kind == TAG_R && r->rmw >= 0 && r->rf >= 0 &&
		    place_of(g, r->rf) + 1 != place_of(g, r->rmw))
			return 0;
	}
	return 1;
}

/* Run the first @steps steps. Return: 0 if an axiom does not hold; bit 1 is set if a flag is raised. */
static int run(const struct problem *p, const struct graph *g, int steps)
{
	int pc, found = 1;

	if (!atomic(g))
		return 0;
	fill(g);
	for (pc = 0; pc < steps; pc++) {
		const struct step *s = &p->code[pc];

		switch (s->what) {
		case DO_TAGS:
			tagged(g, s);
			break;
		case DO_OR:
		case DO_AND:
		case DO_MINUS:
		case DO_SEQ:
			binary(s);
			break;
		case DO_EMPTY:
			memset(slot[s->to], 0, n * sizeof(uint64_t));
			break;
		case DO_UNTIL:
			if (!settled(s))
				pc = s->to - 1;
			break;
		case DO_ACYCLIC:
			if (!acyclic(with_twins(slot[s->a])))
				return 0;
			break;
		case DO_IRREFLEXIVE:
			if (!irreflexive(slot[s->a]))
				return 0;
			break;
		case DO_NONE:
			if (memcmp(slot[s->a], slot[REL_NONE], n * sizeof(uint64_t)))
				return 0;
			break;
		case DO_FLAG:
			found |= memcmp(slot[s->a], slot[REL_NONE], n * sizeof(uint64_t)) ? 2 : 0;
			break;
		default:
			unary(s);
		}
	}
	return found;
}

int race_consistent(const struct problem *p, const struct graph *g)
{
	return run(p, g, p->axioms);
}

int race_flags(const struct problem *p, const struct graph *g)
{
	return p->steps > p->axioms && run(p, g, p->steps) >> 1;
}
