/* SPDX-License-Identifier: GPL-2.0 */
/* common.h - a PTE-mapped THP, where its pages are, and words that processes share. For root, in a guest. */
#ifndef RMAPLAB_SELFTESTS_COMMON_H
#define RMAPLAB_SELFTESTS_COMMON_H

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
#define PAGES 512
#define THP (PAGES * PAGE)

static inline void must(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(3);
	}
}

/* The page frame number of @address, or 0 if it is not mapped. */
static inline uint64_t pfn(const void *address)
{
	static int file = -1;
	static pid_t owner;
	uint64_t entry = 0;

	if (owner != getpid()) {
		file = open("/proc/self/pagemap", O_RDONLY);
		owner = getpid();
	}
	must(pread(file, &entry, 8, (uintptr_t)address / PAGE * 8) == 8, "pagemap");
	return entry >> 63 ? entry & ((1ull << 55) - 1) : 0;
}

/* One THP, every page written, mapped by PTEs: changing the protection of a part splits the PMD, and of nothing else. */
static inline char *pte_mapped_thp(void)
{
	char *raw = mmap(NULL, 2 * THP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *thp;
	int i;

	must(raw != MAP_FAILED, "mmap");
	thp = (char *)(((uintptr_t)raw + THP - 1) & ~(THP - 1));
	must(!madvise(thp, THP, MADV_HUGEPAGE), "MADV_HUGEPAGE");
	for (i = 0; i < PAGES; i++)
		thp[i * PAGE] = 1;
	must(!mprotect(thp, PAGE, PROT_READ) && !mprotect(thp, PAGE, PROT_READ | PROT_WRITE), "mprotect");
	for (i = 1; i < PAGES; i++)
		if (pfn(thp + i * PAGE) != pfn(thp) + i) {
			fprintf(stderr, "no THP: page %d is elsewhere\n", i);
			exit(3);
		}
	return thp;
}

static inline void *shared_words(size_t size)
{
	void *words = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	must(words != MAP_FAILED, "mmap");
	return words;
}

/* Wait until *@word is @value or more; a word that processes share. Hundreds may wait on one emulated CPU: they sleep longer. */
static inline void await(volatile int *word, int value)
{
	useconds_t pause = 200;

	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) < value) {
		usleep(pause);
		if (pause < 100000)
			pause *= 2;
	}
}

static inline void step(volatile int *word)
{
	__atomic_fetch_add(word, 1, __ATOMIC_RELEASE);
}

#endif /* RMAPLAB_SELFTESTS_COMMON_H */
