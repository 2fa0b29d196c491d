// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * steps.c - count the instructions of one operation, exactly, by single-stepping it.
 *
 * x86-64: the trap flag raises SIGTRAP after every instruction. Needs neither performance
 * counters (virtual machines rarely have them) nor another tool, and sees where the
 * instructions lie, so two paths can be compared one by one.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#include "list.h"
#include "driver.h"

typedef void (*step_fn)(struct rmap_folio *f, const struct rmap_mm *mm, s32 nr);

static volatile int result;

#define ONCE(n, p, w)                                                                                        \
	static noinline void p##_once_map(struct rmap_folio *f, const struct rmap_mm *mm, s32 nr)            \
	{                                                                                                    \
		rmap_##p##_map(f, mm, 0, nr, 0);                                                             \
	}                                                                                                    \
	static noinline void p##_once_verdict(struct rmap_folio *f, const struct rmap_mm *mm, s32 nr)        \
	{                                                                                                    \
		(void)nr;                                                                                    \
		result = rmap_##p##_verdict(f, mm);                                                          \
	}                                                                                                    \
	static noinline void p##_once_cow(struct rmap_folio *f, const struct rmap_mm *mm, s32 nr)            \
	{                                                                                                    \
		(void)nr;                                                                                    \
		result = rmap_##p##_cow_reuse(f, mm);                                                        \
	}                                                                                                    \
	static noinline int p##_large_map(struct rmap_folio *f, const struct rmap_mm *mm, u32 page)          \
	{                                                                                                    \
		rmap_##p##_map(f, mm, page, 1, 0);                                                           \
		return 0;                                                                                    \
	}                                                                                                    \
	static noinline int p##_large_unmap(struct rmap_folio *f, const struct rmap_mm *mm, u32 page)        \
	{                                                                                                    \
		rmap_##p##_unmap(f, mm, page, 1, 0);                                                         \
		return 0;                                                                                    \
	}                                                                                                    \
	static noinline int p##_page_map(struct rmap_folio *f, const struct rmap_mm *mm, u32 page)           \
	{                                                                                                    \
		if (likely(!rmap_folio_test_large(f))) {                                                     \
			rmap_small_map(f);                                                                   \
			return 0;                                                                            \
		}                                                                                            \
		return p##_large_map(f, mm, page);                                                           \
	}                                                                                                    \
	static noinline int p##_page_unmap(struct rmap_folio *f, const struct rmap_mm *mm, u32 page)         \
	{                                                                                                    \
		if (likely(!rmap_folio_test_large(f)))                                                       \
			return rmap_small_unmap(f);                                                          \
		return p##_large_unmap(f, mm, page);                                                         \
	}
RMAP_SCHEMES(ONCE)

typedef int (*page_fn)(struct rmap_folio *f, const struct rmap_mm *mm, u32 page);

static const struct {
	step_fn map, verdict, cow;
	page_fn page_map, page_unmap;
} stepped[] = {
#define ENTRY(n, p, w) { p##_once_map, p##_once_verdict, p##_once_cow, p##_page_map, p##_page_unmap },
	RMAP_SCHEMES(ENTRY)
};

/* Before large folios were tracked: the same fast path, and a mapcount per page behind it. */
static noinline int untracked_large_map(struct rmap_folio *f, const struct rmap_mm *mm, u32 page)
{
	(void)mm;
	rmap_add(&f->page_mapcount[page], 1);
	return 0;
}

static noinline int untracked_large_unmap(struct rmap_folio *f, const struct rmap_mm *mm, u32 page)
{
	(void)mm;
	return rmap_add_negative(&f->page_mapcount[page], -1);
}

static noinline int untracked_page_map(struct rmap_folio *f, const struct rmap_mm *mm, u32 page)
{
	if (likely(!rmap_folio_test_large(f))) {
		rmap_small_map(f);
		return 0;
	}
	return untracked_large_map(f, mm, page);
}

static noinline int untracked_page_unmap(struct rmap_folio *f, const struct rmap_mm *mm, u32 page)
{
	if (likely(!rmap_folio_test_large(f)))
		return rmap_small_unmap(f);
	return untracked_large_unmap(f, mm, page);
}

static noinline void atomic_add_once(struct rmap_folio *f, const struct rmap_mm *mm, s32 nr)
{
	(void)mm;
	rmap_add(&f->mapcount, nr);
}

static noinline void small_map_once(struct rmap_folio *f, const struct rmap_mm *mm, s32 nr)
{
	(void)mm, (void)nr;
	rmap_small_map(f);
}

