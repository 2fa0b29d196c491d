// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * bench.c - timed loops over the schemes' inlined operations, and the series' streams.
 *
 * A loop is short (a millisecond or less); rmaplab.bench interleaves many of them. Every
 * loop is compiled with its scheme inlined, as a kernel would; nothing is called through a pointer.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "list.h"
#include "driver.h"

typedef void (*loop_fn)(struct rmap_folio *f, const struct rmap_mm *mm, s32 nr, long count);
typedef void (*stream_fn)(struct rmap_folio *f, const struct rmap_mm *parent, const struct rmap_mm *child, int batched);

/* What a loop finds out must not be optimised away, and threads must not share where it goes. */
static __always_inline void keep(int result)
{
	__asm__ volatile("" ::"r"(result));
}

#define LOOPS(n, p, w)                                                                                         \
	static noinline void p##_update(struct rmap_folio *f, const struct rmap_mm *mm, s32 nr, long count)    \
	{                                                                                                      \
		const u32 mask = (1u << f->order) - (u32)nr;                                                   \
		long i;                                                                                        \
                                                                                                               \
		for (i = 0; i < count; i += 2) {                                                               \
			rmap_##p##_map(f, mm, (u32)i & mask, nr, 0);                                           \
			rmap_##p##_unmap(f, mm, (u32)i & mask, nr, 0);                                         \
		}                                                                                              \
	}                                                                                                      \
	static noinline void p##_verdict(struct rmap_folio *f, const struct rmap_mm *mm, s32 nr, long count)   \
	{                                                                                                      \
		long i;                                                                                        \
                                                                                                               \
		(void)nr;                                                                                      \
		for (i = 0; i < count; i++)                                                                    \
			keep(rmap_##p##_verdict(f, mm));                                                     \
	}                                                                                                      \
	static noinline void p##_cow(struct rmap_folio *f, const struct rmap_mm *mm, s32 nr, long count)       \
	{                                                                                                      \
		long i;                                                                                        \
                                                                                                               \
		(void)nr;                                                                                      \
		for (i = 0; i < count; i++)                                                                    \
			keep(rmap_##p##_cow_reuse(f, mm));                                                   \
	}                                                                                                      \
	static noinline void p##_remap_stream(struct rmap_folio *f, const struct rmap_mm *a,                   \
					      const struct rmap_mm *b, int batched)                            \
	{                                                                                                      \
		const s32 pages = 1 << f->order;                                                               \
		s32 i;                                                                                         \
                                                                                                               \
		(void)b;                                                                                       \
		if (batched) {                                                                                 \
			rmap_##p##_remap(f, a);                                                                \
			return;                                                                                \
		}                                                                                              \
		for (i = 0; i < pages; i++)                                                                    \
			rmap_##p##_map(f, a, (u32)i, 1, 0);                                                    \
		rmap_##p##_unmap(f, a, 0, 1, 1);                                                               \
	}                                                                                                      \
	static noinline void p##_munmap_stream(struct rmap_folio *f, const struct rmap_mm *a,                  \
					       const struct rmap_mm *b, int batched)                           \
	{                                                                                                      \
		const s32 pages = 1 << f->order;                                                               \
		s32 i;                                                                                         \
                                                                                                               \
		(void)b;                                                                                       \
		if (batched)                                                                                   \
			rmap_##p##_unmap(f, a, 0, pages, 0);                                                   \
		for (i = 0; !batched && i < pages; i++)                                                        \
			rmap_##p##_unmap(f, a, (u32)i, 1, 0);                                                  \
	}                                                                                                      \
	static noinline void p##_fork_stream(struct rmap_folio *f, const struct rmap_mm *a,                    \
					     const struct rmap_mm *b, int batched)                             \
	{                                                                                                      \
		const s32 pages = 1 << f->order;                                                               \
		s32 i;                                                                                         \
                                                                                                               \
		(void)a;                                                                                       \
		if (batched)                                                                                   \
			rmap_##p##_map(f, b, 0, pages, 0);                                                     \
		for (i = 0; !batched && i < pages; i++)                                                        \
			rmap_##p##_map(f, b, (u32)i, 1, 0);                                                    \
	}                                                                                                      \
	static noinline void p##_write_stream(struct rmap_folio *f, const struct rmap_mm *a,                   \
					      const struct rmap_mm *b, int batched)                            \
	{                                                                                                      \
		const s32 pages = 1 << f->order;                                                               \
		s32 i;                                                                                         \
                                                                                                               \
		(void)b, (void)batched;                                                                        \
		for (i = 0; i < pages; i++)                                                                    \
			if (!rmap_##p##_cow_reuse(f, a))                                                       \
				rmap_##p##_unmap(f, a, (u32)i, 1, 0);                                          \
	}
RMAP_SCHEMES(LOOPS)

static const struct {
	loop_fn update, verdict, cow;
	stream_fn remap, munmap, fork, write;
} timed[] = {
#define ENTRY(n, p, w) { p##_update, p##_verdict, p##_cow, p##_remap_stream, p##_munmap_stream, p##_fork_stream, p##_write_stream },
	RMAP_SCHEMES(ENTRY)
};

/* The smallest thing an update could be: one atomic addition. */
static noinline void atomic_add_loop(struct rmap_folio *f, const struct rmap_mm *mm, s32 nr, long count)
{
	long i;

	(void)mm, (void)nr;
	for (i = 0; i < count; i += 2) {
		rmap_add(&f->mapcount, 1);
		rmap_add(&f->mapcount, -1);
	}
}

static noinline void small_update_loop(struct rmap_folio *f, const struct rmap_mm *mm, s32 nr, long count)
{
	long i;

	(void)mm, (void)nr;
	for (i = 0; i < count; i += 2) {
		rmap_small_map(f);
		keep(rmap_small_unmap(f));
	}
}

static noinline void small_verdict_loop(struct rmap_folio *f, const struct rmap_mm *mm, s32 nr, long count)
{
	long i;

	(void)mm, (void)nr;
	for (i = 0; i < count; i++)
		keep(rmap_small_verdict(f));
}

static struct rmap_seq_table small_table;

static noinline void hashed_update_loop(struct rmap_folio *f, const struct rmap_mm *mm, s32 nr, long count)
{
	long i;

	(void)mm, (void)nr;
	for (i = 0; i < count; i += 2) {
		rmap_hashed_add(&small_table, f, 1);
		rmap_hashed_add(&small_table, f, -1);
	}
}

static noinline void hashed_cow_loop(struct rmap_folio *f, const struct rmap_mm *mm, s32 nr, long count)
{
	long i;

	(void)mm, (void)nr;
	for (i = 0; i < count; i++)
		keep(rmap_hashed_cow_reuse(&small_table, f));
}

/* @scheme -1: the small folio's plain path; its COW decision and batches go through the hashed table. */
static loop_fn loop_of(int scheme, int loop)
{
	if (loop == RMAP_LOOP_ATOMIC_ADD)
		return atomic_add_loop;
	if (scheme == -1)
		return loop == RMAP_LOOP_UPDATE ? small_update_loop : small_verdict_loop;
	if (scheme == -2)
		return loop == RMAP_LOOP_UPDATE ? hashed_update_loop : hashed_cow_loop;
	if (loop == RMAP_LOOP_UPDATE)
		return timed[scheme].update;
	return loop == RMAP_LOOP_COW ? timed[scheme].cow : timed[scheme].verdict;
}

struct lane {
	loop_fn fn;
	struct rmap_folio *folio;
	const struct rmap_mm *mm;
	s32 nr;
	long count;
	int cpu;
	int *waiting;
	int *stop;
	u64 start, end, busy;
};

static u64 now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

/* All lanes start together. One with a stop flag runs until another lane raises it. */
static void *run_lane(void *arg)
{
	struct lane *l = arg;
	cpu_set_t cpus, before;

	CPU_ZERO(&cpus);
	CPU_SET(l->cpu, &cpus);
	pthread_getaffinity_np(pthread_self(), sizeof(before), &before);
	pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
	l->fn(l->folio, l->mm, l->nr, l->count / 8 + 2);
	__atomic_fetch_sub(l->waiting, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(l->waiting, __ATOMIC_ACQUIRE))
		rmap_cpu_relax();
	l->busy = now(CLOCK_THREAD_CPUTIME_ID);
	l->start = now(CLOCK_MONOTONIC);
	if (l->stop)
		while (!__atomic_load_n(l->stop, __ATOMIC_RELAXED))
			l->fn(l->folio, l->mm, l->nr, 64);
	else
		l->fn(l->folio, l->mm, l->nr, l->count);
	l->end = now(CLOCK_MONOTONIC);
	l->busy = now(CLOCK_THREAD_CPUTIME_ID) - l->busy;
	pthread_setaffinity_np(pthread_self(), sizeof(before), &before);
	return NULL;
}

/*
 * Time one short run. ns[i]: nanoseconds per operation of thread i; ns[2]: the least share of its time that a
 * thread had its CPU, or that both ran together. Threads of which one was waiting for its CPU did not contend.
 * RMAP_LOOP_ASK_WHILE_UPDATED: thread 0 asks, thread 1 updates the same folio. Return: 0, or -1 without threads.
 */
int rmap_time(const struct rmap_timed *spec, void *folio0, void *folio1, const void *mm0, const void *mm1, double *ns)
{
	const int asked = spec->loop == RMAP_LOOP_ASK_WHILE_UPDATED;
	int waiting = spec->threads, stop = 0, i;
	struct lane lane[2];
	pthread_t thread;

	for (i = 0; i < 2; i++)
		lane[i] = (struct lane){
			.fn = loop_of(spec->scheme, asked ? (i ? RMAP_LOOP_UPDATE : RMAP_LOOP_VERDICT) : spec->loop),
			.folio = i ? folio1 : folio0, .mm = i ? mm1 : mm0, .nr = spec->nr, .count = spec->count,
			.cpu = spec->cpus[i], .waiting = &waiting, .stop = asked && i ? &stop : NULL,
		};
	if (spec->threads == 2 && pthread_create(&thread, NULL, run_lane, &lane[1]))
		return -1;
	run_lane(&lane[0]);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	if (spec->threads == 2)
		pthread_join(thread, NULL);
	ns[2] = 1;
	for (i = 0; i < spec->threads; i++) {
		const double wall = (double)(lane[i].end - lane[i].start);

		ns[i] = wall / (double)spec->count;
		if ((double)lane[i].busy < ns[2] * wall)
			ns[2] = (double)lane[i].busy / wall;
	}
	if (spec->threads == 2) {
		const u64 together = lane[0].end < lane[1].end ? lane[0].end : lane[1].end;
		const u64 both = lane[0].start > lane[1].start ? lane[0].start : lane[1].start;
		const double all = (double)(lane[0].end - lane[0].start);
		const double shared = together > both ? (double)(together - both) : 0;

		if (shared < ns[2] * all)
			ns[2] = shared / all;
	}
	return 0;
}

/*
 * Nanoseconds per page for one of the series' operations on @count folios, set up by the caller. CPU time: a
 * stream takes some 10 ms, and would often be interrupted.
 */
double rmap_stream(int scheme, int stream, int batched, void *folios, long count, const void *parent, const void *child)
{
	const stream_fn fn[] = {
		[RMAP_STREAM_REMAP] = timed[scheme].remap,     [RMAP_STREAM_MUNMAP] = timed[scheme].munmap,
		[RMAP_STREAM_FORK] = timed[scheme].fork,       [RMAP_STREAM_COW] = timed[scheme].write,
		[RMAP_STREAM_COW_REUSE] = timed[scheme].write, [RMAP_STREAM_DONTNEED] = timed[scheme].munmap,
	};
	struct rmap_folio *f = folios;
	const u64 start = now(CLOCK_THREAD_CPUTIME_ID);
	long i;

	for (i = 0; i < count; i++)
		fn[stream](&f[i], parent, child, batched);
	return (double)(now(CLOCK_THREAD_CPUTIME_ID) - start) / (double)(count << f->order);
}
