/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * bit_lock.h - a spinlock in bit 31 of a state word, as bit_spin_lock(); where Linux' large folios have it.
 *
 * For schemes whose update is more than additions. No queue, no fairness: the series
 * found it much worse than a sequence count under contention.
 */
#ifndef RMAP_BIT_LOCK_H
#define RMAP_BIT_LOCK_H

#include "platform.h"

#define RMAP_LOCK_BIT (1ull << 31)

/**
 * rmap_bit_lock() - take the lock
 * @word: the word that holds the lock bit
 *
 * ACQUIRE pairs with the RELEASE in rmap_bit_unlock(): without it the counters read
 * inside may be older than the last holder's. Preemption is off until rmap_bit_unlock(); never from an
 * interrupt handler, unless every holder has interrupts off.
 *
 * Return: the word, without the lock bit.
 */
static __always_inline u64 rmap_bit_lock(u64 *word)
{
	u64 old;

	rmap_preempt_disable();
	while (unlikely((old = rmap_fetch_or_acquire(word, RMAP_LOCK_BIT)) & RMAP_LOCK_BIT))
		while (rmap_read(word) & RMAP_LOCK_BIT)
			rmap_cpu_relax();
	return old;
}

/* Release the lock and give the word its new value; only the holder writes it. */
static __always_inline void rmap_bit_unlock(u64 *word, u64 new)
{
	RMAP_WARN_ON(new & RMAP_LOCK_BIT);
	rmap_write_release(word, new);
	rmap_preempt_enable();
}

#endif /* RMAP_BIT_LOCK_H */
