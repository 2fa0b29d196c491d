/* SPDX-License-Identifier: GPL-2.0 */
/*
 * rmaplab_rmap.h - updates of a large folio's mapcount, for linux/rmap.h.
 *
 * Each returns true if it did what the kernel's own code would have done: then that is skipped. With
 * CONFIG_RMAPLAB_STATS on a kernel with slots it returns false: the scheme works beside the slots, so that both
 * answers can be counted.
 *
 * The call must not cost the small folio anything. A call clobbers registers, so the compiler would save and restore
 * more of them on every path through the caller. Hence on x86-64 the scheme saves what it uses, and the caller
 * sees an instruction that changes memory and flags only.
 */
#ifndef _LINUX_RMAPLAB_RMAP_H
#define _LINUX_RMAPLAB_RMAP_H

#include <linux/mm.h>
#include <linux/rmaplab.h>

#ifdef CONFIG_RMAPLAB

#define RMAPLAB_BESIDE (IS_ENABLED(CONFIG_RMAPLAB_STATS) && IS_ENABLED(CONFIG_MM_ID))

#ifdef CONFIG_X86_64
#define __rmaplab_callee __attribute__((no_caller_saved_registers))
#define rmaplab_call(symbol, folio, nr, vma)                                      \
	do {                                                                      \
		register int __nr asm("r8") = (nr);                               \
		asm volatile("call " symbol                                       \
			     : ASM_CALL_CONSTRAINT                                \
			     : "D"(folio), "c"(vma), "r"(__nr)                    \
			     : "memory", "cc");                                   \
	} while (0)
#else
#define __rmaplab_callee
#endif

/*
 * Where the arguments are: folio and VMA where folio_add_*_rmap_ptes() and folio_remove_rmap_ptes() have them, the number in
 * a register that those do not use. With it where they have it, the third, the compiler counts in another one what a small
 * folio adds to the statistics, and moves that for its call: one instruction of the small folio's.
 */
#define RMAPLAB_UPDATE \
	struct folio *folio, struct page *unused, long not_used, struct vm_area_struct *vma, int nr
#define RMAPLAB_ARGUMENTS(folio, nr, vma) folio, NULL, 0, vma, nr
typedef void rmaplab_update_t(RMAPLAB_UPDATE) __rmaplab_callee;

#ifdef CONFIG_RMAPLAB_MANY
#include <linux/static_call.h>

rmaplab_update_t rmaplab_no_update;
DECLARE_STATIC_CALL(rmaplab_add, rmaplab_no_update);
DECLARE_STATIC_CALL(rmaplab_sub, rmaplab_no_update);
DECLARE_STATIC_CALL(rmaplab_set, rmaplab_no_update);
#ifdef CONFIG_X86_64
#define rmaplab_update(which, folio, nr, vma)                                     \
	do {                                                                      \
		__STATIC_CALL_MOD_ADDRESSABLE(rmaplab_##which);                   \
		rmaplab_call(STATIC_CALL_TRAMP_STR(rmaplab_##which), folio, nr, vma); \
	} while (0)
#else
#define rmaplab_update(which, folio, nr, vma) static_call(rmaplab_##which)(RMAPLAB_ARGUMENTS(folio, nr, vma))
#endif
#define rmaplab_update_return(which, folio, nr, vma) ({ rmaplab_update(which, folio, nr, vma); 0; })

#elif defined(CONFIG_MM_ID)
/* In the slots' place, compiled in. */
#include <linux/rmaplab_slots.h>
#define rmaplab_update_return(which, folio, nr, vma) rmaplab_slots_##which(folio, nr, vma)

#else
rmaplab_update_t rmaplab_flag_add, rmaplab_flag_sub, rmaplab_flag_set;
#ifdef CONFIG_X86_64
#define rmaplab_update_return(which, folio, nr, vma) \
	({ rmaplab_call("rmaplab_flag_" #which, folio, nr, vma); 0; })
#else
#define rmaplab_update_return(which, folio, nr, vma) ({ rmaplab_flag_##which(RMAPLAB_ARGUMENTS(folio, nr, vma)); 0; })
#endif
#endif

/*
 * @mapcount: extra result: the mapcount after the update, for kernels without mapcounts per page, which have the
 * scheme compiled in; else what it holds does not matter.
 */
static __always_inline bool rmaplab_add(struct folio *folio, int nr, struct vm_area_struct *vma, int *mapcount)
{
	if (!rmaplab_writers())
		return false;
	*mapcount = rmaplab_update_return(add, folio, nr, vma);
	return !RMAPLAB_BESIDE;
}

static __always_inline bool rmaplab_sub(struct folio *folio, int nr, struct vm_area_struct *vma, int *mapcount)
{
	if (!rmaplab_writers())
		return false;
	*mapcount = rmaplab_update_return(sub, folio, nr, vma);
	return !RMAPLAB_BESIDE;
}

/* The first mapping of a folio that nobody else can see yet. */
static __always_inline bool rmaplab_set(struct folio *folio, int nr, struct vm_area_struct *vma)
{
	if (!rmaplab_writers())
		return false;
	(void)rmaplab_update_return(set, folio, nr, vma);
	return !RMAPLAB_BESIDE;
}

#else /* !CONFIG_RMAPLAB */

static __always_inline bool rmaplab_add(struct folio *folio, int nr, struct vm_area_struct *vma, int *mapcount)
{
	return false;
}

static __always_inline bool rmaplab_sub(struct folio *folio, int nr, struct vm_area_struct *vma, int *mapcount)
{
	return false;
}

static __always_inline bool rmaplab_set(struct folio *folio, int nr, struct vm_area_struct *vma)
{
	return false;
}

#endif /* CONFIG_RMAPLAB */

/* For kernels whose own code is one atomic operation, and whose callers want no mapcount. */
#define rmaplab_add_or(folio, nr, vma, kernels)              \
	do {                                                 \
		int __unused;                                \
		if (!rmaplab_add(folio, nr, vma, &__unused)) \
			kernels;                             \
	} while (0)
#define rmaplab_sub_or(folio, nr, vma, kernels)              \
	do {                                                 \
		int __unused;                                \
		if (!rmaplab_sub(folio, nr, vma, &__unused)) \
			kernels;                             \
	} while (0)
#define rmaplab_set_or(folio, nr, vma, kernels)         \
	do {                                            \
		if (!rmaplab_set(folio, nr, vma))       \
			kernels;                        \
	} while (0)

#endif /* _LINUX_RMAPLAB_RMAP_H */
