// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * weak.c - run atomic_seqcount.h under C11's memory model, every way it can go.
 *
 * A scenario is two or three threads that go through the unchanged header a few times. Every choice (who
 * runs next, which store a load returns, where a store lands) is enumerated depth first by running the scenario anew;
 * of orders that differ only in the sequence of independent neighbours one is run. On a broken promise
 * the execution is printed, step by step, and the exit code is 1.
 *
 * Build: cc -DRMAP_PLATFORM='"check/weak_platform.h"' -I.. weak.c
 */
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

#include "memory.h"
#include "scenarios.h"

enum { STACK = 32 << 10, CHOICES = 512, STEPS = 256 };
enum kind { LOAD, STORE, RMW };

struct fiber {
	ucontext_t context;
	char stack[STACK];
	struct thread_view view;
	struct location *next_at;
	enum kind next;
	int must_be_newer;
	int done;
};

static struct fiber fibers[THREADS];
static ucontext_t scheduler;
static int running;
static const struct scenario *current;

/* The path through the tree of choices: what was chosen, of how many. */
static int chosen[CHOICES], offered[CHOICES], depth, known;

static char steps[STEPS][96];
static int stepped;

static int choose(int options)
{
	if (depth == known) {
		chosen[known] = 0;
		offered[known++] = options;
	}
	return chosen[depth++];
}

/* The next path in depth-first order. Return: false after the last. */
static int next_path(void)
{
	while (known && chosen[known - 1] + 1 == offered[known - 1])
		known--;
	if (!known)
		return 0;
	chosen[known - 1]++;
	return 1;
}

static void log_step(const char *what, const struct location *at, u64 value, int behind)
{
	if (stepped < STEPS)
		snprintf(steps[stepped++], sizeof(steps[0]), "%-9s %-7s %-8s = 0x%llx%s", current->role[running], what,
			 at->name, (unsigned long long)value, behind ? "   (an older store than the last)" : "");
}

/* Announce the next access and let the scheduler decide who goes on. */
static struct fiber *point(const u64 *p, enum kind kind)
{
	struct fiber *me = &fibers[running];

	me->next_at = location_of(p);
	me->next = kind;
	swapcontext(&me->context, &scheduler);
	return me;
}

static int oldest_readable(const struct fiber *f, const struct location *at)
{
	return at->place[f->view.now.seen[at - memory]] + (f->must_be_newer ? 1 : 0);
}

u64 weak_load(const u64 *p, enum weak_order order)
{
	struct fiber *me = point(p, LOAD);
	struct location *at = me->next_at;
	const int from = oldest_readable(me, at);
	const int place = at->count - 1 - choose(at->count - from);
	const int number = at->order[place];

	me->must_be_newer = 0;
	log_step("loads", at, at->store[number].value, place + 1 < at->count);
	take(&me->view, at, number, order);
	return at->store[number].value;
}

void weak_store(u64 *p, u64 value, enum weak_order order)
{
	struct fiber *me = point(p, STORE);
	struct location *at = me->next_at;
	int places[STORES], options = 0, place, number;

	for (place = at->count - 1; place >= oldest_readable(me, at); place--)
		if (free_behind(at, place))
			places[options++] = place;
	place = places[choose(options)];
	log_step("stores", at, value, place + 1 < at->count);
	number = insert(at, place, value, 0);
	give(&me->view, at, number, order, NULL);
}

/* Add @value, or with @expected store @value where that is found. Return: the value read. */
static u64 update(u64 *p, u64 value, const u64 *expected, enum weak_order order)
{
	struct fiber *me = point(p, RMW);
	struct location *at = me->next_at;
	int places[STORES], options = 0, place, number, fails;
	struct store *read;

	for (place = at->count - 1; place >= oldest_readable(me, at); place--)
		if (free_behind(at, place) || (expected && at->store[at->order[place]].value != *expected))
			places[options++] = place;
	place = places[choose(options)];
	read = &at->store[at->order[place]];
	fails = expected && read->value != *expected;
	/* One that fails orders nothing, as in platform.h. */
	take(&me->view, at, at->order[place], fails ? WEAK_RELAXED : order);
	if (fails) {
		log_step("fails", at, read->value, place + 1 < at->count);
		return read->value;
	}
	log_step(expected ? "swaps" : "adds", at, expected ? value : read->value + value, place + 1 < at->count);
	number = insert(at, place, expected ? value : read->value + value, 1);
	give(&me->view, at, number, order, read);
	return read->value;
}

