/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a process sees of its own memory, and the knobs that decide which folios
 * it gets. For programs that show one behaviour of the kernel and exit with 0 (it
 * behaves as expected) or 1 (it does not); 4 says that this kernel or this user
 * cannot run them. Root is needed: PFNs, /proc/kpageflags, /proc/kpagecount.
 */
#ifndef LOOK_H
#define LOOK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE		4096UL
#define PMD		(512 * PAGE)
#define SKIP		4

#define PM_PFN		((1ULL << 55) - 1)
#define PM_EXCLUSIVE	(1ULL << 56)
#define PM_UFFD_WP	(1ULL << 57)
#define PM_GUARD	(1ULL << 58)
#define PM_SWAP		(1ULL << 62)
#define PM_PRESENT	(1ULL << 63)

enum {
	KPF_ANON = 12, KPF_SWAPBACKED = 14, KPF_HEAD = 15, KPF_TAIL = 16, KPF_KSM = 21,
	KPF_ZERO_PAGE = 24, KPF_ANON_EXCLUSIVE = 34,
};

#ifndef MADV_COLD
#define MADV_COLD 20
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

static void (*look_give_up)(int code);	/* tells the program's other processes */

__attribute__((format(printf, 1, 2), noreturn, unused))
static void skip(const char *why, ...)
{
	va_list words;

	va_start(words, why);
	printf("SKIP: ");
	vprintf(why, words);
	printf("\n");
	va_end(words);
	if (look_give_up)
		look_give_up(SKIP);
	exit(SKIP);
}

static int look_result;

/* One thing that must be so. */
__attribute__((format(printf, 2, 3), unused))
static void expect(int holds, const char *what, ...)
{
	va_list words;

	va_start(words, what);
	printf("%s: ", holds ? "ok" : "not ok");
	vprintf(what, words);
	printf("\n");
	va_end(words);
	fflush(stdout);
	look_result |= !holds;
}

/* `count` words of a file, from word `number` on. */
static inline void look_words(int fd, const char *file, uint64_t number, uint64_t *words, size_t count)
{
	if (fd < 0)
		skip("%s: %s", file, strerror(errno));
	if (pread(fd, words, count * sizeof(*words), (off_t)(number * sizeof(*words))) <= 0)
		skip("%s: cannot be read", file);
}

static inline uint64_t pagemap(const volatile void *page)
{
	static int fd;
	static pid_t whose;	/* a child has the parent's descriptor, which shows the parent's memory */
	uint64_t entry;

	if (whose != getpid()) {
		if (whose)
			close(fd);
		fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
		whose = getpid();
	}
	look_words(fd, "/proc/self/pagemap", (uintptr_t)page / PAGE, &entry, 1);
	return entry;
}

static inline int present(const volatile void *page)
{
	return !!(pagemap(page) & PM_PRESENT);
}

/* The last swap type is no device, but a marker in an entry where nothing is. */
static inline int swapped(const volatile void *page)
{
	return !(pagemap(page) & PM_PRESENT) && (pagemap(page) & PM_SWAP) && (pagemap(page) & 31) != 31;
}

/* pagemap's "mapped exclusively" */
static inline int mmap_exclusive(const volatile void *page)
{
	return !!(pagemap(page) & PM_EXCLUSIVE);
}

static inline uint64_t pfn(const volatile void *page)
{
	uint64_t entry = pagemap(page);

	if ((entry & PM_PRESENT) && !(entry & PM_PFN))
		skip("/proc/self/pagemap hides PFNs: needs CAP_SYS_ADMIN");
	return entry & PM_PRESENT ? entry & PM_PFN : 0;
}

static inline void look_flags(uint64_t frame, uint64_t *flags, size_t count)
{
	static int fd = -1;

	if (fd < 0)
		fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	memset(flags, 0, count * sizeof(*flags));
	look_words(fd, "/proc/kpageflags", frame, flags, count);
}

static inline int flag(uint64_t frame, int bit)
{
	uint64_t flags;

	look_flags(frame, &flags, 1);
	return flags >> bit & 1;
}

static inline uint64_t mapcount(uint64_t frame)
{
	static int fd = -1;
	uint64_t count;

	if (fd < 0)
		fd = open("/proc/kpagecount", O_RDONLY | O_CLOEXEC);
	look_words(fd, "/proc/kpagecount", frame, &count, 1);
	return count;
}

/* The first page of the folio, and its order: none here is larger than a PMD maps. */
static inline uint64_t folio_of(uint64_t frame, int *its_order)
{
	uint64_t flags[1024], base = frame & ~511ULL, first = frame - base, size = 1;

	look_flags(base, flags, 513);
	while (first && (flags[first] >> KPF_TAIL & 1))
		first--;
	if (flags[first] >> KPF_HEAD & 1)
		while (first + size < 512 && (flags[first + size] >> KPF_TAIL & 1))
			size++;
	for (*its_order = 0; 1UL << *its_order < size; ++*its_order)
		;
	return base + first;
}

static inline uint64_t head(uint64_t frame)
{
	int its_order;

	return folio_of(frame, &its_order);
}

