// SPDX-License-Identifier: GPL-2.0
/*
 * ask.c - the two questions: "shared, whoever asks?" and "may this write fault keep the page?"
 */
#include "../internal.h"
#include "../swap.h"
#include "scheme.h"

/*
 * What Linux 6.10 to 6.14 do: more mappings than pages, or the first page mapped twice. Wrong both ways for folios
 * mapped in part.
 */
bool rmaplab_guess(struct folio *folio)
{
	return folio_entire_mapcount(folio) || folio_large_mapcount(folio) > folio_nr_pages(folio) ||
	       atomic_read(&folio->_mapcount) > 0;
}

/**
 * rmaplab_shared() - is a large folio mapped by more than one MM?
 * @folio: with two mappings or more when the caller looked
 */
bool rmaplab_shared(struct folio *folio)
{
	if (unlikely(folio_order(folio) < 2)) {
#if defined(CONFIG_MM_ID)
		return test_bit(FOLIO_MM_IDS_SHARED_BITNUM, &folio->_mm_ids);
#else
		return rmaplab_guess(folio);
#endif
	}
	return rmaplab_any(folio);
}

/**
 * rmaplab_wp_can_reuse() - may a write fault keep a page of a PTE-mapped large anonymous folio?
 * @folio: has a page mapped in @vma
 * @vma: where the fault is; the page table is locked
 *
 * All mappings must be this MM's, and all references mappings. References are taken before their mapping and dropped
 * after it, so refcount >= mapcount at all times; equality proves it, but only of two numbers of one moment. First a
 * look at each, for an early no. Then the swap cache, whose reference would be one too many. Then the scheme's own
 * look at both with the mapcount held still: that decides, and nothing seen before it counts.
 *
 * See <20250415095007.569836-1-david@redhat.com> for sanity checks that ran too early.
 */
bool rmaplab_wp_can_reuse(struct folio *folio, struct vm_area_struct *vma)
{
	/* Nearly gone: better free the rest of it. And two pages have no words. */
	if (folio_order(folio) < 2 || folio_large_mapcount(folio) <= 1)
		return false;
	if (!rmaplab_mine(folio, vma->vm_mm))
		return false;

	VM_WARN_ON_ONCE(folio_test_ksm(folio));

	if (unlikely(folio_test_swapcache(folio))) {
		if (!folio_trylock(folio))
			return false;
		folio_free_swap(folio);
		folio_unlock(folio);
	}
	if (folio_large_mapcount(folio) != folio_ref_count(folio))
		return false;
	return rmaplab_reuse(folio, vma->vm_mm);
}
