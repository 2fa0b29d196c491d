// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * linearize.c - does any order of the operations explain a whole history of one folio?
 *
 * Just-in-time linearisation (Lowe, "Testing for linearizability", 2017). First, an operation that was called is pending. Then,
 * when one returns, every pending one may take effect, in any order, before it does; what is left are the configurations in
 * which the returning one has. If none is left, no order explains the history. Updates commute, so a configuration is how far
 * each pending operation has come, and the state follows from that.
 *
 * An update is two steps, as in Linux: references, then mappings; mappings, then references. A question is one, and its
 * answer must be right there.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver.h"

enum { SLOTS = 16, LIMIT = 1 << 17, TABLE = 1 << 19 };

struct pending {
	const struct rmap_record *op;
	int steps;
};

struct folio_state {
	int64_t *mapped; /* by MM */
	int64_t total, references;
};

struct search {
	const struct rmap_promise *promise;
	struct folio_state base;
	int64_t *scratch;
	struct pending pending[SLOTS];
	uint32_t *list, *at, *table; /* configurations, where each stands in the table, and their numbers by hash */
	int count;
};

static int steps_of(uint32_t op)
{
	return op == RMAP_DO_VERDICT || op == RMAP_DO_COW || op == RMAP_DO_PIN || op == RMAP_DO_UNPIN ? 1 : 2;
}

static int progress(uint32_t configuration, int slot)
{
	return (int)(configuration >> 2 * slot & 3);
}

/* What the first @done steps of an operation have done to the state. */
static void apply(struct folio_state *state, const struct rmap_record *op, int done)
{
	const int64_t nr = op->op == RMAP_DO_UNMAP || op->op == RMAP_DO_UNPIN ? -(int64_t)op->nr : op->nr;
	int references = done >= 1, mappings = done >= 2;

	if (op->op == RMAP_DO_VERDICT || op->op == RMAP_DO_COW)
		return;
	if (op->op == RMAP_DO_UNMAP)
		mappings = done >= 1, references = done >= 2;
	if (references)
		state->references += nr;
	if (mappings && op->op != RMAP_DO_PIN && op->op != RMAP_DO_UNPIN) {
		state->mapped[op->mm] += nr;
		state->total += nr;
	}
}

/* Is the answer right in this configuration? */
static int answers(struct search *s, uint32_t configuration, const struct rmap_record *op)
{
	struct folio_state state = { s->scratch, s->base.total, s->base.references };
	int i, sharers = 0, exclusive, reuse, certain;

	memcpy(s->scratch, s->base.mapped, (size_t)s->promise->mms * sizeof(*s->scratch));
	for (i = 0; i < SLOTS; i++)
		if (s->pending[i].op)
			apply(&state, s->pending[i].op, progress(configuration, i));
	for (i = 0; i < s->promise->mms; i++)
		sharers += state.mapped[i] > 0;
	exclusive = s->promise->by_caller ? state.total == state.mapped[op->mm] : sharers <= 1;
	reuse = exclusive && state.references == state.total;
	certain = s->promise->never_wrong && state.total <= s->promise->trusted;
	if (op->op == RMAP_DO_COW)
		return op->answer ? reuse : !reuse || !certain;
	if (op->answer == s->promise->exclusive)
		return exclusive;
	if (op->answer == s->promise->shared)
		return !exclusive || !certain;
	return state.total > s->promise->trusted;
}

/* Adds a configuration once. Return: 0 if there is no room. */
static int add(struct search *s, uint32_t configuration)
{
	uint32_t at = configuration * 2654435761u >> 13;

	for (; s->table[at]; at = (at + 1) & (TABLE - 1))
		if (s->list[s->table[at] - 1] == configuration)
			return 1;
	if (s->count == LIMIT)
		return 0;
	s->list[s->count] = configuration;
	s->at[s->count++] = at;
	s->table[at] = (uint32_t)s->count;
	return 1;
}

/* Lets every pending operation take effect, in every order. */
static int close_over(struct search *s)
{
	int i, slot;

	for (i = 0; i < s->count; i++)
		for (slot = 0; slot < SLOTS; slot++) {
			const struct pending *p = &s->pending[slot];
			const uint32_t from = s->list[i];

			if (!p->op || progress(from, slot) == p->steps)
				continue;
			if ((p->op->op == RMAP_DO_VERDICT || p->op->op == RMAP_DO_COW) && !answers(s, from, p->op))
				continue;
			if (!add(s, from + (1u << 2 * slot)))
				return 0;
		}
	return 1;
}

/* Keeps the configurations in which the operation in @slot is done, and makes it part of the state. */
static void keep(struct search *s, int slot)
{
	const int before = s->count;
	int i;

	for (i = 0; i < before; i++)
		s->table[s->at[i]] = 0;
	s->count = 0;
	for (i = 0; i < before; i++)
		if (progress(s->list[i], slot) == s->pending[slot].steps)
			add(s, s->list[i] & ~(3u << 2 * slot));
	apply(&s->base, s->pending[slot].op, s->pending[slot].steps);
	s->pending[slot].op = NULL;
}

static int call(struct search *s, const struct rmap_record *op)
{
	int slot = 0;

	while (slot < SLOTS && s->pending[slot].op)
		slot++;
	if (slot == SLOTS)
		return 0;
	s->pending[slot] = (struct pending){ op, steps_of(op->op) };
	return 1;
}

static int slot_of(const struct search *s, const struct rmap_record *op)
{
	int slot = 0;

	while (s->pending[slot].op != op)
		slot++;
	return slot;
}

static long search(struct search *s, const struct rmap_record *records, const uint32_t *by_return, long count)
{
	long called = 0, returned;

	add(s, 0);
	for (returned = 0; returned < count; returned++) {
		const struct rmap_record *op = &records[by_return[returned]];

		for (; called < count && records[called].call < op->ret; called++)
			if (!call(s, &records[called]))
				return RMAP_LINEARIZE_LIMIT;
		if (!close_over(s))
			return RMAP_LINEARIZE_LIMIT;
		keep(s, slot_of(s, op));
		if (!s->count)
			return by_return[returned];
	}
	return RMAP_LINEARIZE_FINE;
}

/*
 * @records: of one folio, by call; @by_return: their places, by return. Return: the place of a record at whose return no order of the
 * operations explains the history, RMAP_LINEARIZE_FINE, or RMAP_LINEARIZE_LIMIT if it was too much to look at.
 */
long rmap_linearize(const struct rmap_record *records, const uint32_t *by_return, long count,
		    const struct rmap_promise *promise)
{
	struct search s = { .promise = promise };
	long found = RMAP_LINEARIZE_LIMIT;

	s.base.mapped = calloc((size_t)promise->mms, sizeof(*s.base.mapped));
	s.scratch = calloc((size_t)promise->mms, sizeof(*s.scratch));
	s.list = malloc(LIMIT * sizeof(*s.list));
	s.at = malloc(LIMIT * sizeof(*s.at));
	s.table = calloc(TABLE, sizeof(*s.table));
	if (s.base.mapped && s.scratch && s.list && s.at && s.table)
		found = search(&s, records, by_return, count);
	free(s.base.mapped);
	free(s.scratch);
	free(s.list);
	free(s.at);
	free(s.table);
	return found;
}
