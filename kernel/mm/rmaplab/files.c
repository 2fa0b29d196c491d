// SPDX-License-Identifier: GPL-2.0
/*
 * files.c - /sys/kernel/debug/rmaplab: the scheme, the reader's own rmap ID, what is known of folios, counters of answers.
 *
 * The ID is for programs that want MMs with certain IDs: the allocator gives the smallest that is free.
 */
#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/memory_hotplug.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

#include "scheme.h"
#include "stats.h"

static int scheme_show(struct seq_file *file, void *unused)
{
#ifdef CONFIG_RMAPLAB_MANY
	seq_printf(file, "%s\n", rmaplab_chosen ? rmaplab_chosen->name : "off");
#else
	seq_puts(file, "moments-flag\n");
#endif
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(scheme);

static int mm_id_show(struct seq_file *file, void *unused)
{
	seq_printf(file, "%u\n", current->mm ? current->mm->rmaplab.id : 0);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(mm_id);

/**
 * struct folio_state - what "folios" has of each page frame, for whoever walks all page tables and compares
 * @order: of the large folio it belongs to; 0: none, or nobody's, and the rest is 0
 * @mapcount: mappings by PTEs, and each by a PMD is one
 * @entire: mappings by a PMD
 * @shared: the answer: mapped by more than one MM
 */
struct folio_state {
	u32 order;
	s32 mapcount;
	s32 entire;
	u32 shared;
};

#ifdef CONFIG_MM_ID
#define answer(folio) folio_maybe_mapped_shared(folio)
#else
#define answer(folio) folio_likely_mapped_shared(folio)
#endif

static struct folio_state state_of(unsigned long pfn)
{
	struct page *page = pfn_to_online_page(pfn);
	struct folio_state state = {};
	struct folio *folio;

	if (!page)
		return state;
	folio = page_folio(page);
	if (!folio_try_get(folio))
		return state;
	if (page_folio(page) == folio && folio_test_large(folio) && !folio_test_hugetlb(folio)) {
		state.order = folio_order(folio);
		state.mapcount = folio_large_mapcount(folio);
		state.entire = folio_entire_mapcount(folio);
		state.shared = answer(folio);
	}
	folio_put(folio);
	return state;
}

/* One record a read, at the page frame number times its size. */
static ssize_t folios_read(struct file *file, char __user *to, size_t size, loff_t *at)
{
	struct folio_state state;

	if (size < sizeof(state) || *at % sizeof(state))
		return -EINVAL;
	state = state_of(*at / sizeof(state));
	if (copy_to_user(to, &state, sizeof(state)))
		return -EFAULT;
	*at += sizeof(state);
	return sizeof(state);
}

static const struct file_operations folios_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.read = folios_read,
	.llseek = default_llseek,
};

static int __init rmaplab_files(void)
{
	struct dentry *directory = debugfs_create_dir("rmaplab", NULL);

	debugfs_create_file("scheme", 0400, directory, NULL, &scheme_fops);
	debugfs_create_file("mm_id", 0400, directory, NULL, &mm_id_fops);
	debugfs_create_file("folios", 0400, directory, NULL, &folios_fops);
	rmaplab_stats_files(directory);
	return 0;
}
late_initcall(rmaplab_files);
