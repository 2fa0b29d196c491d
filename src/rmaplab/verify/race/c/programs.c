// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * programs.c - the list of programs. What each is, stands with its threads.
 */
#include "scheme_programs.h"
#include "seqcount_programs.h"

static struct program programs[] = {
	SEQCOUNT_PROGRAMS(1, "shared", shared, RMAP_SHARED),
	SEQCOUNT_PROGRAMS(1, "cmpxchg", cmpxchg, RMAP_CMPXCHG),
#if RMAP_SEQ_HAS_ADD_RETURN
	SEQCOUNT_PROGRAMS(1, "add-return", add_return, RMAP_ADD_RETURN),
#endif
	FOUR_THREADS("shared", shared),
	FOUR_THREADS("cmpxchg", cmpxchg),
#if RMAP_SEQ_HAS_ADD_RETURN
	FOUR_THREADS("add-return", add_return),
#endif
	SEQCOUNT_PROGRAMS(0, "posted shared", posted_shared, RMAP_SHARED),
	SEQCOUNT_PROGRAMS(0, "posted cmpxchg", posted_cmpxchg, RMAP_CMPXCHG),
#if RMAP_SEQ_HAS_ADD_RETURN
	SEQCOUNT_PROGRAMS(0, "posted add-return", posted_add_return, RMAP_ADD_RETURN),
#endif
	SCHEME_PROGRAMS,
};

/* The small folio's sequence count is the bucket that its address hashes to. */
static void place_bucket(struct program *program)
{
	if (program->word[0].address == &table)
		program->word[0].address = rmap_hashed_seq(&table, &folio);
}

const struct program *race_program(int number)
{
	if (number >= 0 && number < (int)(sizeof(programs) / sizeof(*programs)))
		place_bucket(&programs[number]);
	return number >= 0 && number < (int)(sizeof(programs) / sizeof(*programs)) ? &programs[number] : 0;
}
