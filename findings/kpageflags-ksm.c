// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * /proc/kpageflags says KSM (bit 21) of pages that KSM merged, and of no others.
 */
#include "look.h"

int main(void)
{
	char *memory;

	look_begin();
	memory = anonymous(PAGE, 0);
	*memory = 1;
	expect(!flag(pfn(memory), KPF_KSM), "an anonymous page that was never mergeable is not called KSM");
	return look_result;
}
