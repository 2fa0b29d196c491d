/* SPDX-License-Identifier: GPL-2.0 */
/*
 * platform.h - the core's atomics in the kernel's words. Takes the place of core/platform.h.
 *
 * The core's names say what order they give; each mapping below says which of the kernel's gives it. Words of
 * 4 bytes are atomic_t, words of 8 bytes are atomic64_t. Two words of a folio are not plain integers, and accesses go
 * through functions for their sake: the mapcount, which Linux keeps minus one, and words that lie in one struct
 * page each.
 *
 * Writers must not be preempted inside a write section, and readers of a sequence count must not spin on one that
 * is. All updates run under a page table lock, which is a spinlock: preemption is off. (THP depends on !PREEMPT_RT.)
 */
#ifndef RMAP_PLATFORM_H
#define RMAP_PLATFORM_H

#include <linux/atomic.h>
#include <linux/cache.h>
#include <linux/lockdep.h>
#include <linux/mmdebug.h>
#include <linux/mm_types.h>
#include <linux/processor.h>

#define RMAP_CACHELINE SMP_CACHE_BYTES
#define __rmap_aligned(x) __aligned(x)

/* A mapcount as Linux keeps it: mappings minus one. */
struct rmap_biased {
	atomic_t minus_one;
};

/* A word in one struct page; the next one of an array is at the same place in the next struct page. */
struct rmap_far {
	u64 word;
	u8 rest_of_struct_page[sizeof(struct page) - sizeof(u64)];
};

/* The numbers that a word of each type holds. */
#define __rmap_typed(p, x)                                                                    \
	_Generic(*(p), s32: (s32)(x), u32: (u32)(x), u64: (u64)(x), unsigned long: (u64)(x), \
		 struct rmap_biased: (s32)(x), struct rmap_far: (u64)(x))
#define __rmap_small(p) _Generic(*(p), s32: 1, u32: 1, struct rmap_biased: 1, default: 0)
#define __rmap_bias(p) _Generic(*(p), struct rmap_biased: 1, default: 0)

static __always_inline u64 __rmap_load(const void *p, bool small, int bias)
{
	return small ? (u64)(s64)(atomic_read((const atomic_t *)p) + bias) : (u64)atomic64_read((const atomic64_t *)p);
}

static __always_inline u64 __rmap_load_acquire(const void *p, bool small, int bias)
{
	return small ? (u64)(s64)(atomic_read_acquire((const atomic_t *)p) + bias) :
		       (u64)atomic64_read_acquire((const atomic64_t *)p);
}

static __always_inline void __rmap_store(void *p, u64 v, bool small, int bias)
{
	if (small)
		atomic_set((atomic_t *)p, (int)v - bias);
	else
		atomic64_set((atomic64_t *)p, v);
}

static __always_inline void __rmap_add(void *p, u64 v, bool small)
{
	if (small)
		atomic_add((int)v, (atomic_t *)p);
	else
		atomic64_add((s64)v, (atomic64_t *)p);
}

static __always_inline u64 __rmap_add_return(void *p, u64 v, bool small, int bias)
{
	return small ? (u64)(s64)(atomic_add_return_relaxed((int)v, (atomic_t *)p) + bias) :
		       (u64)atomic64_add_return_relaxed((s64)v, (atomic64_t *)p);
}

/* Single-copy atomic, no order: READ_ONCE(), WRITE_ONCE(), of which atomic_read() and atomic_set() are made. */
#define rmap_read(p) __rmap_typed(p, __rmap_load(p, __rmap_small(p), __rmap_bias(p)))
#define rmap_write(p, v) __rmap_store(p, (u64)(v), __rmap_small(p), __rmap_bias(p))

