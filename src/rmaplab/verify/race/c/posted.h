/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * posted.h - the sequence count with the operations and barriers that the series posted, for the checker only.
 *
 * Facts of <20231124132626.235350-7-david@redhat.com> (shared writers), -17- (exclusive writer) and -19- (add-return); the code is ours.
 * Rows of record.h are named where an operation is not one of core/platform.h's: fully ordered ones, and the barriers around
 * those that order nothing. What core/atomic_seqcount.h does otherwise is what `rmaplab race` shows beside it:
 *
 *	reader          relaxed loads and smp_rmb(), no acquire
 *	shared entry    a void add and smp_mb__after_atomic(); from the second stage on a fully ordered add-return
 *	exclusive entry fully ordered
 *	lost claim      turned back by a void add that orders nothing, then a loop of relaxed loads
 *	end             smp_mb__before_atomic() and a void add
 */
#ifndef RACE_POSTED_H
#define RACE_POSTED_H

#include "atomic_seqcount.h"

static __always_inline rmap_seq posted_read_begin(rmap_seq *s, const enum rmap_writer how)
{
	rmap_seq word;

	do
		word = rmap_read(s);
	while (word & rmap_seq_writers_mask(how));
	record_fence(ROW_RMB);
	return word;
}

static __always_inline int posted_read_retry(rmap_seq *s, rmap_seq start)
{
	record_fence(ROW_RMB);
	return rmap_read(s) != start;
}

static __always_inline rmap_seq posted_add_return(rmap_seq *s, rmap_seq nr)
{
	return (rmap_seq)record_add(s, sizeof(*s), ROW_FULL_ADD_RETURN, nr) + nr;
}

static __always_inline void posted_wait(rmap_seq *s, const enum rmap_writer how)
{
	rmap_seq word;

	do
		word = rmap_read(s);
	while (word & rmap_seq_exclusive_mask(how));
}

static __always_inline int posted_shared(rmap_seq *s, const enum rmap_writer how)
{
	if (posted_add_return(s, RMAP_SEQ_ONE_SHARED) & rmap_seq_exclusive_mask(how))
		posted_wait(s, how);
	return 0;
}

static __always_inline int posted_write_begin(rmap_seq *s, const enum rmap_writer how)
{
	rmap_seq word;

	if (how == RMAP_SHARED) {
		rmap_add(s, RMAP_SEQ_ONE_SHARED);
		record_fence(ROW_AFTER_ATOMIC);
		return 0;
	}
	word = rmap_read(s);
	if (word & rmap_seq_writers_mask(how))
		return posted_shared(s, how);
	if (how == RMAP_CMPXCHG || !RMAP_SEQ_HAS_ADD_RETURN) {
		if (RECORD_CAS(s, &word, word | RMAP_SEQ_ONE_EXCLUSIVE, ROW_FULL_CMPXCHG))
			return 1;
		return posted_shared(s, how);
	}
	if ((posted_add_return(s, RMAP_SEQ_ONE_EXCLUSIVE) & rmap_seq_writers_mask(how)) == RMAP_SEQ_ONE_EXCLUSIVE)
		return 1;
	rmap_add(s, RMAP_SEQ_ONE_SHARED - RMAP_SEQ_ONE_EXCLUSIVE);
	posted_wait(s, how);
	return 0;
}

static __always_inline void posted_write_end(rmap_seq *s, int exclusive, const enum rmap_writer how)
{
	record_fence(ROW_BEFORE_ATOMIC);
	rmap_add(s, rmap_seq_step(how) - (exclusive ? RMAP_SEQ_ONE_EXCLUSIVE : RMAP_SEQ_ONE_SHARED));
}

#endif /* RACE_POSTED_H */
