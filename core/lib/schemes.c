// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * schemes.c - the schemes behind numbers, for callers outside C.
 *
 * Nothing here is fast or meant for a kernel: one indirect call an operation.
 */
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "list.h"
#include "api.h"
#include "words.h"

int rmap_have_vector_read128;

struct scheme_ops {
	const char *name;
	void (*apply[4])(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page, s32 nr, int entire);
	int (*verdict)(struct rmap_folio *folio, const struct rmap_mm *mm);
	int (*cow_reuse)(struct rmap_folio *folio, const struct rmap_mm *mm);
	int (*words)(struct rmap_folio *folio, uint64_t *out);
	int (*lines)(u32 order, s32 nr);
};

#define WRAP(n, p, w)                                                                                            \
	static void p##_map(struct rmap_folio *f, const struct rmap_mm *mm, u32 page, s32 nr, int entire)        \
	{                                                                                                        \
		if (likely(!rmap_folio_test_large(f)))                                                           \
			rmap_add(&f->small_mapcount, nr);                                                        \
		else                                                                                             \
			rmap_##p##_map(f, mm, page, nr, entire);                                                 \
	}                                                                                                        \
	static void p##_unmap(struct rmap_folio *f, const struct rmap_mm *mm, u32 page, s32 nr, int entire)      \
	{                                                                                                        \
		if (likely(!rmap_folio_test_large(f)))                                                           \
			rmap_add(&f->small_mapcount, -nr);                                                       \
		else                                                                                             \
			rmap_##p##_unmap(f, mm, page, nr, entire);                                               \
	}                                                                                                        \
	static void p##_set_first(struct rmap_folio *f, const struct rmap_mm *mm, u32 page, s32 nr, int entire)  \
	{                                                                                                        \
		rmap_##p##_set_first(f, mm, page, nr, entire);                                                   \
	}                                                                                                        \
	static void p##_remap(struct rmap_folio *f, const struct rmap_mm *mm, u32 page, s32 nr, int entire)      \
	{                                                                                                        \
		(void)page, (void)nr, (void)entire;                                                              \
		rmap_##p##_remap(f, mm);                                                                         \
	}                                                                                                        \
	static int p##_verdict(struct rmap_folio *f, const struct rmap_mm *mm)                                   \
	{                                                                                                        \
		return likely(!rmap_folio_test_large(f)) ? rmap_small_verdict(f) : rmap_##p##_verdict(f, mm);    \
	}                                                                                                        \
	static int p##_cow_reuse(struct rmap_folio *f, const struct rmap_mm *mm)                                 \
	{                                                                                                        \
		return rmap_##p##_cow_reuse(f, mm);                                                              \
	}
RMAP_SCHEMES(WRAP)

static const struct scheme_ops schemes[] = {
#define ENTRY(n, p, w) { n, { p##_map, p##_unmap, p##_set_first, p##_remap }, p##_verdict, p##_cow_reuse, w##_words, w##_lines },
	RMAP_SCHEMES(ENTRY)
};

int rmap_lib_init(void)
{
#if defined(__x86_64__)
	unsigned int a, b, c, d;

	/* AVX, and the operating system saves its registers (OSXSAVE). */
	rmap_have_vector_read128 = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_AVX) && (c & bit_OSXSAVE);
#endif
	return RMAP_HAS_CMPXCHG128;
}

int rmap_scheme_count(void)
{
	return sizeof(schemes) / sizeof(*schemes);
}

const char *rmap_scheme_name(int scheme)
{
	return schemes[scheme].name;
}

int rmap_has_vector_read(void)
{
	return rmap_have_vector_read128;
}

int rmap_seqcount_bits(void)
{
	return RMAP_SEQCOUNT_BITS;
}

size_t rmap_folio_size(void)
{
	return sizeof(struct rmap_folio);
}

size_t rmap_mm_size(void)
{
	return sizeof(struct rmap_mm);
}

void rmap_folios_init(void *folios, long count, uint32_t order, int32_t *page_mapcounts)
{
	struct rmap_folio *f = folios;
	long i;

	memset(folios, 0, (size_t)count * sizeof(*f));
	memset(page_mapcounts, 0, ((size_t)count << order) * sizeof(*page_mapcounts));
	for (i = 0; i < count; i++) {
		f[i].order = order;
		f[i].small_mapcount = -1;
		f[i].page_mapcount = page_mapcounts + (i << order);
	}
}

void rmap_mms_init(void *mms, const uint32_t *ids, long count)
{
	struct rmap_mm *mm = mms;
	long i;

	for (i = 0; i < count; i++)
		rmap_mm_init(&mm[i], ids[i]);
}

void rmap_apply(int scheme, int op, void *folio, const void *mm, uint32_t page, int32_t nr, int entire)
{
	schemes[scheme].apply[op](folio, mm, page, nr, entire);
}

void rmap_dup(int scheme, void *folio, const void *child, uint32_t page, int32_t nr, int entire)
{
	rmap_get(folio, nr);
	schemes[scheme].apply[RMAP_OP_MAP](folio, child, page, nr, entire);
}

int rmap_verdict(int scheme, void *folio, const void *mm)
{
	return schemes[scheme].verdict(folio, mm);
}

int rmap_cow_reuse(int scheme, void *folio, const void *mm)
{
	return schemes[scheme].cow_reuse(folio, mm);
}

void rmap_references(void *folio, int32_t nr)
{
	rmap_get(folio, nr);
}

int32_t rmap_refcount(void *folio)
{
	return rmap_read(&((struct rmap_folio *)folio)->refcount);
}

uint64_t rmap_sequence(void *folio)
{
	return rmap_read(&((struct rmap_folio *)folio)->seq.shared.word);
}

int rmap_words(int scheme, void *folio, uint64_t *out)
{
	struct rmap_folio *f = folio;

	if (!rmap_folio_test_large(f)) {
		out[0] = (uint64_t)(rmap_read(&f->small_mapcount) + 1);
		return 1;
	}
	return schemes[scheme].words(f, out);
}

int rmap_lines(int scheme, uint32_t order, int32_t nr)
{
	return schemes[scheme].lines(order, nr);
}

static struct rmap_seq_table small_folios;

void rmap_small_add(void *folio, int32_t nr)
{
	rmap_hashed_add(&small_folios, folio, nr);
}

int rmap_small_cow_reuse(void *folio)
{
	return rmap_hashed_cow_reuse(&small_folios, folio);
}