/* Order of the folio that this page is of, -1 if there is none. */
static inline int order(const volatile void *page)
{
	int found = -1;

	if (pfn(page))
		folio_of(pfn(page), &found);
	return found;
}

#define DEFINE_PAGEMAP_SCAN _IOWR('f', 16, struct look_scan)
struct look_region { uint64_t start, end, categories; };
struct look_scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t inverted, mask, anyof, returned;
};

/* Whether a PMD maps this page; PAGEMAP_SCAN is there since 6.7. */
static inline int pmd_mapped(const volatile void *page)
{
	struct look_region region = { 0 };
	uint64_t from = (uintptr_t)page & ~(PAGE - 1);
	struct look_scan scan = {
		.size = sizeof(scan), .start = from, .end = from + PAGE, .vec = (uintptr_t)&region, .vec_len = 1,
		.mask = 1 << 6, .returned = 1 << 6,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), found;

	found = ioctl(fd, DEFINE_PAGEMAP_SCAN, &scan);
	if (found < 0)
		skip("PAGEMAP_SCAN: %s", strerror(errno));
	close(fd);
	return found > 0;
}

/* A file of sysfs or procfs, set for this program's time: look_end() writes it back. */
struct look_knob { char path[128], before[64]; };
static struct look_knob *look_knobs;	/* shared by all processes of the program */
static int *look_known;
static pid_t look_first;

static inline int look_read(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);
	char *chosen, *end;

	if (fd >= 0)
		close(fd);
	if (length < 0)
		return -1;
	text[length] = 0;
	chosen = strchr(text, '[');
	end = chosen ? strchr(chosen, ']') : strchr(text, '\n');
	if (end)
		*end = 0;
	if (chosen)
		memmove(text, chosen + 1, strlen(chosen));
	return 0;
}

static inline int look_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), failed;

	failed = fd < 0 || write(fd, text, strlen(text)) < 0;
	if (fd >= 0)
		close(fd);
	return failed ? -1 : 0;
}

static inline int knob(const char *path, const char *text)
{
	char now[64];
	int i;

	if (look_read(path, now, sizeof(now)))
		return -1;
	if (!strcmp(now, text))
		return 0;
	for (i = 0; i < *look_known && strcmp(look_knobs[i].path, path); i++)
		;
	if (i == *look_known && i < 64) {
		snprintf(look_knobs[i].path, sizeof(look_knobs[i].path), "%s", path);
		snprintf(look_knobs[i].before, sizeof(look_knobs[i].before), "%s", now);
		++*look_known;
	}
	return look_write(path, text);
}

/*
 * Faults in memory with MADV_HUGEPAGE get folios of this order and no other. `what`
 * is "enabled" (anonymous memory) or "shmem_enabled".
 */
static inline void folios(const char *what, int want)
{
	const char *on = strcmp(what, "enabled") ? "advise" : "madvise";
	char path[128];
	int one, done = want == 0;

	for (one = 1; one <= 9; one++) {
		snprintf(path, sizeof(path), "/sys/kernel/mm/transparent_hugepage/hugepages-%lukB/%s", 4UL << one, what);
		if (!knob(path, one == want ? on : "never") && one == want)
			done = 1;
	}
	if (!done && want == 9) {	/* before 6.8 there is one knob for THPs, and no other size */
		snprintf(path, sizeof(path), "/sys/kernel/mm/transparent_hugepage/%s", what);
		done = !knob(path, on);
	}
	if (!done)
		skip("this kernel gives no folios of order %d (%s)", want, what);
}

/* A small folio that waits in a batch of the LRU has one reference more: empty this CPU's. */
static inline void drain(void)
{
	static void *page;

	if (!page)
		page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(page, PAGE, MADV_COLD);
}

static inline void look_end(void)
{
	if (getpid() != look_first)
		return;
	while (*look_known) {
		--*look_known;
		look_write(look_knobs[*look_known].path, look_knobs[*look_known].before);
	}
}

static void look_ended(int number)
{
	look_end();
	signal(number, SIG_DFL);
	raise(number);
}

/* First of all: one CPU, so that one drain() is enough, and knobs that come back. */
static inline void look_begin(void)
{
	cpu_set_t one;
	int cpu;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (geteuid())
		skip("needs root");
	sched_getaffinity(0, sizeof(one), &one);
	for (cpu = 0; !CPU_ISSET(cpu, &one); cpu++)
		;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
	look_knobs = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	look_known = (int *)((char *)look_knobs + 3 * PAGE + 1024);
	look_first = getpid();
	atexit(look_end);
	signal(SIGINT, look_ended);
	signal(SIGTERM, look_ended);
	signal(SIGHUP, look_ended);
}

/* Anonymous memory that gets folios of this order: at a boundary of 2 MiB. */
static inline char *anonymous(size_t length, int want)
{
	char *room = mmap(NULL, length + 2 * PMD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *memory = (char *)(((uintptr_t)room + PMD) & ~(PMD - 1));

	if (room == MAP_FAILED)
		skip("mmap: %s", strerror(errno));
	munmap(room, (size_t)(memory - room));
	munmap(memory + length, (size_t)(room + length + 2 * PMD - (memory + length)));
	madvise(memory, length, want ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);	/* THPs may be for all */
	return memory;
}

#endif
