// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * stress.c - workers that map, unmap, fork, exit, pin and ask, and write down what they did.
 *
 * Every record carries two ticks of one shared clock, drawn before and after the
 * operation; the judge (rmaplab.stress) needs nothing else. A worker keeps a ledger of
 * its own mappings, so that nothing is unmapped that was not mapped. Workers are threads or
 * processes; all they share lies in the caller's memory.
 */
#include "jitter.h"

#include <pthread.h>
#include <stddef.h>
#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "list.h"
#include "driver.h"

enum { DEPTH = 4, MAX_FOLIOS = 8, MAX_EACH = 4 };

struct run_of_pages {
	u32 page;
	s32 nr;
	int entire;
};

/* What one worker has mapped of one folio for one of its MMs. */
struct ledger {
	struct run_of_pages run[DEPTH];
	int used;
};

struct worker {
	const struct rmap_stress *spec;
	struct rmap_folio *folios;
	const struct rmap_mm *mms;
	struct rmap_record *record;
	long room;
	uint64_t *clock;
	u32 index;
	struct ledger ledger[MAX_FOLIOS][MAX_EACH];
	int pinned[MAX_FOLIOS];
};

typedef void (*update_fn)(struct rmap_folio *, const struct rmap_mm *, u32, s32, int);

struct stress_ops {
	update_fn map, unmap;
	void (*remap)(struct rmap_folio *, const struct rmap_mm *);
	int (*verdict)(struct rmap_folio *, const struct rmap_mm *);
	int (*cow_reuse)(struct rmap_folio *, const struct rmap_mm *);
};

#define WRAP(n, p, w)                                                                                     \
	static void p##_map(struct rmap_folio *f, const struct rmap_mm *mm, u32 page, s32 nr, int entire)  \
	{                                                                                                  \
		rmap_##p##_map(f, mm, page, nr, entire);                                                   \
	}                                                                                                  \
	static void p##_unmap(struct rmap_folio *f, const struct rmap_mm *mm, u32 page, s32 nr, int entire) \
	{                                                                                                  \
		rmap_##p##_unmap(f, mm, page, nr, entire);                                                 \
	}                                                                                                  \
	static void p##_remap(struct rmap_folio *f, const struct rmap_mm *mm)                              \
	{                                                                                                  \
		rmap_##p##_remap(f, mm);                                                                   \
	}                                                                                                  \
	static int p##_verdict(struct rmap_folio *f, const struct rmap_mm *mm)                             \
	{                                                                                                  \
		return rmap_##p##_verdict(f, mm);                                                          \
	}                                                                                                  \
	static int p##_cow_reuse(struct rmap_folio *f, const struct rmap_mm *mm)                           \
	{                                                                                                  \
		return rmap_##p##_cow_reuse(f, mm);                                                        \
	}
#define ENTRY(n, p, w) { p##_map, p##_unmap, p##_remap, p##_verdict, p##_cow_reuse },

RMAP_SCHEMES(WRAP)
static const struct stress_ops stressed[] = { RMAP_SCHEMES(ENTRY) };

/*
 * The clock orders what the judge may compare. Where a sanitizer is the judge it must order nothing: it
 * would stand in for the barriers that are missing.
 */
#ifdef __SANITIZE_THREAD__
#define CLOCK __ATOMIC_RELAXED
#else
#define CLOCK __ATOMIC_SEQ_CST
#endif

static u32 below(u32 limit)
{
	return jitter_random() % limit;
}

/* MM number @mine of a worker: 0 is common to all workers, the others are its own. */
static u32 mm_index(const struct worker *w, u32 mine)
{
	return mine ? 1 + w->index * (u32)(w->spec->mms_each - 1) + mine - 1 : 0;
}

static struct rmap_record *begin(struct worker *w, u32 op, u32 folio, u32 mm, s32 nr)
{
	struct rmap_record *r = w->record;

	r->worker = w->index;
	r->op = op;
	r->folio = folio;
	r->mm = mm;
	r->nr = nr;
	r->answer = 0;
	r->call = __atomic_fetch_add(w->clock, 1, CLOCK);
	return r;
}

static void end(struct worker *w, struct rmap_record *r)
{
	r->ret = __atomic_fetch_add(w->clock, 1, CLOCK);
	w->record++;
	w->room--;
}

