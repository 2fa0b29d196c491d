/* SPDX-License-Identifier: GPL-2.0 */
/*
 * rmaplab.h - what the rest of the kernel asks: is this large folio mapped by one MM or by more?
 *
 * Every hook is an expression around the kernel's own answer, which is evaluated only where it is wanted.
 * Without CONFIG_RMAPLAB, and with rmap_scheme=off, the kernel's own rule is what remains.
 */
#ifndef _LINUX_RMAPLAB_H
#define _LINUX_RMAPLAB_H

#include <linux/jump_label.h>
#include <linux/minmax.h>
#include <linux/rmaplab_types.h>

struct folio;
struct mm_struct;
struct vm_area_struct;

/* IDs of 22 bits: more than PID_MAX_LIMIT tasks there are not, and the sums' bounds follow from it. */
#define RMAPLAB_ID_MAX ((1 << 22) - 1)

#ifdef CONFIG_RMAPLAB

#if defined(CONFIG_RMAPLAB_MANY)
/* Updates go to a scheme; answers come from it (not so where it keeps the flag that the kernel reads). */
DECLARE_STATIC_KEY_FALSE(rmaplab_writers_key);
DECLARE_STATIC_KEY_FALSE(rmaplab_readers_key);
#define rmaplab_writers() static_branch_unlikely(&rmaplab_writers_key)
#define rmaplab_readers() static_branch_unlikely(&rmaplab_readers_key)
#else
/* One scheme, compiled in: in the slots' place where the kernel has slots, and then no reader changes. */
#define rmaplab_writers() true
#define rmaplab_readers() (!IS_ENABLED(CONFIG_MM_ID))
#endif

bool rmaplab_shared(struct folio *folio);
bool rmaplab_wp_can_reuse(struct folio *folio, struct vm_area_struct *vma);

#ifdef CONFIG_RMAPLAB_STATS
bool rmaplab_counted(struct folio *folio, bool kernels);
bool rmaplab_counted_reuse(struct folio *folio, struct vm_area_struct *vma, bool kernels);
#define rmaplab_answer(folio, kernels) rmaplab_counted(folio, kernels)
#define rmaplab_can_reuse(folio, vma, kernels) rmaplab_counted_reuse(folio, vma, kernels)
#else
/* "Mapped by more than one MM?", of a large folio with two mappings or more. */
#define rmaplab_answer(folio, kernels) (rmaplab_readers() ? rmaplab_shared(folio) : (kernels))
/* May a write fault in @vma, its page table locked, keep a page of this large anonymous folio? */
#define rmaplab_can_reuse(folio, vma, kernels) \
	(rmaplab_readers() ? rmaplab_wp_can_reuse(folio, vma) : (kernels))
#endif

/* Are the two slots' words something else now, which their sanity checks do not know? */
#define rmaplab_slots_replaced() (rmaplab_writers() && !IS_ENABLED(CONFIG_RMAPLAB_STATS))

/* The largest ID that the kernel's own allocator may give. */
#define rmaplab_id_max(kernels) min_t(unsigned int, kernels, RMAPLAB_ID_MAX)

int rmaplab_mm_init(struct mm_struct *mm);
void rmaplab_mm_destroy(struct mm_struct *mm);

/* Words of a scheme's own, in tail pages; in the slots' place there is nothing to prepare and check. */
#define rmaplab_words_used() \
	(rmaplab_writers() && (IS_ENABLED(CONFIG_RMAPLAB_MANY) || !IS_ENABLED(CONFIG_MM_ID)))

void __rmaplab_prepare(struct folio *folio, unsigned int order);
bool __rmaplab_clean(struct folio *folio);

/* State begins: called when a compound page is made. */
static __always_inline void rmaplab_prepare(struct folio *folio, unsigned int order)
{
	if (rmaplab_words_used() && order > 1)
		__rmaplab_prepare(folio, order);
}

/* State ends: no rmap value may be left when a folio of order 2 or more is freed. */
static __always_inline bool rmaplab_clean(struct folio *folio)
{
	return !rmaplab_words_used() || __rmaplab_clean(folio);
}

#else /* !CONFIG_RMAPLAB */

#define rmaplab_writers() false
#define rmaplab_answer(folio, kernels) (kernels)
#define rmaplab_can_reuse(folio, vma, kernels) (kernels)
#define rmaplab_slots_replaced() false
#define rmaplab_id_max(kernels) (kernels)
static inline int rmaplab_mm_init(struct mm_struct *mm) { return 0; }
static inline void rmaplab_mm_destroy(struct mm_struct *mm) { }
static inline void rmaplab_prepare(struct folio *folio, unsigned int order) { }
static inline bool rmaplab_clean(struct folio *folio) { return true; }

#endif /* CONFIG_RMAPLAB */

#endif /* _LINUX_RMAPLAB_H */
