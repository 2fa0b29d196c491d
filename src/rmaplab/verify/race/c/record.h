/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * record.h - a platform.h whose atomics are recorded instead of done.
 *
 * The headers of core/ are compiled unchanged over it: -DRMAP_PLATFORM='"record.h"'. A thread runs with values given for its reads; the
 * operation behind the last of them is what the engine asked for. No memory is touched. Names of rows: what an operation is in C11's
 * words, or in Linux' where the posted code is quoted; mappings.py says what events a model makes of it.
 */
#ifndef RACE_RECORD_H
#define RACE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef int32_t s32;
typedef uint64_t u64;
typedef int64_t s64;

/* cdef: begin */
enum record_row {
	ROW_READ, ROW_READ_ACQUIRE, ROW_WRITE, ROW_WRITE_RELEASE, ROW_ADD, ROW_ADD_RELEASE, ROW_ADD_RETURN,
	ROW_ADD_RETURN_ACQUIRE, ROW_ADD_RETURN_RELEASE, ROW_ADD_NEGATIVE, ROW_FETCH_OR_ACQUIRE, ROW_CMPXCHG,
	ROW_CMPXCHG_ACQUIRE, ROW_CMPXCHG_RELEASE, ROW_CMPXCHG128, ROW_READ128, ROW_FENCE_RELEASE, ROW_FENCE_ACQUIRE,
	ROW_FENCE_FULL, ROW_FULL_ADD_RETURN, ROW_FULL_CMPXCHG, ROW_FETCH_AND_RELEASE, ROW_AFTER_ATOMIC, ROW_BEFORE_ATOMIC,
	ROW_RMB, ROW_WMB, ROW_PLAIN_READ, ROW_PLAIN_WRITE, ROW_COUNT
};
/* cdef: end */

#undef __always_inline
#define likely(x) (x)
#define unlikely(x) (x)
#define __always_inline inline __attribute__((__always_inline__))
#define noinline __attribute__((__noinline__))
#define RMAP_CACHELINE 64
#define __rmap_aligned(x) __attribute__((__aligned__(x)))
#define RMAP_WARN_ON(cond) ((void)sizeof(cond))

struct rmap_u128 {
	u64 lo;
	u64 hi;
} __rmap_aligned(16);
#define RMAP_HAS_CMPXCHG128 1

u64 record_read(const volatile void *p, int size, int row);
void record_write(volatile void *p, int size, int row, u64 value);
u64 record_add(volatile void *p, int size, int row, u64 value);
u64 record_or(volatile void *p, int size, int row, u64 value);
u64 record_and(volatile void *p, int size, int row, u64 value);
int record_cas(volatile void *p, int size, int row, u64 expect, u64 value, u64 *seen);
void record_fence(int row);
struct rmap_u128 record_read128(struct rmap_u128 *p);
int record_cas128(struct rmap_u128 *p, struct rmap_u128 *old, struct rmap_u128 value);

#define RECORD_TYPED(p, call) ((__typeof__(*(p)))(call))
#define RECORD_ADD(p, v, row) record_add(p, sizeof(*(p)), row, (u64)(v))
#define RECORD_CAS(p, old, new, row)                                                                        \
	({                                                                                                  \
		u64 record_seen;                                                                            \
		const int record_done =                                                                     \
			record_cas(p, sizeof(*(p)), row, (u64)*(old), (u64)(new), &record_seen);            \
		*(old) = (__typeof__(*(old)))record_seen;                                                   \
		record_done;                                                                                \
	})

#define rmap_read(p) RECORD_TYPED(p, record_read(p, sizeof(*(p)), ROW_READ))
#define rmap_read_acquire(p) RECORD_TYPED(p, record_read(p, sizeof(*(p)), ROW_READ_ACQUIRE))
#define rmap_write(p, v) record_write(p, sizeof(*(p)), ROW_WRITE, (u64)(v))
#define rmap_plain_read(p) RECORD_TYPED(p, record_read(p, sizeof(*(p)), ROW_PLAIN_READ))
#define rmap_plain_write(p, v) record_write(p, sizeof(*(p)), ROW_PLAIN_WRITE, (u64)(v))
#define rmap_write_release(p, v) record_write(p, sizeof(*(p)), ROW_WRITE_RELEASE, (u64)(v))
#define rmap_add(p, v) ((void)RECORD_ADD(p, v, ROW_ADD))
#define rmap_add_release(p, v) ((void)RECORD_ADD(p, v, ROW_ADD_RELEASE))
#define rmap_add_return(p, v) RECORD_TYPED(p, RECORD_ADD(p, v, ROW_ADD_RETURN) + (u64)(v))
#define rmap_add_return_acquire(p, v) RECORD_TYPED(p, RECORD_ADD(p, v, ROW_ADD_RETURN_ACQUIRE) + (u64)(v))
#define rmap_add_return_release(p, v) RECORD_TYPED(p, RECORD_ADD(p, v, ROW_ADD_RETURN_RELEASE) + (u64)(v))
#define rmap_add_negative(p, v) (RECORD_TYPED(p, RECORD_ADD(p, v, ROW_ADD_NEGATIVE) + (u64)(v)) < 0)
/* No header says it; barriers.py has it where an acquire is taken out. */
#define rmap_fetch_or(p, v) RECORD_TYPED(p, record_or(p, sizeof(*(p)), ROW_ADD_RETURN, v))
#define rmap_fetch_or_acquire(p, v) RECORD_TYPED(p, record_or(p, sizeof(*(p)), ROW_FETCH_OR_ACQUIRE, v))
#define rmap_fetch_and_release(p, v) RECORD_TYPED(p, record_and(p, sizeof(*(p)), ROW_FETCH_AND_RELEASE, v))
#define rmap_try_cmpxchg(p, old, new) RECORD_CAS(p, old, new, ROW_CMPXCHG)
#define rmap_try_cmpxchg_acquire(p, old, new) RECORD_CAS(p, old, new, ROW_CMPXCHG_ACQUIRE)
#define rmap_try_cmpxchg_release(p, old, new) RECORD_CAS(p, old, new, ROW_CMPXCHG_RELEASE)
#define rmap_try_cmpxchg128(p, old, new) record_cas128(p, old, new)
#define rmap_read128(p) record_read128(p)
#define rmap_fence_release() record_fence(ROW_FENCE_RELEASE)
#define rmap_fence_acquire() record_fence(ROW_FENCE_ACQUIRE)
#define rmap_cpu_relax() ((void)0)
#define rmap_preempt_disable() ((void)0)
#define rmap_preempt_enable() ((void)0)
#define rmap_assert_alone(shadow) ((void)(shadow))
#define rmap_assert_not_alone(shadow) ((void)(shadow))

#endif /* RACE_RECORD_H */
