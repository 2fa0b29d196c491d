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
 * where 18 bits of sequence would be left: 5 ms of writers at 20 ns each. A
 * reader delayed for exactly a multiple of 2^sequence write sections would
 * miss them all: 2^24 sections are a third of a second, 2^32 a minute and a half.
 *
 * Shared writers adjust the data with atomic read-modify-writes. The exclusive
 * writer may load and store. Readers wait until no writer is inside, read, and
 * start again if the word has changed meanwhile.
 */
#ifndef RMAP_ATOMIC_SEQCOUNT_H
#define RMAP_ATOMIC_SEQCOUNT_H

#include "platform.h"

#ifndef RMAP_SEQCOUNT_BITS
#define RMAP_SEQCOUNT_BITS 64
#endif

/**
 * enum rmap_writer - how writers enter (always a compile-time constant)
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
 * @s: the sequence count
 * @how: how its writers enter
 *
 * Return: the word, for rmap_read_retry().
 */
static __always_inline rmap_seq rmap_read_begin(rmap_seq *s, const enum rmap_writer how)
{
	rmap_seq word;

	/*
	 * ACQUIRE pairs with the RELEASE in rmap_write_end(). All ends of write
	 * sections are read-modify-writes of one word, so seeing the last of
	 * them synchronises with every one before it. Without it the reads below may
	 * return data older than the word says: an old S beside a new mapcount.
	 */
	while (unlikely((word = rmap_read_acquire(s)) & rmap_seq_writers_mask(how)))
		rmap_cpu_relax();
	return word;
}

/**
 * rmap_read_retry() - close a read section
 * @s: the sequence count
 * @start: what rmap_read_begin() returned
 *
 * Return: true if what was read may be inconsistent and must be read again.
 */
static __always_inline int rmap_read_retry(rmap_seq *s, rmap_seq start)
{
	/*
	 * Pairs with the release fence in rmap_write_enter(): whoever has read a
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
 * acquire fence in rmap_read_retry(). Without it a reader sees half an
 * update between two equal, quiet words. The posted code has a full barrier here.
 */
static __always_inline void rmap_write_enter(void)
{
	rmap_fence_release();
}

/* Count as a shared writer, then wait for the (at most one) exclusive writer. */
static __always_inline void rmap_write_begin_shared(rmap_seq *s, rmap_seq enter, const enum rmap_writer how)
{
	rmap_seq word = rmap_add_return_acquire(s, enter);

	RMAP_WARN_ON(!(word & RMAP_SEQ_SHARED_MASK));
	/*
	 * ACQUIRE, here and on entry, pairs with the RELEASE of the exclusive
	 * writer's rmap_write_end(): its plain stores come before our
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
 * @s: the sequence count
 * @how: how writers enter; all writers of one count must agree
 *
 * Return: true if the caller is the exclusive writer and may load and store;
 * false if it must use atomic read-modify-writes.
 */
static __always_inline int rmap_write_begin(rmap_seq *s, const enum rmap_writer how)
{
	rmap_seq enter = RMAP_SEQ_ONE_SHARED;
	rmap_seq word;

	if (how == RMAP_SHARED) {
		rmap_add(s, enter);
		RMAP_WARN_ON(!(rmap_read(s) & RMAP_SEQ_SHARED_MASK));
		rmap_write_enter();
		return 0;
	}

	word = rmap_read(s);
	if (likely(!(word & rmap_seq_writers_mask(how)))) {
		/*
		 * ACQUIRE, in both ways to enter, pairs with the RELEASE of every
		 * earlier rmap_write_end(). Without it the exclusive writer adds
		 * to an old value, and stores that over a newer one.
		 */
		if (how == RMAP_CMPXCHG || !RMAP_SEQ_HAS_ADD_RETURN) {
			if (likely(rmap_try_cmpxchg_acquire(s, &word, word | RMAP_SEQ_ONE_EXCLUSIVE))) {
				rmap_write_enter();
				return 1;
			}
		} else {
			word = rmap_add_return_acquire(s, RMAP_SEQ_ONE_EXCLUSIVE);
			if (likely((word & rmap_seq_writers_mask(how)) == RMAP_SEQ_ONE_EXCLUSIVE)) {
				rmap_write_enter();
				return 1;
			}
			/* Lost the race: turn the claim into a shared writer, in one step. */
			enter = RMAP_SEQ_ONE_SHARED - RMAP_SEQ_ONE_EXCLUSIVE;
		}
	}
	rmap_write_begin_shared(s, enter, how);
	rmap_write_enter();
	return 0;
}

/**
 * rmap_write_end() - close a write section
 * @s: the sequence count
 * @exclusive: what rmap_write_begin() returned
 * @how: how writers enter
 */
static __always_inline void rmap_write_end(rmap_seq *s, int exclusive, const enum rmap_writer how)
{
	rmap_seq leave = exclusive ? RMAP_SEQ_ONE_EXCLUSIVE : RMAP_SEQ_ONE_SHARED;

	RMAP_WARN_ON(!(rmap_read(s) & rmap_seq_writers_mask(how)));
	/*
	 * RELEASE pairs with the ACQUIREs in rmap_read_begin() and of later
	 * writers. Without it the section may look closed before its data is there.
	 * A read-modify-write even for the exclusive writer: shared ones register
	 * meanwhile.
	 */
	rmap_add_release(s, rmap_seq_step(how) - leave);
}

#endif /* RMAP_ATOMIC_SEQCOUNT_H */
