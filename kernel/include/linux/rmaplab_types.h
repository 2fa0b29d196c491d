/* SPDX-License-Identifier: GPL-2.0 */
/*
 * rmaplab_types.h - what an mm_struct brings along. Every file sees this one: keep it small.
 */
#ifndef _LINUX_RMAPLAB_TYPES_H
#define _LINUX_RMAPLAB_TYPES_H

#include <linux/types.h>

/**
 * struct rmaplab_mm - an MM, as the schemes know it
 * @id: rmap ID, 1 .. RMAPLAB_ID_MAX; that of the kernel's own tracker where it has one
 * @rows: sub-IDs by order (struct rmap_mm), where the scheme wants them, or NULL
 * @mapped: mappings of large folios; must be 0 when the ID is given back
 */
struct rmaplab_mm {
#ifdef CONFIG_RMAPLAB
	u32 id;
	void *rows;
#ifdef CONFIG_RMAPLAB_DEBUG
	atomic_long_t mapped;
#endif
#endif
};

#endif /* _LINUX_RMAPLAB_TYPES_H */
