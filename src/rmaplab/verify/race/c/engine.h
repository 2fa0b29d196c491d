/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * engine.h - executions of a few threads, enumerated under an axiomatic memory model.
 *
 * For explore.h and what includes it, and, through cffi, rmaplab.verify.race.engine, which reads the part between the marks.
 */
#ifndef RACE_ENGINE_H
#define RACE_ENGINE_H

#include <stdint.h>

/* cdef: begin */
enum { EVENTS = 64, THREADS = 6, LOCATIONS = 12, PLACES = 40, READS = 40, ROWS = 48, CODE = 768, SLOTS = 384 };
enum { PROMISES = 8, VALUES = 96, FENCES = 3 };

/* What a thread does next; DONE and SPIN (back at a read without having written since) end it. */
enum op_kind { OP_DONE, OP_SPIN, OP_FENCE, OP_READ, OP_WRITE, OP_RMW, OP_CAS };
enum op_function { FN_ADD, FN_OR, FN_AND, FN_PUT };

/*
 * One operation of a thread. @row says which events the model makes of it. @wide: 16 bytes, as two locations from @loc on, of
 * which both halves are one access. @addr, @data, @ctrl: the thread's reads (bit i: the i-th) that it depends on.
 */
struct op {
	int kind, function, row, loc, wide;
	uint64_t value[2], expect[2], mask;
	uint64_t addr, data, ctrl;
};

/* Events of an operation: fences before, tags of its read and write, fences behind (of a failed compare-exchange: @fail). */
struct row {
	uint64_t pre[FENCES], read, write, post[FENCES], failed, fail[FENCES];
	int ctrl;   /* everything behind depends on the read, by a branch */
	int quiet;  /* a failed compare-exchange has no fences before it either */
	int future; /* the read may return a store that comes later in (po | rf)+ */
};

struct event {
	int thread, kind, row, loc, rf, rmw, twin; /* kind: tag bit of R, W or F; indices of events or -1 */
	uint64_t value, tags, addr, data, ctrl;
};

struct thread_state {
	uint64_t value[READS];
	unsigned char read[READS];
	int reads, ops, done, asleep, node;
	uint64_t excluded, before; /* stores that a sleeping read leaves; reads on which all later events depend */
};

struct graph {
	int n, pending;
	struct event event[EVENTS];
	int stores[LOCATIONS];
	unsigned char order[LOCATIONS][PLACES];
	struct thread_state thread[THREADS];
};

/* One step of a model's program: slots hold relations over events, a set is a part of the identity. */
struct step {
	int what, to, a, b;
};
enum {
	DO_TAGS, DO_OR, DO_AND, DO_MINUS, DO_SEQ, DO_INVERSE, DO_PLUS, DO_STAR, DO_OPT, DO_DOMAIN, DO_RANGE, DO_COPY,
	DO_EMPTY, DO_UNTIL, DO_ACYCLIC, DO_IRREFLEXIVE, DO_NONE, DO_FLAG
};
enum {
	REL_NONE, REL_ID, REL_PO, REL_ADDR, REL_DATA, REL_CTRL, REL_RMW, REL_RF, REL_CO, REL_LOC, REL_EXT, REL_INT, REL_TWIN,
	REL_ALL, REL_FIRST
};

struct problem {
	int threads, locations;
	uint64_t initial[LOCATIONS];
	struct row row[ROWS];
	int steps, axioms; /* the first @axioms steps decide whether an execution is allowed, the rest whether it is flagged */
	struct step code[CODE];
	uint64_t full;          /* tags of fences that no later store passes backwards over an earlier read */
	uint64_t full_after_rmw; /* the same for reads up to the last read-modify-write before them */
	uint64_t full_before_rmw; /* the same for a read-modify-write behind the fence, and for what comes after that */
	uint64_t release;       /* tags of what passes no earlier read */
	uint64_t acquire;       /* tags of reads that nothing later passes */
	uint64_t full_rmw;      /* tags of read-modify-writes that are a full fence if they are acquire and release */
	uint64_t marked;        /* if any: tags of stores that pass no read their value or their being made depends on; others may */
	int no_future;          /* leave out reads from the future, whatever the rows say */
	int spare_none;         /* guess also where no store can overtake the read, whatever the tags above say: for tests */
	unsigned alike[THREADS]; /* other threads that do the same: one order of theirs is looked at for all */
	int promises;
	unsigned flagged;       /* promises that a flagged execution breaks */
	int first_only;         /* stop at the first broken promise */
	double seconds;         /* give up after that */
	/* Fill in the operation behind @ops others and @reads values. Return: 0, or an error that ends all. */
	int (*next)(int thread, const uint64_t *value, int reads, int ops, struct op *op);
	/* Return: bit p set if promise p is broken. @stuck: threads that wait for ever. */
	unsigned (*judge)(const struct graph *g, const uint64_t *final, unsigned stuck);
	/* Would @thread, having read @value and then only what is in memory at the end, never get anywhere? May be NULL: no. */
	int (*forever)(int thread, const uint64_t *value, int reads, int ops, const uint64_t *final);
};

struct result {
	long executions, stuck, steps, spins;
	long broken[PROMISES];
	int error, timed_out, rounds, failed_cas_spin;
	struct graph witness[PROMISES];
};

void race_explore(const struct problem *problem, struct result *result);
int race_consistent(const struct problem *problem, const struct graph *g);
int race_flags(const struct problem *problem, const struct graph *g);
/* cdef: end */

enum { TAG_R = 1, TAG_W = 2, TAG_F = 4, TAG_INIT = 8 };

#endif /* RACE_ENGINE_H */
