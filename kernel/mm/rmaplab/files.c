// SPDX-License-Identifier: GPL-2.0
/*
 * files.c - /sys/kernel/debug/rmaplab: the scheme, the reader's own rmap ID, and the counters of answers.
 *
 * The ID is for programs that want MMs with certain IDs: the allocator gives the smallest that is free.
 */
#include <linux/debugfs.h>
#include <linux/init.h>
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

static int __init rmaplab_files(void)
{
	struct dentry *directory = debugfs_create_dir("rmaplab", NULL);

	debugfs_create_file("scheme", 0400, directory, NULL, &scheme_fops);
	debugfs_create_file("mm_id", 0400, directory, NULL, &mm_id_fops);
	rmaplab_stats_files(directory);
	return 0;
}
late_initcall(rmaplab_files);
