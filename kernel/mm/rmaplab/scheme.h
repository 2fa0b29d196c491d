/* SPDX-License-Identifier: GPL-2.0 */
/*
 * scheme.h - what a scheme is to the kernel, and how one is made of a scheme of the core.
 *
 * First include of every file here that includes core headers: linux/rmap.h has a macro with the name of a verdict.
 */
#ifndef MM_RMAPLAB_SCHEME_H
#define MM_RMAPLAB_SCHEME_H

#define RMAPLAB_SCHEME

#include <linux/mm.h>
#include <linux/rmap.h>
#include <linux/rmaplab_mapped.h>

#undef RMAP_EXCLUSIVE

/**
 * struct rmaplab_scheme - a scheme that rmap_scheme= can choose
 * @name: as on the command line, and in rmaplab.schemes
 * @add: more mappings
 * @sub: fewer mappings
 * @set: the first mappings of a folio nobody else sees yet
 * @mine: one look: do all mappings belong to this MM?
 * @reuse: that, and is every reference one of them, at one moment? For who maps the folio, its page table locked.
 * @shared: do the mappings belong to more than one MM, whoever asks? Needs a reference at most. NULL: cannot say.
 * @usable: does this machine have what it takes? NULL: every one does.
 * @rows: wants sub-IDs in every MM
 * @slots: keeps the kernel's own flag, so that the kernel's readers are right as they are
 */
struct rmaplab_scheme {
	const char *name;
	rmaplab_update_t *add, *sub, *set;
	bool (*mine)(struct folio *folio, struct mm_struct *mm);
	bool (*reuse)(struct folio *folio, struct mm_struct *mm);
	bool (*shared)(struct folio *folio);
	bool (*usable)(void);
	bool rows;
	bool slots;
};

/* A folio of two pages has no room for words: mapcount, and slots where the kernel has them. */
rmaplab_update_t rmaplab_two_pages_add, rmaplab_two_pages_sub, rmaplab_two_pages_set;

/* The kernel's own guess before it had slots, for schemes that cannot answer without knowing who asks. */
bool rmaplab_guess(struct folio *folio);

#ifdef CONFIG_RMAPLAB_MANY
#include <linux/static_call.h>

extern const struct rmaplab_scheme *rmaplab_chosen;
bool rmaplab_nobody_mine(struct folio *folio, struct mm_struct *mm);
DECLARE_STATIC_CALL(rmaplab_mine, rmaplab_nobody_mine);
DECLARE_STATIC_CALL(rmaplab_reuse, rmaplab_nobody_mine);
DECLARE_STATIC_CALL(rmaplab_any, rmaplab_guess);
#define rmaplab_mine(folio, mm) static_call(rmaplab_mine)(folio, mm)
#define rmaplab_reuse(folio, mm) static_call(rmaplab_reuse)(folio, mm)
#define rmaplab_any(folio) static_call(rmaplab_any)(folio)

extern const struct rmaplab_scheme rmaplab_moments_flag, rmaplab_moments_flag_slots, rmaplab_mm_id, rmaplab_packed,
	rmaplab_moments, rmaplab_moments_exclusive, rmaplab_moments_exclusive_add, rmaplab_generations,
	rmaplab_generations_safe;

void *rmaplab_rows_make(u32 id);
#else
bool rmaplab_flag_mine(struct folio *folio, struct mm_struct *mm);
bool rmaplab_flag_reuse(struct folio *folio, struct mm_struct *mm);
bool rmaplab_flag_shared(struct folio *folio);
#define rmaplab_mine(folio, mm) rmaplab_flag_mine(folio, mm)
#define rmaplab_reuse(folio, mm) rmaplab_flag_reuse(folio, mm)
#define rmaplab_any(folio) rmaplab_flag_shared(folio)
#endif

#include "core/folio.h"

#ifdef RMAPLAB_WANTS_ROWS
#define RMAPLAB_ME(name, mm) const struct rmap_mm *name = (mm)->rmaplab.rows
#else
#define RMAPLAB_ME(name, mm) const struct rmap_mm __##name = { .id = (mm)->rmaplab.id }, *name = &__##name
#endif

/**
 * RMAPLAB_UPDATES() - the updates of a core scheme, as calls that preserve registers
 * @name: prefix of the functions
 * @core: prefix of the core's
 * @linkage: static, or nothing
 * @mapcount: statement that brings _large_mapcount along, if the core's words are elsewhere
 *
 * Leaf functions but for folios of two pages: they save the registers they use and no more.
 */
#define RMAPLAB_UPDATES(name, core, linkage, mapcount)                                                          \
	linkage __rmaplab_callee void name##_add(RMAPLAB_UPDATE) \
	{                                                                                                       \
		if (unlikely(rmaplab_words(folio)->order < 2)) {                                                \
			rmaplab_two_pages_add(RMAPLAB_ARGUMENTS(folio, nr, vma));                                                  \
		} else {                                                                                        \
			RMAPLAB_ME(me, vma->vm_mm);                                                             \
			const int more = nr;                                                                    \
                                                                                                                \
			rmaplab_mapped(vma, more);                                                              \
			core##_map(rmaplab_words(folio), me, 0, nr, 0);                                         \
			mapcount;                                                                               \
		}                                                                                               \
	}                                                                                                       \
	linkage __rmaplab_callee void name##_sub(RMAPLAB_UPDATE) \
	{                                                                                                       \
		if (unlikely(rmaplab_words(folio)->order < 2)) {                                                \
			rmaplab_two_pages_sub(RMAPLAB_ARGUMENTS(folio, nr, vma));                                                  \
		} else {                                                                                        \
			RMAPLAB_ME(me, vma->vm_mm);                                                             \
			const int more = -nr;                                                                   \
                                                                                                                \
			rmaplab_mapped(vma, more);                                                              \
			core##_unmap(rmaplab_words(folio), me, 0, nr, 0);                                       \
			mapcount;                                                                               \
		}                                                                                               \
	}                                                                                                       \
	linkage __rmaplab_callee void name##_set(RMAPLAB_UPDATE) \
	{                                                                                                       \
		if (unlikely(rmaplab_words(folio)->order < 2)) {                                                \
			rmaplab_two_pages_set(RMAPLAB_ARGUMENTS(folio, nr, vma));                                                  \
		} else {                                                                                        \
			RMAPLAB_ME(me, vma->vm_mm);                                                             \
			const int more = nr;                                                                    \
                                                                                                                \
			rmaplab_mapped(vma, more);                                                              \
			core##_set_first(rmaplab_words(folio), me, 0, nr, 0);                                   \
			mapcount;                                                                               \
		}                                                                                               \
	}

/**
 * RMAPLAB_ANSWERS() - the answers of a core scheme
 * @name: prefix of the functions
 * @core: prefix of the core's
 * @linkage: static, or nothing
 */
#define RMAPLAB_ANSWERS(name, core, linkage)                                         \
	linkage bool name##_mine(struct folio *folio, struct mm_struct *mm)          \
	{                                                                            \
		RMAPLAB_ME(me, mm);                                                  \
                                                                                     \
		return core##_verdict(rmaplab_words(folio), me) == RMAP_EXCLUSIVE;   \
	}                                                                            \
	linkage bool name##_reuse(struct folio *folio, struct mm_struct *mm)         \
	{                                                                            \
		RMAPLAB_ME(me, mm);                                                  \
                                                                                     \
		return core##_cow_reuse(rmaplab_words(folio), me);                   \
	}

#endif /* MM_RMAPLAB_SCHEME_H */
