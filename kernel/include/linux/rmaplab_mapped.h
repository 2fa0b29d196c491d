/* SPDX-License-Identifier: GPL-2.0 */
/*
 * rmaplab_mapped.h - debug builds count an MM's mappings of large folios.
 *
 * An ID may be given back when no folio holds it any more, that is when the MM has no mapping left.
 */
#ifndef _LINUX_RMAPLAB_MAPPED_H
#define _LINUX_RMAPLAB_MAPPED_H

#include <linux/mm_types.h>

static __always_inline void rmaplab_mapped(struct vm_area_struct *vma, int nr)
{
#ifdef CONFIG_RMAPLAB_DEBUG
	atomic_long_add(nr, &vma->vm_mm->rmaplab.mapped);
#endif
}

#endif /* _LINUX_RMAPLAB_MAPPED_H */
