// SPDX-License-Identifier: GPL-2.0
/*
 * stats.c - how often would a precise answer have differed? Counted by caller, in debugfs.
 */
#include <linux/debugfs.h>
#include <linux/hash.h>
#include <linux/seq_file.h>

#include "../internal.h"
#include "scheme.h"
#include "stats.h"

#define BITS 7

/**
 * struct site - a place that asks
 * @caller: an address in it; 0: a free entry
 * @count: answers: [kernel's own rule][scheme], false: not shared
 */
static struct site {
	unsigned long caller;
	atomic64_t count[2][2];
} sites[1 << BITS];
static atomic64_t lost;
static atomic64_t reuse[2][2];

static struct site *find(unsigned long caller)
{
	unsigned int i, at = hash_long(caller, BITS);

	for (i = 0; i < ARRAY_SIZE(sites); i++, at = (at + 1) % ARRAY_SIZE(sites)) {
		unsigned long seen = READ_ONCE(sites[at].caller);

		if (!seen)
			seen = cmpxchg(&sites[at].caller, 0, caller) ?: caller;
		if (seen == caller)
			return &sites[at];
	}
	return NULL;
}

/* Out of line: the return address tells who asked. */
noinline bool rmaplab_counted(struct folio *folio, bool kernels)
{
	struct site *site;
	bool scheme;

	if (!rmaplab_readers())
		return kernels;
	scheme = rmaplab_shared(folio);
	site = find(_RET_IP_);
	if (site)
		atomic64_inc(&site->count[kernels][scheme]);
	else
		atomic64_inc(&lost);
	return scheme;
}

/* Both would hand the folio's swap back; whoever comes second finds it gone and decides alike. */
bool rmaplab_counted_reuse(struct folio *folio, struct vm_area_struct *vma, bool kernels)
{
	bool scheme;

	if (!rmaplab_readers())
		return kernels;
	scheme = rmaplab_wp_can_reuse(folio, vma);
	atomic64_inc(&reuse[kernels][scheme]);
	return scheme;
}

static int answers_show(struct seq_file *file, void *unused)
{
	unsigned int i;

	seq_puts(file, "caller kernel-exclusive,scheme-exclusive exclusive,shared shared,exclusive shared,shared\n");
	for (i = 0; i < ARRAY_SIZE(sites); i++)
		if (READ_ONCE(sites[i].caller))
			seq_printf(file, "%ps %lld %lld %lld %lld\n", (void *)sites[i].caller,
				   atomic64_read(&sites[i].count[0][0]), atomic64_read(&sites[i].count[0][1]),
				   atomic64_read(&sites[i].count[1][0]), atomic64_read(&sites[i].count[1][1]));
	/* Reused is what "not shared" leads to: the same columns. */
	seq_printf(file, "cow-reuse %lld %lld %lld %lld\n", atomic64_read(&reuse[1][1]), atomic64_read(&reuse[1][0]),
		   atomic64_read(&reuse[0][1]), atomic64_read(&reuse[0][0]));
	seq_printf(file, "lost %lld 0 0 0\n", atomic64_read(&lost));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(answers);

void __init rmaplab_stats_files(struct dentry *directory)
{
	debugfs_create_file("answers", 0400, directory, NULL, &answers_fops);
}
