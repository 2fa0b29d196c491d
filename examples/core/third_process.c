// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * third_process.c - the same three processes under two schemes, with the C headers alone.
 *
 * Build:	cc $(pkg-config --cflags rmaplab-core) third_process.c -o third_process
 * Run:		./third_process
 *
 * A parent maps a THP, forks two workers, and all but the last leave. Each mapping holds a reference, taken before it
 * and dropped after it. Then the last one writes: may it reuse the folio?
 */
#include <stdio.h>

#include <mm_id.h>
#include <moments_flag.h>

#define ORDER 9
#define PAGES (1 << ORDER)

#define TELL(scheme)                                                                                          \
	do {                                                                                                  \
		struct rmap_folio folio = { .refcount = PAGES, .order = ORDER };                              \
                                                                                                              \
		rmap_##scheme##_set_first(&folio, &parent, 0, PAGES, 0);                                      \
		for (int i = 0; i < 2; i++) {                                                                 \
			folio.refcount += PAGES;                                                              \
			rmap_##scheme##_map(&folio, &worker[i], 0, PAGES, 0);                                 \
		}                                                                                             \
		rmap_##scheme##_unmap(&folio, &parent, 0, PAGES, 0);                                          \
		rmap_##scheme##_unmap(&folio, &worker[0], 0, PAGES, 0);                                       \
		folio.refcount -= 2 * PAGES;                                                                  \
		printf("%-12s %s, %s\n", #scheme,                                                             \
		       rmap_##scheme##_verdict(&folio, &worker[1]) == RMAP_EXCLUSIVE ? "exclusive" : "shared", \
		       rmap_##scheme##_cow_reuse(&folio, &worker[1]) ? "reuse" : "copy");                     \
	} while (0)

int main(void)
{
	static const struct rmap_mm parent = { .id = 5 }, worker[2] = { { .id = 6 }, { .id = 7 } };

	TELL(mm_id);
	TELL(moments_flag);
	return 0;
}
