// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fault-around maps a dirty page like a clean one, also after MADV_PAGEOUT, which could
 * not write it back and left it where it was.
 */
#include "look.h"

#define PAGES 16

int main(void)
{
	char name[] = "/var/tmp/paged-out-XXXXXX", *memory;
	int fd, i, there = 0;

	look_begin();
	fd = mkstemp(name);
	if (fd < 0)
		skip("%s: %s", name, strerror(errno));
	unlink(name);
	for (i = 0; i < PAGES; i++) {
		static char page[PAGE];

		if (write(fd, page, PAGE) != (ssize_t)PAGE)
			skip("write: %s", strerror(errno));
	}
	fsync(fd);
	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	madvise(memory, PAGES * PAGE, MADV_RANDOM);
	for (i = 0; i < PAGES; i++)
		(void)*(volatile char *)(memory + i * PAGE);
	drain();
	memory[3 * PAGE] = 1;
	drain();
	madvise(memory + 3 * PAGE, PAGE, MADV_PAGEOUT);
	if (present(memory + 3 * PAGE))
		skip("MADV_PAGEOUT left the page mapped");
	munmap(memory, PAGES * PAGE);
	memory = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	madvise(memory, PAGES * PAGE, MADV_RANDOM);
	(void)*(volatile char *)memory;
	for (i = 0; i < PAGES; i++)
		there += i != 3 && present(memory + i * PAGE);
	if (there != PAGES - 1)
		skip("fault-around maps %d of %d other pages", there, PAGES - 1);
	expect(present(memory + 3 * PAGE), "fault-around maps the page that was to be paged out, as the 15 beside it");
	return look_result;
}
