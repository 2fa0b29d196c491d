/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * atomic_seqcount.h - a sequence count whose writers run concurrently.
 *
 * The design is that of <20231124132626.235350-7-david@redhat.com> (shared
 * writers), -17- (an exclusive writer by cmpxchg) and -19- (by add-return);
 * this is an implementation of its own, argued in C11's memory model, because
 * the posted one was a claim to be checked. What differs is said where it does.
 *
 * One word:   | sequence | exclusive writers | shared writers |
 *
 *                           shared  exclusive  sequence
 *   64 bit  RMAP_SHARED         16          -        48
 *           RMAP_CMPXCHG        16          1        47
 *           RMAP_ADD_RETURN     16         16        32
 *   32 bit  RMAP_SHARED          7          -        25
 *           RMAP_CMPXCHG         7          1        24
 *
 * Limits. Writers do not sleep inside, so the shared field must count all CPUs:
 * 65535, or 127 on 32 bit. Each CPU may try to become the exclusive writer by
 * adding at the same time, hence 16 bits there and no third stage on 32 bit,
 * where 18 bits of sequence would be left. A reader delayed for exactly a
 * multiple of 2^sequence write sections would miss them all: what that takes,
 * benchmarks/wrap.py measures (2^24: a fraction of a second, 2^32: half a minute).
 *
 * Shared writers adjust the data with atomic read-modify-writes. The exclusive
 * writer may load and store. Readers wait until no writer is inside, read, and
 * start again if the word has changed meanwhile.
 *
 * A count's kind is its type: one of the three structs below, so that readers and writers
 * of one count cannot disagree about its fields.
 *
 *	static struct rmap_seqcount_cmpxchg count = RMAP_SEQCOUNT_INIT;
 *
 *	bool exclusive = rmap_write_begin(&count);	rmap_read_section (&count) {
 *	if (exclusive) ... else ...				...
 *	rmap_write_end(&count, exclusive);		}
 *
 * Which calls may run at the same time on one count:
 *
 *			rmap_seqcount_init	read section	shared writer	exclusive writer
 *   rmap_seqcount_init	no			no		no		no
 *   read section	no			yes		reader waits	reader waits
 *   shared writer	no			reader waits	yes		shared one waits
 *   exclusive writer	no			reader waits	shared waits	never: one is inside at most
 *
 * Who must hold what:
 *
 *   rmap_seqcount_init	the only pointer to the count
 *   read section	nothing. It waits for writers and may starve, so it is not for an interrupt
 *			handler, if a writer may be interrupted by it.
 *   write section	preemption is off from begin to end (rmap_preempt_disable() of platform.h is called
 *			here and says or does it): a writer that lost its CPU would have everybody spin. For that reason
 *			no sleeping lock inside, not even one that PREEMPT_RT makes sleep. Sections do not
 *			nest on one count, so none is opened in an interrupt handler either, unless all of them
 *			run with interrupts off.
 */
#ifndef RMAP_ATOMIC_SEQCOUNT_H
#define RMAP_ATOMIC_SEQCOUNT_H

#include "platform.h"

#ifndef RMAP_SEQCOUNT_BITS
#define RMAP_SEQCOUNT_BITS 64
#endif

/**
 * enum rmap_writer - the kinds: how writers enter (always a compile-time constant)
 * @RMAP_SHARED: every writer is a shared one
 * @RMAP_CMPXCHG: try to become the exclusive writer by compare-exchange
 * @RMAP_ADD_RETURN: try it by add-return; as @RMAP_CMPXCHG on 32 bit
 */
enum rmap_writer { RMAP_SHARED, RMAP_CMPXCHG, RMAP_ADD_RETURN };

#if RMAP_SEQCOUNT_BITS == 64
typedef u64 rmap_seq;
#define RMAP_SEQ_SHARED_BITS 16
#define RMAP_SEQ_HAS_ADD_RETURN 1
#elif RMAP_SEQCOUNT_BITS == 32
typedef u32 rmap_seq;
#define RMAP_SEQ_SHARED_BITS 7
#define RMAP_SEQ_HAS_ADD_RETURN 0
#else
#error "RMAP_SEQCOUNT_BITS must be 64 or 32"
#endif

/**
 * struct rmap_seqcount_shared - a sequence count, all of whose writers are shared ones
 * @word: sequence and writers; nobody's but this header's
 */
struct rmap_seqcount_shared {
	rmap_seq word;
};

/**
 * struct rmap_seqcount_cmpxchg - one whose writers try to become the exclusive one by compare-exchange
 * @word: sequence and writers; nobody's but this header's
 */
struct rmap_seqcount_cmpxchg {
	rmap_seq word;
};

/**
 * struct rmap_seqcount_add_return - one whose writers try it by add-return; as the former on 32 bit
 * @word: sequence and writers; nobody's but this header's
 */
