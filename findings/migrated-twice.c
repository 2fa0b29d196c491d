// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A large folio that is mapped whole by PTEs stays what it is when it is migrated,
 * however often.
 */
#include "look.h"

#define MPOL_MF_MOVE 2

static void move(char *memory, size_t length)
{
	if (syscall(SYS_mbind, memory, length, 0, NULL, 0, MPOL_MF_MOVE))
		skip("mbind: %s", strerror(errno));
}

int main(void)
{
	size_t length = 16 * PAGE;
	uint64_t frame;
	char *memory;

	look_begin();
	folios("enabled", 4);
	memory = anonymous(length, 4);
	memset(memory, 1, length);
	if (order(memory) != 4)
		skip("no folio of order 4 to be had");
	drain();
	frame = pfn(memory);
	move(memory, length);
	if (pfn(memory) == frame)
		skip("nothing moved");
	expect(order(memory) == 4, "after one migration it is a folio of order %d", order(memory));
	move(memory, length);
	expect(order(memory) == 4, "after two migrations it is a folio of order %d", order(memory));
	return look_result;
}
