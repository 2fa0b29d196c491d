/* SPDX-License-Identifier: GPL-2.0 */
/*
 * bit_lock.h - the core's bit lock is the kernel's bit_spin_lock(). Takes the place of core/bit_lock.h.
 *
 * The same bit that Linux' two slots have as their lock.
 */
#ifndef RMAP_BIT_LOCK_H
#define RMAP_BIT_LOCK_H

#include <linux/bit_spinlock.h>

#include "platform.h"

#define RMAP_LOCK_BITNUM 31
#define RMAP_LOCK_BIT (1ull << RMAP_LOCK_BITNUM)

/* ACQUIRE, and preemption is off until rmap_bit_unlock(). Return: the word, without the lock bit. */
static __always_inline u64 rmap_bit_lock(u64 *word)
{
	bit_spin_lock(RMAP_LOCK_BITNUM, (unsigned long *)word);
	/* It is set; so taking it off is a subtraction, which folds into the sums' own. */
	return READ_ONCE(*word) - RMAP_LOCK_BIT;
}

/*
 * RELEASE, and the word's new value with it: __bit_spin_unlock() would be one more write. Only the holder of the lock
 * writes the word, so nothing is lost between rmap_bit_lock() and here.
 */
static __always_inline void rmap_bit_unlock(u64 *word, u64 new)
{
	RMAP_WARN_ON(new & RMAP_LOCK_BIT);
	RMAP_WARN_ON(!(READ_ONCE(*word) & RMAP_LOCK_BIT));
	smp_store_release(word, new);
	preempt_enable();
	__release(bitlock);
}

#endif /* RMAP_BIT_LOCK_H */