struct rmap_seqcount_add_return {
	rmap_seq word;
};

/* A count of any kind, in a structure that serves users of each. One count is used as one of them. */
union rmap_seqcount {
	struct rmap_seqcount_shared shared;
	struct rmap_seqcount_cmpxchg cmpxchg;
	struct rmap_seqcount_add_return add_return;
};

/* Of a count of any kind, which nobody else sees yet. */
#define RMAP_SEQCOUNT_INIT { 0 }
#define rmap_seqcount_init(s) ((void)((s)->word = 0))

/* The kind of *@s, a constant; no other type compiles. */
#define __rmap_kind(s)                                                  \
	_Generic(*(s), struct rmap_seqcount_shared: RMAP_SHARED,        \
		 struct rmap_seqcount_cmpxchg: RMAP_CMPXCHG,            \
		 struct rmap_seqcount_add_return: RMAP_ADD_RETURN)

#define RMAP_SEQ_ONE_SHARED ((rmap_seq)1)
#define RMAP_SEQ_SHARED_MASK (((rmap_seq)1 << RMAP_SEQ_SHARED_BITS) - 1)
#define RMAP_SEQ_ONE_EXCLUSIVE ((rmap_seq)1 << RMAP_SEQ_SHARED_BITS)

static __always_inline int rmap_seq_exclusive_bits(const enum rmap_writer how)
{
	if (how == RMAP_SHARED)
		return 0;
	return how == RMAP_ADD_RETURN && RMAP_SEQ_HAS_ADD_RETURN ? RMAP_SEQ_SHARED_BITS : 1;
}

/* One step of the sequence: the lowest bit above all writers. */
static __always_inline rmap_seq rmap_seq_step(const enum rmap_writer how)
{
	return (rmap_seq)1 << (RMAP_SEQ_SHARED_BITS + rmap_seq_exclusive_bits(how));
}

static __always_inline rmap_seq rmap_seq_writers_mask(const enum rmap_writer how)
{
	return rmap_seq_step(how) - 1;
}

static __always_inline rmap_seq rmap_seq_exclusive_mask(const enum rmap_writer how)
{
	return rmap_seq_writers_mask(how) & ~RMAP_SEQ_SHARED_MASK;
}

/**
 * rmap_read_begin() - open a read section
 * @s: pointer to the sequence count, of any kind, may be const
 *
 * Return: the word, for rmap_read_retry().
 */
#define rmap_read_begin(s) __rmap_read_begin(&(s)->word, __rmap_kind(s))

static __always_inline rmap_seq __rmap_read_begin(const rmap_seq *s, const enum rmap_writer how)
{
	rmap_seq word;

	/*
	 * ACQUIRE pairs with the RELEASE in __rmap_write_end(). All ends of write
	 * sections are read-modify-writes of one word, so seeing the last of
	 * them synchronises with every one before it. Without it the reads below may
	 * return data older than the word says: an old S beside a new mapcount.
	 */
	while (unlikely((word = rmap_read_acquire(s)) & rmap_seq_writers_mask(how)))
		rmap_cpu_relax();
	return word;
}

/**
 * rmap_read_try_begin() - open a read section if no writer is inside
 * @s: pointer to the sequence count
 * @start: pointer to what rmap_read_retry() will want
 *
 * For readers that give up instead of waiting. Return: true if the section is open.
 */
#define rmap_read_try_begin(s, start) __rmap_read_try_begin(&(s)->word, start, __rmap_kind(s))

static __always_inline bool __rmap_read_try_begin(const rmap_seq *s, rmap_seq *start, const enum rmap_writer how)
{
	/* ACQUIRE as in __rmap_read_begin(). */
	*start = rmap_read_acquire(s);
	return likely(!(*start & rmap_seq_writers_mask(how)));
}

/**
 * rmap_read_retry() - close a read section
 * @s: pointer to the sequence count
 * @start: what rmap_read_begin() returned
 *
 * Return: true if what was read may be inconsistent and must be read again.
 */
#define rmap_read_retry(s, start) __rmap_read_retry(&(s)->word, start)

/**
 * rmap_read_section() - a block that is run until what it read is consistent
 * @s: pointer to the sequence count; evaluated more than once
 *
 * As a for statement: the block follows. It may be run any number of times, so it only reads and leaves results in
 * variables. `continue` tries again if it must; `break`, `return` and `goto` leave with what may be inconsistent.
 */
#define rmap_read_section(s)                                                                         \
	for (rmap_seq __rmap_start, __rmap_done = 0;                                                 \
	     !__rmap_done && (__rmap_start = rmap_read_begin(s), 1);                                 \
	     __rmap_done = !rmap_read_retry(s, __rmap_start))

