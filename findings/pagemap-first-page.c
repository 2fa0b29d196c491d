// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pagemap's bit 56 ("page exclusively mapped") of a THP that a PMD maps: each page has
 * to be judged by its own map count.
 *
 * A process maps a THP by a PMD, its child maps pages 1 to 511 of it by PTEs. Page 0
 * is the process' own, the others are shared.
 */
#include "look.h"

int main(void)
{
	int ready[2], over[2], i, wrong = 0;
	char byte, *memory;
	pid_t child;

	look_begin();
	folios("enabled", 9);
	memory = anonymous(PMD, 9);
	memset(memory, 1, PMD);
	if (order(memory) != 9 || !pmd_mapped(memory))
		skip("no THP to be had");
	if (pipe(ready) || pipe(over))
		skip("pipe: %s", strerror(errno));
	child = fork();
	if (!child) {
		munmap(memory, PAGE);
		if (write(ready[1], "x", 1) != 1 || read(over[0], &byte, 1) != 1)
			_exit(SKIP);
		_exit(0);
	}
	if (read(ready[0], &byte, 1) != 1)
		skip("the child is gone");
	if (!pmd_mapped(memory))
		skip("the PMD is gone");
	for (i = 1; i < 512; i++)
		wrong += mmap_exclusive(memory + i * PAGE);
	expect(mmap_exclusive(memory), "page 0, which nobody else maps, is exclusive");
	expect(!wrong, "of 511 pages that the child maps too, %d are called exclusive", wrong);
	if (write(over[1], "x", 1) != 1)
		return SKIP;
	waitpid(child, NULL, 0);
	return look_result;
}
