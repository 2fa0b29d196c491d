/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Operations on folios in caller's memory, by scheme number. Read by the C compiler and by cffi. */

enum { RMAP_OP_MAP, RMAP_OP_UNMAP, RMAP_OP_SET_FIRST, RMAP_OP_REMAP };

int rmap_lib_init(void);
int rmap_scheme_count(void);
const char *rmap_scheme_name(int scheme);
int rmap_has_vector_read(void);
int rmap_seqcount_bits(void);
size_t rmap_folio_size(void);
size_t rmap_mm_size(void);
void rmap_folios_init(void *folios, long count, uint32_t order, int32_t *page_mapcounts);
void rmap_mms_init(void *mms, const uint32_t *ids, long count);
void rmap_apply(int scheme, int op, void *folio, const void *mm, uint32_t page, int32_t nr, int entire);
void rmap_dup(int scheme, void *folio, const void *child, uint32_t page, int32_t nr, int entire);
int rmap_verdict(int scheme, void *folio, const void *mm);
int rmap_cow_reuse(int scheme, void *folio, const void *mm);
void rmap_references(void *folio, int32_t nr);
int32_t rmap_refcount(void *folio);
uint64_t rmap_sequence(void *folio);
int rmap_words(int scheme, void *folio, uint64_t *out);
int rmap_lines(int scheme, uint32_t order, int32_t nr);
/* One small folio under a hashed table of sequence counts (threads of one process only). */
void rmap_small_add(void *folio, int32_t nr);
int rmap_small_cow_reuse(void *folio);
