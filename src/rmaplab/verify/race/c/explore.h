/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * explore.h - what the parts of the enumerator share: one search at a time, in one thread.
 *
 * explore.c grows executions; graph.c is what one is made of; paths.c knows what a thread does next; future.c guesses what reads may
 * return that no store has yet, where overtake.c says that a store may overtake them; relations.c says whether the model allows it.
 */
#ifndef RACE_EXPLORE_H
#define RACE_EXPLORE_H

#include "engine.h"

#pragma GCC visibility push(hidden)

/* The search: what is asked, what was found so far, and whether to give up. */
extern const struct problem *problem;
extern struct result *result;
extern int stop;

/* End the search with an error. */
void fail(int error);

/* What was found out about the ways from a place in a thread: locations of stores that may overtake its next read. */
struct ahead {
	unsigned open;
	int age; /* values known when that was found out, or 0 */
};

/* paths.c */
void forget_paths(void);
int first_path(void);
const struct op *operation(const struct graph *g, int thread);
int forecast(const struct graph *g, int thread, struct op *op);
struct ahead *ahead(const struct graph *g, int thread);
void step_to(struct graph *g, int thread, uint64_t a, uint64_t b);

/* graph.c */
int add_event(struct graph *g, int thread, const struct op *op, int kind, int loc, uint64_t tags);
void add_fences(struct graph *g, int thread, const struct op *op, const uint64_t *tags);
int took(struct graph *g, int thread, const struct op *op, const int *read);
void leave(struct graph *g, int thread, const struct op *op);
int add_read(struct graph *g, int thread, const struct op *op, int half, int from, uint64_t value);
int put_write(struct graph *g, int thread, const struct op *op, int read, int half, int place);
void insert(struct graph *g, int w, int place);
int place_of(const struct graph *g, int w);
int oldest(const struct graph *g, int thread, int loc);
int stored(const struct graph *g, int thread, int loc);
uint64_t final_value(const struct graph *g, int loc);
int in_turn(const struct graph *g);

/* future.c */
void forget_future(void);
int learned(void);
void learn(const struct graph *g);
int values_of(int loc, uint64_t *value);
int guesses(const struct graph *g, int thread, const struct op *op, uint64_t *value);
int hopeless(const struct graph *g, int thread, int closed);
uint64_t reached(const struct graph *g, int e);

/* overtake.c */
int shut_by(const struct graph *g, int r, int f);
int may_overtake(const struct graph *g, int r, int w);
unsigned overtaking(const struct graph *g, int thread, const struct op *op);

#pragma GCC visibility pop

#endif /* RACE_EXPLORE_H */
