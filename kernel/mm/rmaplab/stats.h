/* SPDX-License-Identifier: GPL-2.0 */
/* stats.h - the counters' file, where there are counters. */
#ifndef MM_RMAPLAB_STATS_H
#define MM_RMAPLAB_STATS_H

#include <linux/init.h>

struct dentry;

#ifdef CONFIG_RMAPLAB_STATS
void rmaplab_stats_files(struct dentry *directory);
#else
static inline void rmaplab_stats_files(struct dentry *directory) { }
#endif

#endif /* MM_RMAPLAB_STATS_H */