static noinline void small_verdict_once(struct rmap_folio *f, const struct rmap_mm *mm, s32 nr)
{
	(void)mm, (void)nr;
	result = rmap_small_verdict(f);
}

static struct rmap_seq_table step_table;

static noinline void hashed_map_once(struct rmap_folio *f, const struct rmap_mm *mm, s32 nr)
{
	(void)mm;
	rmap_hashed_add(&step_table, f, nr);
}

static noinline void hashed_cow_once(struct rmap_folio *f, const struct rmap_mm *mm, s32 nr)
{
	(void)mm, (void)nr;
	result = rmap_hashed_cow_reuse(&step_table, f);
}

#if defined(__x86_64__)

/* Addresses of the instructions executed while the trap flag was set. */
static uint64_t trail[4096];
static volatile int trailed;

static void on_trap(int signal, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;

	(void)signal, (void)info;
	if (trailed < (int)(sizeof(trail) / sizeof(*trail)))
		trail[trailed] = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
	trailed++;
}

/* The red zone below the stack pointer is the compiler's: step over it. */
static __always_inline void trap_flag(int on)
{
	if (on)
		__asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp"
				 ::: "cc", "memory");
	else
		__asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; andq $~0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp"
				 ::: "cc", "memory");
}

/* Counts the call, the return and the clearing of the flag too: callers subtract an empty call. */
static noinline int step_through(step_fn fn, page_fn page, struct rmap_folio *f, const struct rmap_mm *mm, s32 nr)
{
	struct sigaction act = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO }, old;

	if (sigaction(SIGTRAP, &act, &old))
		return -1;
	trailed = 0;
	trap_flag(1);
	if (fn)
		fn(f, mm, nr);
	else
		page(f, mm, 0);
	trap_flag(0);
	sigaction(SIGTRAP, &old, NULL);
	return trailed;
}

static noinline void nothing(struct rmap_folio *f, const struct rmap_mm *mm, s32 nr)
{
	(void)f, (void)mm, (void)nr;
	__asm__ volatile("");
}

static step_fn step_of(int scheme, int loop)
{
	if (loop == RMAP_LOOP_ATOMIC_ADD)
		return atomic_add_once;
	if (scheme == -1)
		return loop == RMAP_LOOP_UPDATE ? small_map_once : small_verdict_once;
	if (scheme == -2)
		return loop == RMAP_LOOP_UPDATE ? hashed_map_once : hashed_cow_once;
	if (loop == RMAP_LOOP_UPDATE)
		return stepped[scheme].map;
	return loop == RMAP_LOOP_COW ? stepped[scheme].cow : stepped[scheme].verdict;
}

/* Instructions of one operation without call and return; -1 where they cannot be counted. */
int rmap_steps(int scheme, int loop, int32_t nr, void *folio, const void *mm)
{
	const int empty = step_through(nothing, NULL, folio, mm, nr);
	const int steps = step_through(step_of(scheme, loop), NULL, folio, mm, nr);

	return empty < 0 || steps < 0 ? -1 : steps - empty;
}

/*
 * The path of a small folio through the function that serves all folios, from its first
 * instruction to its return: offset from the start | first byte << 32.
 * @scheme -1: before large folios were tracked. Return: instructions, or -1.
 */
int rmap_small_path(int scheme, int unmap, void *folio, const void *mm, uint64_t *offsets, int capacity)
{
	page_fn fn = unmap ? untracked_page_unmap : untracked_page_map;
	int i, kept = 0, steps;

	if (scheme >= 0)
		fn = unmap ? stepped[scheme].page_unmap : stepped[scheme].page_map;
	steps = step_through(NULL, fn, folio, mm, 1);
	for (i = 0; i < steps && trail[i] != (uint64_t)(uintptr_t)fn; i++)
		;
	for (; i < steps && kept < capacity; i++) {
		const uint8_t *code = (const uint8_t *)(uintptr_t)trail[i];

		offsets[kept++] = (trail[i] - (uint64_t)(uintptr_t)fn) | (uint64_t)code[0] << 32;
		if (code[0] == 0xc3 || (code[0] == 0xf3 && code[1] == 0xc3))
			break;
	}
	return steps < 0 ? -1 : kept;
}

#else

int rmap_steps(int scheme, int loop, int32_t nr, void *folio, const void *mm)
{
	(void)scheme, (void)loop, (void)nr, (void)folio, (void)mm;
	return -1;
}

int rmap_small_path(int scheme, int unmap, void *folio, const void *mm, uint64_t *offsets, int capacity)
{
	(void)scheme, (void)unmap, (void)folio, (void)mm, (void)offsets, (void)capacity;
	return -1;
}

#endif
