// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Pages of equal contents merge, though one page with these contents is held by
 * somebody and cannot.
 */
#include "ksm.h"

int main(void)
{
	char *held, *free_ones;

	look_begin();
	ksm_begin();
	held = ksm_pages(4);	/* scanned before the others */
	ksm_hold(held);
	free_ones = held + PAGE;
	ksm_scan(12);
	expect(pfn(held) != pfn(free_ones), "the held page stays by itself");
	expect(pfn(free_ones) == pfn(free_ones + PAGE) && pfn(free_ones) == pfn(free_ones + 2 * PAGE),
	       "three equal pages that nobody holds are one page after 12 scans");
	return look_result;
}