/* smp_load_acquire(), atomic64_set_release(). */
#define rmap_read_acquire(p) __rmap_typed(p, __rmap_load_acquire(p, __rmap_small(p), __rmap_bias(p)))
/* Released words are words of 8 bytes that others change by read-modify-writes: where those take a lock, a plain store is none. */
#define rmap_write_release(p, v) atomic64_set_release((atomic64_t *)(p), (s64)(v))

/* What the holder of the lock alone looks at. */
#define rmap_plain_read(p) (*(p))
#define rmap_plain_write(p, v) ((void)(*(p) = (v)))

/* No order: atomic_add() and atomic64_add() give none. */
#define rmap_add(p, v) __rmap_add(p, (u64)(v), __rmap_small(p))
#define rmap_add_return(p, v) __rmap_typed(p, __rmap_add_return(p, (u64)(v), __rmap_small(p), __rmap_bias(p)))

/*
 * RELEASE. Where every atomic operation is a full barrier, the one without a result is the cheaper one (LOCK ADD, not
 * LOCK XADD), and smp_mb__before_atomic() is a barrier for the compiler alone. Elsewhere the form with release.
 */
static __always_inline void __rmap_add_release(u64 *p, u64 v)
{
	if (IS_ENABLED(CONFIG_X86)) {
		smp_mb__before_atomic();
		atomic64_add((s64)v, (atomic64_t *)p);
	} else {
		(void)atomic64_fetch_add_release((s64)v, (atomic64_t *)p);
	}
}
#define rmap_add_release(p, v) __rmap_add_release(p, (u64)(v))

/* ACQUIRE, as the names say. */
#define rmap_add_return_acquire(p, v) ((u64)atomic64_add_return_acquire((s64)(v), (atomic64_t *)(p)))
#define rmap_try_cmpxchg_acquire(p, old, new) \
	atomic64_try_cmpxchg_acquire((atomic64_t *)(p), (s64 *)(old), (s64)(new))

/*
 * Release fence, always right behind the read-modify-write that enters a write section: the entry, a store, before the
 * data's stores. On x86 the entry has done it; elsewhere a full barrier, as the posted code has.
 */
#define rmap_fence_release() smp_mb__after_atomic()
/* Acquire fence, always between two groups of loads: the data before the second look at the sequence count. */
#define rmap_fence_acquire() smp_rmb()

/* KCSAN sees every access here as marked; who writes alone is said by the tests in user space. */
#define rmap_assert_alone(shadow) do { } while (0)
#define rmap_assert_not_alone(shadow) do { } while (0)

/* The page table lock has done it; where a kernel checks locks, it checks that. */
#define rmap_preempt_disable() lockdep_assert_preemption_disabled()
#define rmap_preempt_enable() do { } while (0)

#define rmap_cpu_relax() cpu_relax()

#define RMAP_WARN_ON(cond) VM_WARN_ON_ONCE(cond)

struct rmap_u128 {
	u64 lo;
	u64 hi;
} __aligned(16);

/*
 * A full barrier, where the CPU has it: whoever uses it asks system_has_cmpxchg128() once, at boot. No
 * vector registers in the kernel: a 16-byte load is a compare-exchange of a value with itself.
 */
#ifdef system_has_cmpxchg128
#define RMAP_HAS_CMPXCHG128 1
static __always_inline int rmap_try_cmpxchg128(struct rmap_u128 *p, struct rmap_u128 *old, struct rmap_u128 new)
{
	u128 expected = (u128)old->hi << 64 | old->lo;
	const int done = try_cmpxchg128((u128 *)p, &expected, (u128)new.hi << 64 | new.lo);

	old->lo = (u64)expected;
	old->hi = (u64)(expected >> 64);
	return done;
}

static __always_inline struct rmap_u128 rmap_read128(struct rmap_u128 *p)
{
	struct rmap_u128 seen = { 0, 0 };

	rmap_try_cmpxchg128(p, &seen, seen);
	return seen;
}
#else
#define RMAP_HAS_CMPXCHG128 0
#endif

#endif /* RMAP_PLATFORM_H */
