/* SPDX-License-Identifier: GPL-2.0 */
/*
 * folios.h - what the lab's programs share: how they fail, and how they have faults give folios of one order.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE 4096UL
#define BLOCK (512 * PAGE)
#define THP "/sys/kernel/mm/transparent_hugepage/"

static int fail(const char *what)
{
	perror(what);
	exit(3);
}

/* Returns whether the knob is there. */
static int set(const char *path, const char *word)
{
	const int file = open(path, O_WRONLY);

	if (file < 0)
		return 0;
	if (write(file, word, strlen(word)) < 0)
		fail(path);
	close(file);
	return 1;
}

/* Faults get folios of @order and no other. Returns whether the kernel knows the order. */
static int choose(int order)
{
	char path[96];
	int other;

	set(THP "enabled", "never");
	for (other = 2; other <= 9; other++) {
		snprintf(path, sizeof(path), THP "hugepages-%lukB/enabled", (PAGE << other) / 1024);
		set(path, "never");
	}
	if (!order)
		return 1;
	snprintf(path, sizeof(path), THP "hugepages-%lukB/enabled", (PAGE << order) / 1024);
	if (set(path, "always"))
		return 1;
	return order == 9 && set(THP "enabled", "always");
}
