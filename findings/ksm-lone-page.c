// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A page that did not merge is no KSM page.
 *
 * Two processes share a page by fork; only one of them has it in mergeable memory.
 * Another process' equal page is held, so that they cannot merge. Afterwards the one
 * whose memory is not mergeable still has an ordinary page.
 */
#include "ksm.h"

static char look_at(char *memory)
{
	return flag(pfn(memory), KPF_KSM) ? 'K' : '-';
}

int main(void)
{
	int ready[2], go[2], says[2];
	char byte, *held, *shared;

	look_begin();
	ksm_begin();
	held = anonymous(PAGE, 0);
	*held = 1;
	if (flag(pfn(held), KPF_KSM))
		skip("this kernel calls every anonymous page KSM");
	if (pipe(ready) || pipe(go) || pipe(says))
		skip("pipe: %s", strerror(errno));
	held = ksm_pages(1);
	if (!fork()) {
		/* The pair that shares by fork: this one and its child. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		munmap(held, PAGE);
		shared = ksm_pages(1);
		if (!fork()) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			madvise(shared, PAGE, MADV_UNMERGEABLE);
			byte = write(ready[1], "x", 1) == 1 && read(go[0], &byte, 1) == 1 ? look_at(shared) : '?';
			_exit(write(says[1], &byte, 1) != 1);
		}
		pause();
	}
	if (read(ready[0], &byte, 1) != 1)
		skip("no child");
	ksm_hold(held);
	ksm_scan(12);
	if (write(go[1], "x", 1) != 1 || read(says[0], &byte, 1) != 1)
		skip("the child is gone");
	expect(byte == '-', "a page in memory that is not mergeable, merged with nothing, is no KSM page");
	return look_result;
}
