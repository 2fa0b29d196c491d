// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * programs.c - the list of programs. What each is, stands with its threads.
 */
#include "seqcount_programs.h"

static const struct program programs[] = {
	SEQCOUNT_PROGRAMS("shared", shared, RMAP_SHARED),
	SEQCOUNT_PROGRAMS("cmpxchg", cmpxchg, RMAP_CMPXCHG),
#if RMAP_SEQ_HAS_ADD_RETURN
	SEQCOUNT_PROGRAMS("add-return", add_return, RMAP_ADD_RETURN),
#endif
};

const struct program *race_program(int number)
{
	return number >= 0 && number < (int)(sizeof(programs) / sizeof(*programs)) ? &programs[number] : 0;
}