u64 weak_add(u64 *p, u64 value, enum weak_order order)
{
	return update(p, value, NULL, order) + value;
}

int weak_cmpxchg(u64 *p, u64 *old, u64 new, enum weak_order order)
{
	const u64 expected = *old;

	*old = update(p, new, &expected, order);
	return *old == expected;
}

void weak_fence(enum weak_order order)
{
	fence(&fibers[running].view, order);
}

/* A waiter that looks again wants news: without any it stands still, which keeps executions finite. */
void weak_relax(void)
{
	fibers[running].must_be_newer = 1;
}

static void fiber_main(void)
{
	current->thread[running]();
	fibers[running].done = 1;
	swapcontext(&fibers[running].context, &scheduler);
}

static void resume(int thread)
{
	running = thread;
	swapcontext(&scheduler, &fibers[thread].context);
}

static void start(void)
{
	int i;

	memset(memory, 0, sizeof(memory));
	for (i = 0; i < LOCATIONS; i++) {
		memory[i].address = watched[i].address;
		memory[i].name = watched[i].name;
		memory[i].count = 1;
		memory[i].store[0].value = current->initial[i];
	}
	depth = stepped = torn = fooled = 0;
	for (i = 0; i < current->threads; i++) {
		memset(&fibers[i].view, 0, sizeof(fibers[i].view));
		fibers[i].done = fibers[i].must_be_newer = 0;
		getcontext(&fibers[i].context);
		fibers[i].context.uc_stack.ss_sp = fibers[i].stack;
		fibers[i].context.uc_stack.ss_size = STACK;
		fibers[i].context.uc_link = &scheduler;
		makecontext(&fibers[i].context, fiber_main, 0);
		resume(i);
	}
}

static int enabled(const struct fiber *f)
{
	return !f->done && (f->next != LOAD || oldest_readable(f, f->next_at) < f->next_at->count);
}

/* Two accesses whose order nobody can tell. */
static int independent(enum kind a, const struct location *at_a, enum kind b, const struct location *at_b)
{
	return at_a != at_b || (a == LOAD && b == LOAD);
}

/* Run one execution along the current path. Return: a broken promise, or NULL. "pruned" ends a redundant one. */
static const char *execute(int *pruned)
{
	struct location *last_at = NULL;
	enum kind last = LOAD;
	int last_thread = -1, i, done = 0;

	start();
	for (;;) {
		int ready[THREADS], options = 0, pick;

		for (i = 0, done = 0; i < current->threads; i++) {
			done += fibers[i].done;
			if (!enabled(&fibers[i]))
				continue;
			/* Would have been run before its independent neighbour: that order is explored elsewhere. */
			if (last_at && i < last_thread && independent(fibers[i].next, fibers[i].next_at, last, last_at))
				continue;
			ready[options++] = i;
		}
		if (!options)
			break;
		pick = ready[choose(options)];
		last_at = fibers[pick].next_at;
		last = fibers[pick].next;
		last_thread = pick;
		resume(pick);
	}
	for (i = 0, *pruned = 0; i < current->threads; i++)
		*pruned |= enabled(&fibers[i]);
	if (*pruned)
		return NULL;
	return done == current->threads ? current->broken() : "a thread waits for ever";
}

static int explore(const struct scenario *scenario)
{
	long executions = 0;
	int pruned, i;

	current = scenario;
	known = 0;
	do {
		const char *broken = execute(&pruned);

		executions += !pruned;
		if (broken) {
			printf("%s: %s\n", scenario->name, broken);
			for (i = 0; i < stepped; i++)
				printf("  %s\n", steps[i]);
			return 1;
		}
	} while (next_path());
	printf("%s: %ld executions, all promises kept\n", scenario->name, executions);
	return 0;
}

int main(void)
{
	size_t i;

	for (i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++)
		if (explore(&scenarios[i]))
			return 1;
	return 0;
}
