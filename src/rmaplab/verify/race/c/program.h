/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * program.h - what a program is to the recorder: threads, the words they share, and the promises it checks.
 */
#ifndef RACE_PROGRAM_H
#define RACE_PROGRAM_H

#include "engine.h"
#include "record.h"

/* cdef: begin */
/* A word that threads share; @size in bytes. 16 bytes are two words, one behind the other. */
struct word {
	void *address;
	int size;
	const char *name;
	uint64_t initial;
};

/*
 * @check returns the promises broken (bits, as in the list of promises), and reads what the threads have left in their own
 * variables and the last value of every word. @ours: a broken promise is a finding. @mask: the promises it is about.
 */
struct program {
	const char *name, *stage, *what;
	int ours, threads;
	void (*thread[THREADS])(void);
	const char *role[THREADS];
	struct word word[LOCATIONS];
	unsigned mask;
	unsigned (*check)(const uint64_t *final);
};

const struct program *race_program(int number);
int race_select(int number);
int race_wants_dependencies(int wanted);
int race_next(int thread, const uint64_t *value, int reads, int ops, struct op *op);
int race_forever(int thread, const uint64_t *value, int reads, int ops, const uint64_t *final);
unsigned race_judge(const struct graph *g, const uint64_t *final, unsigned stuck);
/* cdef: end */

enum promise { TORN, LOST, INEXACT, WAITS, FOOLED, FALSE_EXCLUSIVE, WARNED, RACED };

/* What a thread found out is left here and cleared before each run. */
extern int race_seen[THREADS * 4];
int race_thread(void);

#endif /* RACE_PROGRAM_H */