static __always_inline bool __rmap_read_retry(const rmap_seq *s, rmap_seq start)
{
	/*
	 * Pairs with the release fence in __rmap_write_enter(): whoever has read a
	 * writer's data in the section sees its entry here. Without it this
	 * load may be satisfied before the data loads, and a torn read passes.
	 */
	rmap_fence_acquire();
	return unlikely(rmap_read(s) != start);
}

/*
 * The last step of every entry. The entry is a store, and so is the data; only
 * a release fence between them makes a reader of the data see the entry, the ACQUIRE
 * of the entry does not (its own store may become visible late). Pairs with the
 * acquire fence in __rmap_read_retry(). Without it a reader sees half an
 * update between two equal, quiet words. The posted code has a full barrier here.
 */
static __always_inline void __rmap_write_enter(void)
{
	rmap_fence_release();
}

/* Count as a shared writer, then wait for the (at most one) exclusive writer. */
static __always_inline void __rmap_write_begin_shared(rmap_seq *s, rmap_seq enter, const enum rmap_writer how)
{
	rmap_seq word = rmap_add_return_acquire(s, enter);

	RMAP_WARN_ON(!(word & RMAP_SEQ_SHARED_MASK));
	/*
	 * ACQUIRE, here and on entry, pairs with the RELEASE of the exclusive
	 * writer's __rmap_write_end(): its plain stores come before our
	 * read-modify-writes. Without it one of those stores may land on top of
	 * our addition, which is then lost for ever. The posted loop reads without ordering
	 * and relies on a control dependency from load to store; the kernel's
	 * model keeps that, C11 does not. Here it is said.
	 */
	while (unlikely(word & rmap_seq_exclusive_mask(how))) {
		rmap_cpu_relax();
		word = rmap_read_acquire(s);
	}
}

/**
 * rmap_write_begin() - open a write section
 * @s: pointer to the sequence count, of any kind
 *
 * Preemption is off until rmap_write_end().
 *
 * Return: true if the caller is the exclusive writer and may load and store;
 * false, always for RMAP_SHARED, if it must use atomic read-modify-writes.
 */
#define rmap_write_begin(s) __rmap_write_begin(&(s)->word, __rmap_kind(s))

static __always_inline bool __rmap_write_begin(rmap_seq *s, const enum rmap_writer how)
{
	rmap_seq enter = RMAP_SEQ_ONE_SHARED;
	rmap_seq word;

	rmap_preempt_disable();
	if (how == RMAP_SHARED) {
		rmap_add(s, enter);
		RMAP_WARN_ON(!(rmap_read(s) & RMAP_SEQ_SHARED_MASK));
		__rmap_write_enter();
		return false;
	}

	word = rmap_read(s);
	if (likely(!(word & rmap_seq_writers_mask(how)))) {
		/*
		 * ACQUIRE, in both ways to enter, pairs with the RELEASE of every
		 * earlier __rmap_write_end(). Without it the exclusive writer adds
		 * to an old value, and stores that over a newer one.
		 */
		if (how == RMAP_CMPXCHG || !RMAP_SEQ_HAS_ADD_RETURN) {
			if (likely(rmap_try_cmpxchg_acquire(s, &word, word | RMAP_SEQ_ONE_EXCLUSIVE))) {
				__rmap_write_enter();
				return true;
			}
		} else {
			word = rmap_add_return_acquire(s, RMAP_SEQ_ONE_EXCLUSIVE);
			if (likely((word & rmap_seq_writers_mask(how)) == RMAP_SEQ_ONE_EXCLUSIVE)) {
				__rmap_write_enter();
				return true;
			}
			/* Lost the race: turn the claim into a shared writer, in one step. */
			enter = RMAP_SEQ_ONE_SHARED - RMAP_SEQ_ONE_EXCLUSIVE;
		}
	}
	__rmap_write_begin_shared(s, enter, how);
	__rmap_write_enter();
	return false;
}

/**
 * rmap_write_end() - close a write section
 * @s: pointer to the sequence count
 * @exclusive: what rmap_write_begin() returned
 */
#define rmap_write_end(s, exclusive) __rmap_write_end(&(s)->word, exclusive, __rmap_kind(s))

static __always_inline void __rmap_write_end(rmap_seq *s, bool exclusive, const enum rmap_writer how)
{
	rmap_seq leave = exclusive ? RMAP_SEQ_ONE_EXCLUSIVE : RMAP_SEQ_ONE_SHARED;

	RMAP_WARN_ON(!(rmap_read(s) & rmap_seq_writers_mask(how)));
	/*
	 * RELEASE pairs with the ACQUIREs in __rmap_read_begin() and of later
	 * writers. Without it the section may look closed before its data is there.
	 * A read-modify-write even for the exclusive writer: shared ones register
	 * meanwhile.
	 */
	rmap_add_release(s, rmap_seq_step(how) - leave);
	rmap_preempt_enable();
}

#endif /* RMAP_ATOMIC_SEQCOUNT_H */
