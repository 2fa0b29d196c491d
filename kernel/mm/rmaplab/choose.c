// SPDX-License-Identifier: GPL-2.0
/*
 * choose.c - rmap_scheme= on the command line, and the static calls and keys that follow from it.
 *
 * Once, before the first process has pages: a folio's words are right only if every mapping went through one scheme.
 */
#include <linux/init.h>
#include <linux/printk.h>
#include <linux/string.h>

#include "scheme.h"

DEFINE_STATIC_KEY_FALSE(rmaplab_writers_key);
DEFINE_STATIC_KEY_FALSE(rmaplab_readers_key);

__rmaplab_callee void rmaplab_no_update(RMAPLAB_UPDATE)
{
}

bool rmaplab_nobody_mine(struct folio *folio, struct mm_struct *mm)
{
	return false;
}

DEFINE_STATIC_CALL(rmaplab_add, rmaplab_no_update);
DEFINE_STATIC_CALL(rmaplab_sub, rmaplab_no_update);
DEFINE_STATIC_CALL(rmaplab_set, rmaplab_no_update);
DEFINE_STATIC_CALL(rmaplab_mine, rmaplab_nobody_mine);
DEFINE_STATIC_CALL(rmaplab_reuse, rmaplab_nobody_mine);
DEFINE_STATIC_CALL(rmaplab_any, rmaplab_guess);

const struct rmaplab_scheme *rmaplab_chosen __ro_after_init;

static const struct rmaplab_scheme *const schemes[] __initconst = {
#if defined(CONFIG_MM_ID) && !defined(CONFIG_RMAPLAB_STATS)
	&rmaplab_moments_flag_slots,
#else
	&rmaplab_moments_flag,
#endif
#ifndef CONFIG_MM_ID
	&rmaplab_mm_id,
#endif
	&rmaplab_packed,
	&rmaplab_moments,
	&rmaplab_moments_exclusive,
	&rmaplab_moments_exclusive_add,
	&rmaplab_generations,
	&rmaplab_generations_safe,
};

static char wanted[32] __initdata = "off";

static int __init rmap_scheme(char *name)
{
	if (!name || strscpy(wanted, name, sizeof(wanted)) < 0)
		return -EINVAL;
	return 0;
}
early_param("rmap_scheme", rmap_scheme);

/* The kernel's own rule goes by this name too, where it is that of the two slots. */
static bool __init is_off(const char *name)
{
	return !strcmp(name, "off") || (IS_ENABLED(CONFIG_MM_ID) && !strcmp(name, "mm-id"));
}

static int __init rmaplab_choose(void)
{
	const struct rmaplab_scheme *scheme = NULL;
	int i;

	if (is_off(wanted)) {
		pr_info("rmaplab: scheme %s: the kernel's own rule\n", wanted);
		return 0;
	}
	for (i = 0; i < ARRAY_SIZE(schemes); i++)
		if (!strcmp(wanted, schemes[i]->name))
			scheme = schemes[i];
	if (!scheme) {
		pr_err("rmaplab: rmap_scheme=%s: unknown; the kernel's own rule\n", wanted);
		return 0;
	}
	if (scheme->usable && !scheme->usable()) {
		pr_err("rmaplab: rmap_scheme=%s: this CPU cannot; the kernel's own rule\n", wanted);
		return 0;
	}
	rmaplab_chosen = scheme;
	static_call_update(rmaplab_add, scheme->add);
	static_call_update(rmaplab_sub, scheme->sub);
	static_call_update(rmaplab_set, scheme->set);
	if (!scheme->slots) {
		static_call_update(rmaplab_mine, scheme->mine);
		static_call_update(rmaplab_reuse, scheme->reuse);
		if (scheme->shared)
			static_call_update(rmaplab_any, scheme->shared);
		static_branch_enable(&rmaplab_readers_key);
	}
	static_branch_enable(&rmaplab_writers_key);
	pr_info("rmaplab: scheme %s\n", scheme->name);
	return 0;
}
early_initcall(rmaplab_choose);
