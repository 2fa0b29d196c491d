/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * platform.h - everything the other headers need from their surroundings.
 *
 * Integer types, atomics with explicit C11 ordering, fences, cpu_relax, the
 * 16-byte compare-exchange and load. No libc. A kernel shim replaces this file
 * (docs/core.md has one); a model checker replaces it to watch every access:
 * define RMAP_PLATFORM to the name of the replacement.
 *
 * The names follow the kernel's, the ordering is C11's: *_acquire, *_release,
 * nothing means relaxed. Relaxed read-modify-writes order nothing but
 * themselves, and an acquire one does not order its own store before later
 * stores; wherever that matters a fence stands next to it.
 */
#ifndef RMAP_PLATFORM_H
#define RMAP_PLATFORM_H

#ifdef RMAP_PLATFORM
#include RMAP_PLATFORM
#else

typedef __UINT8_TYPE__ u8;
typedef __UINT32_TYPE__ u32;
typedef __INT32_TYPE__ s32;
typedef __UINT64_TYPE__ u64;
typedef __INT64_TYPE__ s64;

#ifndef likely
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#endif
#ifndef __always_inline
#define __always_inline inline __attribute__((__always_inline__))
#endif
#ifndef noinline
#define noinline __attribute__((__noinline__))
#endif

#include <stdbool.h>

#define RMAP_CACHELINE 64
#define __rmap_aligned(x) __attribute__((__aligned__(x)))

/* Single-copy atomic accesses that order nothing: READ_ONCE, WRITE_ONCE. */
#define rmap_read(p) __atomic_load_n(p, __ATOMIC_RELAXED)
#define rmap_write(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)
#define rmap_read_acquire(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define rmap_write_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

/* Accesses of who holds the lock to what nobody looks at without it. A checker replaces them to see them too. */
#define rmap_plain_read(p) (*(p))
#define rmap_plain_write(p, v) ((void)(*(p) = (v)))

#define rmap_add(p, v) ((void)__atomic_fetch_add(p, v, __ATOMIC_RELAXED))
#define rmap_add_release(p, v) ((void)__atomic_fetch_add(p, v, __ATOMIC_RELEASE))
#define rmap_add_return(p, v) __atomic_add_fetch(p, v, __ATOMIC_RELAXED)
#define rmap_add_return_acquire(p, v) __atomic_add_fetch(p, v, __ATOMIC_ACQUIRE)
#define rmap_add_negative(p, v) (__atomic_add_fetch(p, v, __ATOMIC_ACQ_REL) < 0)
#define rmap_fetch_or_acquire(p, v) __atomic_fetch_or(p, v, __ATOMIC_ACQUIRE)
#define rmap_try_cmpxchg_acquire(p, old, new) \
	__atomic_compare_exchange_n(p, old, new, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)

#ifdef __SANITIZE_THREAD__
/*
 * ThreadSanitizer does not see fences. An RMW on a location of its own that
 * acquires and releases is at least as strong, so no report is lost that a
 * fence would have prevented, and races of plain accesses stay visible.
 */
static u32 rmap_tsan_fence;
#define rmap_fence_release() ((void)__atomic_fetch_add(&rmap_tsan_fence, 0, __ATOMIC_RELEASE))
#define rmap_fence_acquire() ((void)__atomic_load_n(&rmap_tsan_fence, __ATOMIC_ACQUIRE))
#else
#define rmap_fence_release() __atomic_thread_fence(__ATOMIC_RELEASE)
#define rmap_fence_acquire() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#endif

/*
 * Who holds a write section says so here, as with the kernel's ASSERT_EXCLUSIVE_WRITER()
 * and ASSERT_EXCLUSIVE_ACCESS(): plain accesses that ThreadSanitizer watches.
 */
#ifdef __SANITIZE_THREAD__
#define rmap_assert_alone(shadow) (*(volatile u32 *)(shadow) = 1)
#define rmap_assert_not_alone(shadow) ((void)*(volatile u32 *)(shadow))
#else
#define rmap_assert_alone(shadow) ((void)(shadow))
#define rmap_assert_not_alone(shadow) ((void)(shadow))
#endif

#if defined(__x86_64__) || defined(__i386__)
#define rmap_cpu_relax() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define rmap_cpu_relax() __asm__ volatile("yield" ::: "memory")
#else
#define rmap_cpu_relax() __asm__ volatile("" ::: "memory")
#endif

/*
 * Called where a section opens in which nobody may lose the CPU, since others spin until it is closed, and where it has closed: write
 * sections of a sequence count, the bit lock, the frozen word of `packed`. A kernel disables preemption, or says that its
 * caller has. A thread in user space cannot: whoever waits for one that lost its CPU waits until it runs again.
 */
#define rmap_preempt_disable() ((void)0)
#define rmap_preempt_enable() ((void)0)

