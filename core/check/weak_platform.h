/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * weak_platform.h - a platform.h whose atomics ask weak.c what a weakly ordered machine may do.
 *
 * The headers under test are compiled unchanged. All state words are u64 here.
 */
#ifndef RMAP_WEAK_PLATFORM_H
#define RMAP_WEAK_PLATFORM_H

#include <stdbool.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef int32_t s32;
typedef uint64_t u64;
typedef int64_t s64;

#undef __always_inline
#define likely(x) (x)
#define unlikely(x) (x)
#define __always_inline inline __attribute__((__always_inline__))
#define noinline __attribute__((__noinline__))
#define RMAP_CACHELINE 64
#define __rmap_aligned(x) __attribute__((__aligned__(x)))
#define RMAP_HAS_CMPXCHG128 0
#define RMAP_WARN_ON(cond) ((void)sizeof(cond))

enum weak_order { WEAK_RELAXED, WEAK_ACQUIRE, WEAK_RELEASE };

u64 weak_load(const u64 *p, enum weak_order order);
void weak_store(u64 *p, u64 value, enum weak_order order);
u64 weak_add(u64 *p, u64 value, enum weak_order order);
int weak_cmpxchg(u64 *p, u64 *old, u64 new, enum weak_order order);
void weak_fence(enum weak_order order);
void weak_relax(void);

#define rmap_read(p) weak_load(p, WEAK_RELAXED)
#define rmap_read_acquire(p) weak_load(p, WEAK_ACQUIRE)
#define rmap_write(p, v) weak_store(p, v, WEAK_RELAXED)
#define rmap_write_release(p, v) weak_store(p, v, WEAK_RELEASE)
#define rmap_add(p, v) ((void)weak_add(p, (u64)(v), WEAK_RELAXED))
#define rmap_add_release(p, v) ((void)weak_add(p, (u64)(v), WEAK_RELEASE))
#define rmap_add_return(p, v) weak_add(p, v, WEAK_RELAXED)
#define rmap_add_return_acquire(p, v) weak_add(p, v, WEAK_ACQUIRE)
#define rmap_try_cmpxchg(p, old, new) weak_cmpxchg(p, old, new, WEAK_RELAXED)
#define rmap_try_cmpxchg_acquire(p, old, new) weak_cmpxchg(p, old, new, WEAK_ACQUIRE)
#define rmap_fence_release() weak_fence(WEAK_RELEASE)
#define rmap_fence_acquire() weak_fence(WEAK_ACQUIRE)
#define rmap_cpu_relax() weak_relax()
#define rmap_preempt_disable() ((void)0)
#define rmap_preempt_enable() ((void)0)

#endif /* RMAP_WEAK_PLATFORM_H */
