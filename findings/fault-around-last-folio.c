// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fault-around maps what is cached around a fault, up to the end of the file: a folio
 * that ends where the file ends is within it.
 */
#include "look.h"

#define PAGES 32
#define MAPPED 20	/* less than the folio: the fault itself maps one page only */

int main(void)
{
	char name[] = "/var/tmp/fault-around-XXXXXX", *buffer, *memory;
	int fd, i, mapped = 0;

	look_begin();
	fd = mkstemp(name);
	if (fd < 0)
		skip("%s: %s", name, strerror(errno));
	unlink(name);
	buffer = calloc(PAGES, PAGE);
	if (write(fd, buffer, PAGES * PAGE) != PAGES * (ssize_t)PAGE || fsync(fd))
		skip("write: %s", strerror(errno));
	memory = anonymous(PMD, 0);	/* where there is no table of PTEs yet */
	memory = mmap(memory, MAPPED * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
	madvise(memory, MAPPED * PAGE, MADV_RANDOM);
	(void)*(volatile char *)memory;
	if (order(memory) != 5)
		skip("the file system caches in folios of order %d, not 5", order(memory));
	for (i = 0; i < MAPPED; i++)
		mapped += present(memory + i * PAGE);
	expect(mapped >= 16, "of the 16 pages around the fault, which are all cached, %d are mapped", mapped);
	return look_result;
}
