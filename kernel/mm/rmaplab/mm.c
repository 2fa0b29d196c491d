// SPDX-License-Identifier: GPL-2.0
/*
 * mm.c - rmap IDs: an MM has one from mm_init() until the last reference to it is gone.
 */
#include <linux/idr.h>
#include <linux/slab.h>

#include "scheme.h"

#ifdef CONFIG_MM_ID
/* The kernel's own tracker has given one, in 1 .. RMAPLAB_ID_MAX. */
static int id_get(struct mm_struct *mm)
{
	return mm->mm_id;
}

static void id_put(u32 id)
{
}
#else
static DEFINE_IDA(ids);

static int id_get(struct mm_struct *mm)
{
	return ida_alloc_range(&ids, 1, RMAPLAB_ID_MAX, GFP_KERNEL);
}

static void id_put(u32 id)
{
	ida_free(&ids, id);
}
#endif

/**
 * rmaplab_mm_init() - give an MM its rmap ID
 * @mm: not yet visible to others; may be a copy of another MM, byte by byte
 *
 * Return: 0, or a negative error number.
 */
int rmaplab_mm_init(struct mm_struct *mm)
{
	const int id = id_get(mm);

	mm->rmaplab.id = 0;
	mm->rmaplab.rows = NULL;
	if (id < 0)
		return id;
#ifdef CONFIG_RMAPLAB_DEBUG
	atomic_long_set(&mm->rmaplab.mapped, 0);
#endif
#ifdef CONFIG_RMAPLAB_MANY
	if (rmaplab_chosen && rmaplab_chosen->rows) {
		mm->rmaplab.rows = rmaplab_rows_make(id);
		if (!mm->rmaplab.rows) {
			id_put(id);
			return -ENOMEM;
		}
	}
#endif
	mm->rmaplab.id = id;
	return 0;
}

/* The last reference is gone, or setting up failed. */
void rmaplab_mm_destroy(struct mm_struct *mm)
{
	const u32 id = mm->rmaplab.id;

	if (!id)
		return;
#ifdef CONFIG_RMAPLAB_DEBUG
	WARN_ONCE(atomic_long_read(&mm->rmaplab.mapped), "rmaplab: ID %u given back with %ld mappings of large folios\n",
		  id, atomic_long_read(&mm->rmaplab.mapped));
#endif
	kfree(mm->rmaplab.rows);
	mm->rmaplab.rows = NULL;
	mm->rmaplab.id = 0;
	id_put(id);
}

/**
 * __rmaplab_prepare() - clear a new compound page's words
 * @folio: nobody maps it
 * @order: 2 or more
 */
void __rmaplab_prepare(struct folio *folio, unsigned int order)
{
	struct page *page = &folio->page;
	u64 *seq = (u64 *)((char *)page + RMAPLAB_SEQ);
	int i;

	*seq = 0;
	for (i = 2; i < min(1 << order, 6); i++)
		*(u64 *)((char *)(page + i) + 32) = 0;
	*(u64 *)((char *)(page + 2) + 40) = 0;
	if (RMAPLAB_BESIDE)
		*(u64 *)((char *)page + RMAPLAB_OWN_MAPCOUNT) = 0;
}

/**
 * __rmaplab_clean() - are all sums 0, as they must be without mappings?
 * @folio: about to be freed, its third page at hand
 */
bool __rmaplab_clean(struct folio *folio)
{
	const struct page *page = &folio->page;
	const u64 *first = (const u64 *)((const char *)page + RMAPLAB_LOW);
	const u64 *own = (const u64 *)((const char *)page + RMAPLAB_OWN_MAPCOUNT);

	return !first[0] && !first[1] && (!RMAPLAB_BESIDE || !*own);
}
