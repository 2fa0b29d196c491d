/* SPDX-License-Identifier: GPL-2.0 */
/*
 * rmaplab_slots.h - moments-flag in the place of the kernel's two slots.
 *
 * The same 16 bytes, lock bit and flag bit: _mm_ids holds the sum of the IDs around them, _mm_id_mapcount[] the sum of
 * their squares, minus one. The bias makes "no mappings" look as it does with slots (-1, -1, and 0), so that
 * neither what sets up a folio nor what checks one at its end has to know. Nor does any reader: the flag is where it was.
 */
#ifndef _LINUX_RMAPLAB_SLOTS_H
#define _LINUX_RMAPLAB_SLOTS_H

#include <linux/bit_spinlock.h>
#include <linux/mm.h>
#include <linux/rmaplab_mapped.h>

#include "../../mm/rmaplab/core/moments_flag.h"

static_assert(FOLIO_MM_IDS_LOCK_BIT == RMAP_LOCK_BIT);
static_assert(FOLIO_MM_IDS_SHARED_BIT == RMAP_MOMENTS_FLAG_SHARED);
static_assert(sizeof_field(struct folio, _mm_id_mapcount) == sizeof(u64));
static_assert(RMAPLAB_ID_MAX >> RMAP_MOMENTS_FLAG_ID_BITS == 0);

static __always_inline u64 *rmaplab_slots_squares(struct folio *folio)
{
	return (u64 *)folio->_mm_id_mapcount;
}

static __always_inline u64 rmaplab_slots_lock(struct folio *folio)
{
	return rmap_bit_lock((u64 *)&folio->_mm_ids);
}

static __always_inline void rmaplab_slots_unlock(struct folio *folio, u64 word)
{
	rmap_bit_unlock((u64 *)&folio->_mm_ids, word);
}

u64 rmaplab_slots_settle(struct folio *folio, u64 word);

/*
 * Out of line: 128-bit products would have the compiler align the stack, for the small folio too. On x86-64 the caller sees
 * an instruction that keeps what callers need behind it, the page and the number of pages. A call would change them: they would
 * have to lie in registers that are saved and restored on every path.
 */
static __always_inline u64 rmaplab_slots_call_settle(struct folio *folio, u64 word)
{
#ifdef CONFIG_X86_64
	u64 settled;

	asm volatile("push %%rax; push %%rdx; call rmaplab_slots_settle; mov %%rax, %%rcx; pop %%rdx; pop %%rax"
		     : ASM_CALL_CONSTRAINT, "=c"(settled), "+D"(folio), "+S"(word)
		     :
		     : "r8", "r9", "r10", "r11", "memory", "cc");
	return settled;
#else
	return rmaplab_slots_settle(folio, word);
#endif
}

/*
 * The squares are changed where they lie: their bias goes along. @nr is positive, and unsigned here so that the caller's own
 * sign extension stays where it was. Return: the mapcount after it.
 */
static __always_inline int rmaplab_slots_add(struct folio *folio, int nr, struct vm_area_struct *vma)
{
	const u64 id = vma->vm_mm->mm_id;
	const u64 word = rmaplab_slots_lock(folio);
	const int before = atomic_read(&folio->_large_mapcount) + 1;

	rmaplab_mapped(vma, nr);
	atomic_set(&folio->_large_mapcount, before - 1 + nr);
	rmaplab_slots_unlock(folio, rmap_moments_flag_add(word, rmaplab_slots_squares(folio), before, id, (u32)nr));
	return before + nr;
}

/* Return: the mapcount after it. */
static __always_inline int rmaplab_slots_sub(struct folio *folio, int nr, struct vm_area_struct *vma)
{
	const u64 id = vma->vm_mm->mm_id, less = (u32)nr * id;
	const u64 word = rmaplab_slots_lock(folio);
	const int after = atomic_read(&folio->_large_mapcount) + 1 - nr;
	u64 new = rmap_moments_flag_less(word, less);

	rmaplab_mapped(vma, -nr);
	atomic_set(&folio->_large_mapcount, after - 1);
	*rmaplab_slots_squares(folio) -= less * id;
	if (unlikely(word & RMAP_MOMENTS_FLAG_SHARED) &&
	    unlikely(rmap_moments_flag_perhaps(new, after, READ_ONCE(*rmaplab_slots_squares(folio)) + 1)))
		new = rmaplab_slots_call_settle(folio, new);
	VM_WARN_ON_ONCE(!after && (new || *rmaplab_slots_squares(folio) != -1ull));
	rmaplab_slots_unlock(folio, new);
	return after;
}

static __always_inline int rmaplab_slots_set(struct folio *folio, int nr, struct vm_area_struct *vma)
{
	const u64 id = vma->vm_mm->mm_id, sum = nr * id;

	rmaplab_mapped(vma, nr);
	atomic_set(&folio->_large_mapcount, nr - 1);
	*rmaplab_slots_squares(folio) = sum * id - 1;
	folio->_mm_ids = rmap_moments_flag_spread(sum);
	return nr;
}

#ifndef RMAPLAB_SCHEME
/* The core's words are for schemes; others have functions of these names. */
#undef rmap_read
#undef rmap_write
#undef rmap_add
#endif

#endif /* _LINUX_RMAPLAB_SLOTS_H */