/* References first, then the mappings: rmap_get(). */
static void do_map(struct worker *w, u32 folio, u32 mine, struct run_of_pages run, u32 op)
{
	struct rmap_folio *f = &w->folios[folio];
	struct ledger *l = &w->ledger[folio][mine];
	const u32 mm = mm_index(w, mine);
	struct rmap_record *r;

	if (l->used == DEPTH || !w->room)
		return;
	r = begin(w, op, folio, mm, run.nr);
	rmap_get(f, run.nr);
	stressed[w->spec->scheme].map(f, &w->mms[mm], run.page, run.nr, run.entire);
	end(w, r);
	l->run[l->used++] = run;
}

/* Mappings first, then the references: rmap_put(). */
static void do_unmap(struct worker *w, u32 folio, u32 mine)
{
	struct rmap_folio *f = &w->folios[folio];
	struct ledger *l = &w->ledger[folio][mine];
	const u32 mm = mm_index(w, mine);
	struct run_of_pages run;
	struct rmap_record *r;
	u32 victim;

	if (!l->used || !w->room)
		return;
	victim = below((u32)l->used);
	run = l->run[victim];
	l->run[victim] = l->run[--l->used];
	r = begin(w, RMAP_DO_UNMAP, folio, mm, run.nr);
	stressed[w->spec->scheme].unmap(f, &w->mms[mm], run.page, run.nr, run.entire);
	rmap_put(f, run.nr);
	end(w, r);
}

/* One PMD mapping becomes PTE mappings of all pages. */
static void do_remap(struct worker *w, u32 folio, u32 mine)
{
	struct rmap_folio *f = &w->folios[folio];
	struct ledger *l = &w->ledger[folio][mine];
	const u32 mm = mm_index(w, mine);
	const s32 pages = 1 << f->order;
	struct rmap_record *r;
	int i;

	for (i = 0; i < l->used; i++)
		if (l->run[i].entire)
			break;
	if (i == l->used || !w->room)
		return;
	r = begin(w, RMAP_DO_REMAP, folio, mm, pages - 1);
	rmap_get(f, pages - 1);
	stressed[w->spec->scheme].remap(f, &w->mms[mm]);
	end(w, r);
	l->run[i] = (struct run_of_pages){ .page = 0, .nr = pages, .entire = 0 };
}

static void do_ask(struct worker *w, u32 folio, u32 mm, u32 op)
{
	const struct stress_ops *ops = &stressed[w->spec->scheme];
	struct rmap_folio *f = &w->folios[folio];
	struct rmap_record *r;

	if (!w->room)
		return;
	r = begin(w, op, folio, mm, 0);
	r->answer = (u32)(op == RMAP_DO_COW ? ops->cow_reuse(f, &w->mms[mm]) : ops->verdict(f, &w->mms[mm]));
	end(w, r);
}

/* A reference that is no mapping, as GUP takes it. */
static void do_pin(struct worker *w, u32 folio)
{
	const int pin = !w->pinned[folio];
	struct rmap_record *r;

	if (!w->room)
		return;
	r = begin(w, pin ? RMAP_DO_PIN : RMAP_DO_UNPIN, folio, 0, 1);
	if (pin)
		rmap_get(&w->folios[folio], 1);
	else
		rmap_put(&w->folios[folio], 1);
	end(w, r);
	w->pinned[folio] = pin;
}

/* Fork: the child maps what the parent maps. */
static void do_dup(struct worker *w, u32 folio, u32 mine)
{
	const struct ledger *l = &w->ledger[folio][mine];
	const u32 child = below((u32)w->spec->mms_each);
	int i;

	for (i = 0; i < l->used && child != mine; i++)
		do_map(w, folio, child, l->run[i], RMAP_DO_DUP);
}

/* Exit: an MM leaves all folios. */
static void do_exit(struct worker *w, u32 mine)
{
	int folio;

	for (folio = 0; folio < w->spec->folios; folio++)
		while (w->ledger[folio][mine].used && w->room)
			do_unmap(w, (u32)folio, mine);
}

static struct run_of_pages any_run(const struct rmap_folio *f)
{
	const u32 pages = 1u << f->order;
	const u32 page = below(pages);

	if (!below(4))
		return (struct run_of_pages){ .page = 0, .nr = 1, .entire = 1 };
	return (struct run_of_pages){ .page = page, .nr = 1 + (s32)below(pages - page), .entire = 0 };
}

