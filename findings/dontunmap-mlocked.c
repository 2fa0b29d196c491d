// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Pages that MREMAP_DONTUNMAP leaves behind in locked memory can be reclaimed again after
 * munlock(), or when their mapping is gone.
 */
#include "look.h"

#define PAGES 16
#define MOVED 4		/* the last of them */
#define KPF_MLOCKED 33

static int mlocked(const char *memory)
{
	int i, found = 0;

	for (i = 0; i < PAGES - MOVED; i++)
		found += flag(pfn(memory + i * PAGE), KPF_MLOCKED);
	return found;
}

/* Lock all pages, and move the last ones away. */
static void leave(char *memory)
{
	int i, found;

	for (i = 0; i < PAGES; i++)
		(void)*(volatile char *)(memory + i * PAGE);
	if (mlock(memory, PAGES * PAGE))
		skip("mlock: %s", strerror(errno));
	drain();
	found = mlocked(memory);
	if (found != PAGES - MOVED)
		skip("of %d locked pages %d are PG_mlocked", PAGES - MOVED, found);
	memory += (PAGES - MOVED) * PAGE;
	if (mremap(memory, MOVED * PAGE, MOVED * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL) == MAP_FAILED)
		skip("MREMAP_DONTUNMAP: %s", strerror(errno));
	drain();
}

int main(void)
{
	char name[] = "/var/tmp/dontunmap-XXXXXX", page[PAGE], *memory;
	int fd, i, left;

	look_begin();
	memory = anonymous(PMD, 0);
	memset(memory, 1, PAGES * PAGE);
	leave(memory);
	if (munlock(memory, PAGES * PAGE))
		skip("munlock: %s", strerror(errno));
	drain();
	left = mlocked(memory);
	expect(!left, "no page left behind is PG_mlocked after munlock(): %d are", left);

	fd = mkstemp(name);
	if (fd < 0)
		skip("%s: %s", name, strerror(errno));
	unlink(name);
	memset(page, 1, sizeof(page));
	for (i = 0; i < PAGES; i++)
		if (write(fd, page, PAGE) != PAGE)
			skip("write: %s", strerror(errno));
	if (!fork()) {
		memory = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_SHARED, fd, 0);
		if (memory == MAP_FAILED)
			skip("mmap: %s", strerror(errno));
		leave(memory);
		_exit(0);
	}
	wait(&i);
	if (i)
		skip("a file cannot be tried");
	drain();
	memory = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	for (i = 0; i < PAGES; i++)
		(void)*(volatile char *)(memory + i * PAGE);
	left = mlocked(memory);
	expect(!left, "no cached page of a file is once the process that locked it is gone: %d are", left);
	return look_result;
}
