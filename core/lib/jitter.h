/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * jitter.h - the platform's atomics, each preceded by a chance to lose the CPU.
 *
 * Write sections last some 20 ns; on a machine with few CPUs two of them rarely
 * meet. Giving up the CPU in the middle makes them meet. Include before any other header.
 */
#ifndef RMAP_LIB_JITTER_H
#define RMAP_LIB_JITTER_H

#include <sched.h>

#include "../platform.h"

static _Thread_local u32 jitter_state = 1;
/* Yield at one of 2^n accesses on average, n the number of bits set; ~0 means never. */
static _Thread_local u32 jitter_mask = ~0u;

static inline u32 jitter_random(void)
{
	jitter_state ^= jitter_state << 13;
	jitter_state ^= jitter_state >> 17;
	jitter_state ^= jitter_state << 5;
	return jitter_state;
}

static inline void jitter(void)
{
	if (jitter_mask != ~0u && !(jitter_random() & jitter_mask))
		sched_yield();
}

/* A waiter must let the one run whom it waits for: that one may have given up its CPU above. */
static inline void jitter_relax(void)
{
	if (jitter_mask != ~0u)
		sched_yield();
}

#undef rmap_cpu_relax
#undef rmap_read
#undef rmap_write
#undef rmap_add
#undef rmap_add_return
#undef rmap_add_release
#undef rmap_read_acquire
#undef rmap_add_return_acquire
#undef rmap_fetch_or_acquire
#undef rmap_try_cmpxchg_acquire
#define rmap_cpu_relax() jitter_relax()
#define rmap_read(p) (jitter(), __atomic_load_n(p, __ATOMIC_RELAXED))
#define rmap_write(p, v) (jitter(), __atomic_store_n(p, v, __ATOMIC_RELAXED))
#define rmap_add(p, v) (jitter(), (void)__atomic_fetch_add(p, v, __ATOMIC_RELAXED))
#define rmap_add_return(p, v) (jitter(), __atomic_add_fetch(p, v, __ATOMIC_RELAXED))
#define rmap_add_release(p, v) (jitter(), (void)__atomic_fetch_add(p, v, __ATOMIC_RELEASE))
/* Between the look at a word and the claim of it: whoever loses the CPU here loses the claim. */
#define rmap_read_acquire(p) (jitter(), __atomic_load_n(p, __ATOMIC_ACQUIRE))
#define rmap_add_return_acquire(p, v) (jitter(), __atomic_add_fetch(p, v, __ATOMIC_ACQUIRE))
#define rmap_fetch_or_acquire(p, v) (jitter(), __atomic_fetch_or(p, v, __ATOMIC_ACQUIRE))
#define rmap_try_cmpxchg_acquire(p, old, new) \
	(jitter(), __atomic_compare_exchange_n(p, old, new, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
/* In parentheses it is platform.h's. */
#define rmap_try_cmpxchg128(p, old, new) (jitter(), (rmap_try_cmpxchg128)(p, old, new))

#endif /* RMAP_LIB_JITTER_H */