static void step(struct worker *w)
{
	const u32 folio = below((u32)w->spec->folios), mine = below((u32)w->spec->mms_each);
	const u32 dice = below(100);

	/* More unmaps than maps: most MMs map nothing most of the time, so that EXCLUSIVE is no rare answer. */
	if (dice < 15)
		do_map(w, folio, mine, any_run(&w->folios[folio]), RMAP_DO_MAP);
	else if (dice < 50)
		do_unmap(w, folio, mine);
	else if (dice < 55)
		do_remap(w, folio, mine);
	else if (dice < 58)
		do_dup(w, folio, mine);
	else if (dice < 61)
		do_exit(w, mine);
	else if (dice < 67)
		do_pin(w, folio);
	else if (dice < 84 && w->ledger[folio][mine].used)
		do_ask(w, folio, mm_index(w, mine), RMAP_DO_COW);
	else
		do_ask(w, folio, mm_index(w, mine), RMAP_DO_VERDICT);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	const struct rmap_stress *spec = w->spec;
	const u32 mms = 1 + (u32)(spec->workers * (spec->mms_each - 1));
	long i;

	jitter_state = (u32)(spec->seed * 2654435761u) ^ ((w->index + 1) * 0x9E3779B9u);
	jitter_state |= !jitter_state;
	jitter_mask = spec->jitter;
	for (i = 0; i < spec->ops; i++) {
		if (w->index < (u32)spec->workers)
			step(w);
		else
			do_ask(w, below((u32)spec->folios), below(mms), RMAP_DO_VERDICT);
	}
	return NULL;
}

static int run_threads(struct worker *w, int count)
{
	pthread_t thread[64];
	int i, started;

	for (started = 0; started < count; started++)
		if (pthread_create(&thread[started], NULL, work, &w[started]))
			break;
	for (i = 0; i < started; i++)
		pthread_join(thread[i], NULL);
	return started == count ? 0 : -1;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Waits for children until @deadline (0: for ever), then kills who is left. Return: 0, or how it failed. */
static int wait_for(const pid_t *child, int count, double deadline)
{
	const double end = now() + deadline;
	int i, status, bad = 0, hangs = 0;

	for (i = 0; i < count; i++) {
		const struct timespec nap = { .tv_nsec = 500000 };
		pid_t done;

		while (!(done = waitpid(child[i], &status, deadline > 0 ? WNOHANG : 0)) && now() < end)
			nanosleep(&nap, NULL);
		if (!done) {
			hangs = 1;
			kill(child[i], SIGKILL);
			done = waitpid(child[i], &status, 0);
		} else if (done < 0 || status) {
			bad = 1;
		}
	}
	return bad ? RMAP_STRESS_FAILED : hangs ? RMAP_STRESS_HANGS : 0;
}

/* Children use shared memory only and leave without running the parent's exit handlers. */
static int run_processes(struct worker *w, int count)
{
	pid_t child[64];
	int started, bad;

	for (started = 0; started < count; started++) {
		child[started] = fork();
		if (child[started] < 0)
			break;
		if (!child[started]) {
			work(&w[started]);
			_exit(0);
		}
	}
	bad = wait_for(child, started, w->spec->deadline);
	return started == count ? bad : RMAP_STRESS_FAILED;
}

/* Threads cannot be ended from outside, a process with them can. */
static int run_threads_in_child(struct worker *w, int count)
{
	const pid_t child = fork();

	if (child < 0)
		return RMAP_STRESS_FAILED;
	if (!child)
		_exit(run_threads(w, count) ? 1 : 0);
	return wait_for(&child, 1, w->spec->deadline);
}

/*
 * Records of worker i start at i * capacity / count; unused ones keep ret == 0, so
 * *clock must start at 1. With a deadline (seconds; 0: none) folios, records and clock must be shared memory.
 * Return: records per worker, RMAP_STRESS_FAILED if a worker could not run, RMAP_STRESS_HANGS if one
 * did not end in time; what was recorded until then stands.
 */
long rmap_stress_run(const struct rmap_stress *spec, void *folios, const void *mms, struct rmap_record *records,
		     long capacity, uint64_t *clock)
{
	static struct worker workers[64];
	const int count = spec->workers + spec->readers;
	const long each = capacity / count;
	int i, bad;

	if (count > 64 || spec->folios > MAX_FOLIOS || spec->mms_each > MAX_EACH)
		return RMAP_STRESS_FAILED;
	for (i = 0; i < count; i++)
		workers[i] = (struct worker){
			.spec = spec, .folios = folios, .mms = mms, .record = records + i * each,
			.room = each, .clock = clock, .index = (u32)i,
		};
	if (spec->processes)
		bad = run_processes(workers, count);
	else
		bad = spec->deadline > 0 ? run_threads_in_child(workers, count) : run_threads(workers, count);
	return bad ? bad : each;
}
