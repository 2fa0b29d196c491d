/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The KSM scanner, for a moment ours: it must be nobody else's. */
#ifndef KSM_H
#define KSM_H

#include "look.h"
#include <dirent.h>

#define KSM "/sys/kernel/mm/ksm/"

static inline long ksm_number(const char *name)
{
	char path[128], text[64];

	snprintf(path, sizeof(path), KSM "%s", name);
	return look_read(path, text, sizeof(text)) ? -1 : atol(text);
}

/* What was merged is taken apart again before the scanner goes back. */
static inline void ksm_end(void)
{
	if (getpid() != look_first)
		return;
	look_write(KSM "run", "2");
	look_write(KSM "run", "0");
}

static inline void ksm_begin(void)
{
	if (ksm_number("run") < 0)
		skip("no KSM");
	if (ksm_number("pages_sharing") > 0 || ksm_number("run") > 0)
		skip("somebody else uses KSM");
	atexit(ksm_end);
	knob(KSM "advisor_mode", "none");
	knob(KSM "pages_to_scan", "100000");
	knob(KSM "sleep_millisecs", "0");
	knob(KSM "smart_scan", "0");
	knob(KSM "use_zero_pages", "0");
}

/* Some full scans; each sees all mergeable pages once. */
static inline void ksm_scan(int scans)
{
	long until = ksm_number("full_scans") + scans;

	look_write(KSM "run", "1");
	for (int tries = 0; ksm_number("full_scans") < until; tries++) {
		if (tries == 100000)
			skip("the scanner does not scan");
		usleep(100);
	}
	look_write(KSM "run", "0");
	drain();
}

/* One mergeable page or more, all of equal contents that nobody else has. */
static inline char *ksm_pages(int count)
{
	char *memory = anonymous((size_t)count * PAGE, 0);

	for (int i = 0; i < count; i++)
		snprintf(memory + i * PAGE, PAGE, "rmaplab, %d", (int)look_first);
	if (madvise(memory, (size_t)count * PAGE, MADV_MERGEABLE))
		skip("MADV_MERGEABLE: %s", strerror(errno));
	drain();
	return memory;
}

/* A reference as DMA has one: the page stands in a pipe that nobody reads. */
static inline int ksm_hold(char *page)
{
	struct iovec one = { page, PAGE };
	int ends[2];

	if (pipe(ends) || vmsplice(ends[1], &one, 1, 0) != (ssize_t)PAGE)
		skip("vmsplice: %s", strerror(errno));
	return ends[0];
}

#endif
