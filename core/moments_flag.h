/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * moments_flag.h - S and Q as in moments.h, under a bit spinlock, behind a maybe-shared flag that is exact.
 *
 * For the place where Linux 6.15 and later keep two slots {MM ID, mapcount}: the same 16 bytes, the same lock and flag
 * bits, the same readers. Exact for any number of MMs; the flag is kept by two rules:
 *
 *	map n more by x:  set it if mapcount * x != S, both before the addition
 *	unmap:            if it is set, clear it iff mapcount * Q == S^2, both after the subtraction
 *
 * Why the first is right: while the flag is clear, all mappings belong to one MM y (or there are none), S is
 * mapcount * y, and mapcount * |x - y| is no multiple of 2^62 unless x is y. Why the second is: mapcount * Q - S^2 is the
 * sum of (id_i - id_j)^2 over all pairs of mappings; it is 0 iff all are one MM's. S never wraps (31 + 31 bits); Q has not
 * wrapped *now* while S * (largest ID) < 2^64, whatever wrapped before. Beyond that the flag
 * stays set. Definition: docs/schemes.md; theorem: proofs/.
 *
 *	word = S, bits 0-30 (bits 0-30) | lock (31) | S, bits 31-61 (32-62) | maybe shared (63)
 *	squares = Q modulo 2^64
 *
 * Both are plain: nobody looks at them without the lock, at the flag everybody may.
 */
#ifndef RMAP_MOMENTS_FLAG_H
#define RMAP_MOMENTS_FLAG_H

#include "bit_lock.h"
#include "folio.h"
#include "mapcount.h"

#define RMAP_MOMENTS_FLAG_SHARED (1ull << 63)
/* IDs as an allocator gives them that stays below Linux' PID_MAX_LIMIT. */
#define RMAP_MOMENTS_FLAG_ID_BITS 22
/* Largest S with which Q cannot have wrapped: Q <= S * (largest ID). */
#define RMAP_MOMENTS_FLAG_BOUND (~0ull / ((1ull << RMAP_MOMENTS_FLAG_ID_BITS) - 1))
#define RMAP_MOMENTS_FLAG_LOW 0x7fffffffull

/*
 * A branch, where unlikely() would leave the compiler free to select: the word's store shall not wait for the
 * mapcount, which is read under the lock only. Measured: a fifth of an update.
 */
#ifdef __has_builtin
#if __has_builtin(__builtin_expect_with_probability)
#define rmap_rarely(x) __builtin_expect_with_probability(!!(x), 0, 0.999)
#endif
#endif
#ifndef rmap_rarely
#define rmap_rarely(x) unlikely(x)
#endif

/* @sum < 2^62 with a gap where the lock is. */
static __always_inline u64 rmap_moments_flag_spread(u64 sum)
{
	return sum + (sum & ~RMAP_MOMENTS_FLAG_LOW);
}

/* S, of a word as rmap_bit_lock() returns it. */
static __always_inline u64 rmap_moments_flag_sum(u64 word)
{
	return (word & RMAP_MOMENTS_FLAG_LOW) | (word << 1 >> 33 << 31);
}

#ifndef __SIZEOF_INT128__
/* The high word of a * b. */
static __always_inline u64 rmap_multiply_high(u64 a, u64 b)
{
	const u64 low = (a & 0xffffffff) * (b & 0xffffffff);
	const u64 one = (a >> 32) * (b & 0xffffffff) + (low >> 32);
	const u64 two = (a & 0xffffffff) * (b >> 32) + (one & 0xffffffff);

	return (a >> 32) * (b >> 32) + (one >> 32) + (two >> 32);
}
#endif

/* a * b == c * c, of 128 bits. */
static __always_inline bool rmap_is_square_of(u64 a, u64 b, u64 c)
{
#ifdef __SIZEOF_INT128__
	const unsigned __int128 product = (unsigned __int128)a * b, square = (unsigned __int128)c * c;

	/* One word after the other: gcc then keeps fewer of them. */
	return (u64)product == (u64)square && (u64)(product >> 64) == (u64)(square >> 64);
#else
	return a * b == c * c && rmap_multiply_high(a, b) == rmap_multiply_high(c, c);
#endif
}

/* Do the sums say that one MM has all @n mappings? Never wrongly so; not at all beyond the bound. */
static __always_inline bool rmap_moments_flag_alone(u64 n, u64 s, u64 q)
{
	return s <= RMAP_MOMENTS_FLAG_BOUND && rmap_is_square_of(n, q, s);
}

/*
 * Can they, if S is @word's? The low 32 bits of n * Q and S^2 cost next to nothing: those of S^2 follow from the low 31 of S,
 * which lie in @word as they are. Nearly all sums of several MMs differ there. Never false where rmap_moments_flag_alone()
 * is true.
 */
static __always_inline bool rmap_moments_flag_perhaps(u64 word, u64 n, u64 q)
{
	return (u32)n * (u32)q == (u32)word * (u32)word;
}

/**
 * rmap_moments_flag_add() - more mappings of one MM
 * @word: the word as rmap_bit_lock() returned it
 * @squares: Q
 * @n: the mapcount before
 * @id: the MM's rmap ID, best read before the lock was taken
 * @nr: mappings, > 0
 *
 * Return: the new word.
 */
