// SPDX-License-Identifier: GPL-2.0 OR MIT
/* packed.c - mapcount, S and Q in one word of 16 bytes, or the same under a sequence count. Build: cc $(pkg-config --cflags rmaplab-core) packed.c */
#include <assert.h>
#include <stdio.h>

#include <packed.h>

#if RMAP_HAS_CMPXCHG128
#define NAME(operation) rmap_packed_##operation
#else
#define NAME(operation) rmap_packed_fallback_##operation
#endif

/* Set it to 1 where the CPU has AVX, and a verdict is a load. */
int rmap_have_vector_read128;

int main(void)
{
	static struct rmap_mm parent = { .id = 5 }, worker = { .id = 6 };
	struct rmap_folio folio = { .refcount = 4, .order = 2 };

	NAME(set_first)(&folio, &parent, 0, 4, 0);
	assert(NAME(cow_reuse)(&folio, &parent));
	rmap_get(&folio, 4);
	NAME(map)(&folio, &worker, 0, 4, 0);
	assert(NAME(verdict)(&folio, &worker) == RMAP_IS_SHARED && !NAME(cow_reuse)(&folio, &worker));
	NAME(unmap)(&folio, &parent, 0, 4, 0);
	rmap_put(&folio, 4);
	assert(NAME(verdict)(&folio, &worker) == RMAP_EXCLUSIVE && NAME(cow_reuse)(&folio, &worker));
	printf("the last one reuses\n");
	return 0;
}
