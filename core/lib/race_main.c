// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * race_main.c - one race as a program of its own, for sanitizers that want the whole process.
 *
 * Threads, every listed scheme, order 4, no judge: the sanitizer is the judge.
 * Build: cc -fsanitize=thread -g -DRMAP_DEBUG -pthread race_main.c stress.c schemes.c
 */
#include <stddef.h>
#include <stdint.h>

#include "list.h"
#include "api.h"
#include "driver.h"

enum { ORDER = 4, FOLIOS = 2, WORKERS = 3, READERS = 1, EACH = 3, MMS = 1 + WORKERS * (EACH - 1), OPS = 3000 };

static struct rmap_folio folios[FOLIOS];
static struct rmap_mm mms[MMS];
static struct rmap_record records[(WORKERS + READERS) * OPS * 2];
static int32_t page_mapcounts[FOLIOS << ORDER];
static uint64_t now = 1;

int main(void)
{
	struct rmap_stress spec = {
		.workers = WORKERS, .readers = READERS, .mms_each = EACH, .folios = FOLIOS, .order = ORDER,
		.ops = OPS, .seed = 1, .jitter = 3,
	};
	uint32_t ids[MMS], i;

	for (i = 0; i < MMS; i++)
		ids[i] = i + 1;
	rmap_lib_init();
	rmap_mms_init(mms, ids, MMS);
	for (spec.scheme = 0; spec.scheme < rmap_scheme_count(); spec.scheme++) {
		rmap_folios_init(folios, FOLIOS, ORDER, page_mapcounts);
		if (rmap_stress_run(&spec, folios, mms, records, sizeof(records) / sizeof(*records), &now) < 0)
			return 1;
	}
	return 0;
}
