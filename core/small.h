/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * small.h - small folios: the mapcount is the answer, and nothing else is paid.
 *
 * rmap_small_*() is what Linux does. rmap_hashed_*() is the reviewer's "universal way"
 * to stabilise mapcount against refcount even here: a table of sequence counts,
 * hashed by folio and shared by all folios of a bucket; it costs two more atomics
 * an update, and is a choice, not part of the fast path.
 */
#ifndef RMAP_SMALL_H
#define RMAP_SMALL_H

#include "folio.h"

static __always_inline void rmap_small_map(struct rmap_folio *folio)
{
	rmap_add(&folio->small_mapcount, 1);
}

/* Return: true if that was the last mapping. */
static __always_inline bool rmap_small_unmap(struct rmap_folio *folio)
{
	return rmap_add_negative(&folio->small_mapcount, -1);
}

static __always_inline enum rmap_verdict rmap_small_verdict(const struct rmap_folio *folio)
{
	return rmap_read(&folio->small_mapcount) + 1 <= 1 ? RMAP_EXCLUSIVE : RMAP_IS_SHARED;
}

#define RMAP_HASH_BITS 8

/**
 * struct rmap_seq_table - sequence counts for folios that have none
 * @bucket: each on a cache line of its own, lest buckets contend
 */
struct rmap_seq_table {
	struct {
		struct rmap_seqcount_shared seq;
	} __rmap_aligned(RMAP_CACHELINE) bucket[1 << RMAP_HASH_BITS];
};

static __always_inline struct rmap_seqcount_shared *rmap_hashed_seq(struct rmap_seq_table *table,
								     const struct rmap_folio *folio)
{
	u64 key = (u64)(__UINTPTR_TYPE__)folio / sizeof(*folio);

	/* Multiplicative hashing with 2^64 / golden ratio, as the kernel's hash_64(). */
	return &table->bucket[key * 0x61C8864680B583EBull >> (64 - RMAP_HASH_BITS)].seq;
}

static __always_inline void rmap_hashed_add(struct rmap_seq_table *table, struct rmap_folio *folio, s32 nr)
{
	struct rmap_seqcount_shared *s = rmap_hashed_seq(table, folio);
	bool exclusive;

	/* Shared: folios of one bucket must not wait for each other. */
	exclusive = rmap_write_begin(s);
	rmap_add(&folio->small_mapcount, nr);
	rmap_write_end(s, exclusive);
}

/**
 * rmap_hashed_cow_reuse() - may a COW fault on a small folio keep its page?
 * @table: the table its updates went through
 * @folio: a folio the caller maps, its page table locked
 *
 * Return: true iff at one moment the caller's mapping was the only mapping and its
 * reference the only reference.
 */
static __always_inline bool rmap_hashed_cow_reuse(struct rmap_seq_table *table, const struct rmap_folio *folio)
{
	const struct rmap_seqcount_shared *s = rmap_hashed_seq(table, folio);
	s32 mapcount, refcount;

	rmap_read_section(s) {
		mapcount = rmap_read(&folio->small_mapcount) + 1;
		refcount = rmap_read(&folio->refcount);
	}
	return mapcount == 1 && refcount == 1;
}

#endif /* RMAP_SMALL_H */