static __always_inline u64 rmap_moments_flag_add(u64 word, u64 *squares, u64 n, u64 id, u64 nr)
{
	const u64 add = nr * id;
	/* A one in the gap, which is 0 in @word, hands the carry on. */
	u64 new = (word + RMAP_LOCK_BIT + rmap_moments_flag_spread(add)) & ~RMAP_LOCK_BIT;

	rmap_plain_write(squares, rmap_plain_read(squares) + add * id);
	/* The sums compared as they lie; a flag that is set makes them differ, and is set again. */
	if (rmap_rarely(rmap_moments_flag_spread(n * id) != word))
		new |= RMAP_MOMENTS_FLAG_SHARED;
	return new;
}

/* The word with @less taken from S. A zero in the gap hands the borrow on. */
static __always_inline u64 rmap_moments_flag_less(u64 word, u64 less)
{
	return (word - rmap_moments_flag_spread(less)) & ~RMAP_LOCK_BIT;
}

/* The word, and its flag cleared if the sums say that one MM has all @n mappings that are left. */
static __always_inline u64 rmap_moments_flag_settle(u64 word, u64 q, u64 n)
{
	if (n <= RMAP_MAPCOUNT_MAX && rmap_moments_flag_alone(n, rmap_moments_flag_sum(word), q))
		word &= ~RMAP_MOMENTS_FLAG_SHARED;
	return word;
}

/**
 * rmap_moments_flag_subtract() - mappings of one MM less
 * @word: the word as rmap_bit_lock() returned it
 * @squares: Q
 * @n: the mapcount after; above RMAP_MAPCOUNT_MAX nothing is ever cleared
 * @id: the MM's rmap ID, best read before the lock was taken
 * @nr: mappings, > 0
 *
 * Return: the new word.
 */
static __always_inline u64 rmap_moments_flag_subtract(u64 word, u64 *squares, u64 n, u64 id, u64 nr)
{
	const u64 less = nr * id, q = rmap_plain_read(squares) - less * id;
	const u64 new = rmap_moments_flag_less(word, less);

	rmap_plain_write(squares, q);
	if (unlikely(word & RMAP_MOMENTS_FLAG_SHARED) && unlikely(rmap_moments_flag_perhaps(new, n, q)))
		return rmap_moments_flag_settle(new, q, n);
	return new;
}

static __always_inline void rmap_moments_flag_map(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page, s32 nr,
						  int entire)
{
	const u64 id = mm->id;
	const u64 word = rmap_bit_lock(&folio->word);
	const s32 before = rmap_read(&folio->mapcount);
	const s32 after = rmap_mapcount_after(before, nr);
	u64 new = rmap_moments_flag_add(word, &folio->squares, (u64)(s64)before, id, (u64)(s64)nr);

	(void)page, (void)entire;
	RMAP_WARN_ON(id >> RMAP_MOMENTS_FLAG_ID_BITS);
	rmap_write(&folio->mapcount, after);
	if (rmap_rarely(after < 0))
		new |= RMAP_MOMENTS_FLAG_SHARED;
	rmap_bit_unlock(&folio->word, new);
}

static __always_inline void rmap_moments_flag_unmap(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page,
						    s32 nr, int entire)
{
	const u64 id = mm->id;
	const u64 word = rmap_bit_lock(&folio->word);
	const s32 after = rmap_mapcount_after(rmap_read(&folio->mapcount), -nr);

	(void)page, (void)entire;
	rmap_write(&folio->mapcount, after);
	rmap_bit_unlock(&folio->word,
			rmap_moments_flag_subtract(word, &folio->squares, (u64)(s64)after, id, (u64)(s64)nr));
}

/* The first mapping of a folio nobody else can see yet. */
static __always_inline void rmap_moments_flag_set_first(struct rmap_folio *folio, const struct rmap_mm *mm, u32 page,
							s32 nr, int entire)
{
	const u64 sum = (u64)(s64)nr * mm->id;

	(void)page, (void)entire;
	rmap_write(&folio->mapcount, nr);
	folio->squares = sum * mm->id;
	rmap_write(&folio->word, rmap_moments_flag_spread(sum));
}

/* All pages mapped and the PMD unmapped are P - 1 mappings more of an MM that has some. */
static __always_inline void rmap_moments_flag_remap(struct rmap_folio *folio, const struct rmap_mm *mm)
{
	rmap_moments_flag_map(folio, mm, 0, (1 << folio->order) - 1, 0);
}

/* One flag, one load: no lock. The page-table lock orders it against the caller's own updates. */
static __always_inline enum rmap_verdict rmap_moments_flag_verdict(const struct rmap_folio *folio, const struct rmap_mm *mm)
{
	(void)mm;
	return rmap_read(&folio->word) & RMAP_MOMENTS_FLAG_SHARED ? RMAP_IS_SHARED : RMAP_EXCLUSIVE;
}

/* Under the lock the mapcount stands still, and so bounds the refcount from below. */
static __always_inline bool rmap_moments_flag_cow_reuse(struct rmap_folio *folio, const struct rmap_mm *mm)
{
	const u64 word = rmap_bit_lock(&folio->word);
	bool reuse;

	(void)mm;
	reuse = !(word & RMAP_MOMENTS_FLAG_SHARED) && rmap_read(&folio->refcount) == rmap_read(&folio->mapcount);
	rmap_bit_unlock(&folio->word, word);
	return reuse;
}

#endif /* RMAP_MOMENTS_FLAG_H */
