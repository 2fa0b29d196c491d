// SPDX-License-Identifier: GPL-2.0 OR MIT
/* bit_lock.c - a counter that shares its word with the lock that guards it. Build: cc $(pkg-config --cflags rmaplab-core) bit_lock.c */
#include <assert.h>
#include <stdio.h>

#include <bit_lock.h>

int main(void)
{
	u64 word = 0;
	const u64 inside = rmap_bit_lock(&word);

	assert(word & RMAP_LOCK_BIT);
	rmap_bit_unlock(&word, inside + 1);
	assert(word == 1);
	printf("%llu\n", (unsigned long long)word);
	return 0;
}