/* Debug builds: a check that compiles away otherwise, as VM_WARN_ON_ONCE. */
#ifdef RMAP_DEBUG
#define RMAP_WARN_ON(cond) ((cond) ? __builtin_trap() : (void)0)
#else
#define RMAP_WARN_ON(cond) ((void)sizeof(cond))
#endif

/**
 * struct rmap_u128 - two words that one instruction can compare and exchange
 * @lo: low word
 * @hi: high word
 */
struct rmap_u128 {
	u64 lo;
	u64 hi;
} __rmap_aligned(16);

#if defined(__SANITIZE_THREAD__) && defined(__SIZEOF_INT128__)
#define RMAP_HAS_CMPXCHG128 1
/*
 * ThreadSanitizer does not see inline assembly: the compiler's builtins, which it takes over itself. As in LOCK CMPXCHG16B and in a kernel,
 * a full barrier; what failed is one, too.
 */
static __always_inline bool rmap_try_cmpxchg128(struct rmap_u128 *p, struct rmap_u128 *old, struct rmap_u128 new)
{
	unsigned __int128 want = (unsigned __int128)old->hi << 64 | old->lo;
	const bool done = __atomic_compare_exchange_n((unsigned __int128 *)p, &want, (unsigned __int128)new.hi << 64 | new.lo, 0,
						      __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);

	old->lo = (u64)want;
	old->hi = (u64)(want >> 64);
	return done;
}

extern int rmap_have_vector_read128;
#define RMAP_HAVE_VECTOR_READ128 1
static __always_inline struct rmap_u128 rmap_read128_vector(struct rmap_u128 *p)
{
	const unsigned __int128 both = __atomic_load_n((unsigned __int128 *)p, __ATOMIC_RELAXED);

	return (struct rmap_u128){ .lo = (u64)both, .hi = (u64)(both >> 64) };
}

#elif defined(__x86_64__)
#define RMAP_HAS_CMPXCHG128 1
/*
 * Inline assembly, since the compiler's builtin calls libatomic unless -mcx16
 * is given. Every x86-64 CPU but the very first has CMPXCHG16B.
 */
static __always_inline bool rmap_try_cmpxchg128(struct rmap_u128 *p, struct rmap_u128 *old, struct rmap_u128 new)
{
	bool done;

	__asm__ volatile("lock cmpxchg16b %1"
			 : "=@ccz"(done), "+m"(*p), "+a"(old->lo), "+d"(old->hi)
			 : "b"(new.lo), "c"(new.hi)
			 : "memory");
	return done;
}

/*
 * Intel (SDM volume 3, 9.1.1) and AMD (APM volume 2, 7.3.2) guarantee that an
 * aligned 16-byte VMOVDQA is one access on every CPU with AVX. User space only:
 * a kernel has no vector registers at hand and takes rmap_read128_cmpxchg().
 */
static __always_inline struct rmap_u128 rmap_read128_vector(struct rmap_u128 *p)
{
	typedef u64 v2 __attribute__((vector_size(16)));
	v2 both;

	__asm__ volatile("vmovdqa %1, %0" : "=x"(both) : "m"(*p) : "memory");
	return (struct rmap_u128){ .lo = both[0], .hi = both[1] };
}

/* Set by rmap_platform_init(): CPU and operating system support AVX. */
extern int rmap_have_vector_read128;
#define RMAP_HAVE_VECTOR_READ128 likely(rmap_have_vector_read128)

#elif defined(__GCC_HAVE_SYNC_COMPARE_AND_SWAP_16)
#define RMAP_HAS_CMPXCHG128 1
static __always_inline bool rmap_try_cmpxchg128(struct rmap_u128 *p, struct rmap_u128 *old, struct rmap_u128 new)
{
	unsigned __int128 seen, want, put;

	__builtin_memcpy(&want, old, 16);
	__builtin_memcpy(&put, &new, 16);
	seen = __sync_val_compare_and_swap((unsigned __int128 *)p, want, put);
	__builtin_memcpy(old, &seen, 16);
	return seen == want;
}
#define RMAP_HAVE_VECTOR_READ128 0
#define rmap_read128_vector(p) rmap_read128_cmpxchg(p)
#else
#define RMAP_HAS_CMPXCHG128 0
#endif

#if RMAP_HAS_CMPXCHG128
/* A load that every CPU with a 16-byte compare-exchange has; it dirties the line. */
static __always_inline struct rmap_u128 rmap_read128_cmpxchg(struct rmap_u128 *p)
{
	struct rmap_u128 seen = { 0, 0 };

	rmap_try_cmpxchg128(p, &seen, seen);
	return seen;
}

static __always_inline struct rmap_u128 rmap_read128(struct rmap_u128 *p)
{
	if (RMAP_HAVE_VECTOR_READ128)
		return rmap_read128_vector(p);
	return rmap_read128_cmpxchg(p);
}
#endif

#endif /* RMAP_PLATFORM */
#endif /* RMAP_PLATFORM_H */
