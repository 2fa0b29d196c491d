// SPDX-License-Identifier: GPL-2.0
/*
 * cowtable - which process of a fork tree keeps its memory when the others are gone?
 *
 * A process writes one folio, maps it by PTEs and forks: every MM from the first (star), or each from the one before
 * (chain). All but one exit, and that one writes every page. Reused: the frame is the one it was. Copied: it is not, although
 * nobody else can see it. One line for each tree: topology, MMs, order, survivor, pages reused, copied.
 *
 *	cowtable MMS ORDER...
 *
 * Exit code: 0, or 3 if the kernel does not let one look. An order the kernel does not give is left out: "no ORDER".
 */
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

#include "folios.h"

#define MOST 8

static void frames(const char *at, int pages, uint64_t *out)
{
	const int file = open("/proc/self/pagemap", O_RDONLY);
	const size_t size = pages * sizeof(*out);
	int page;

	if (file < 0 || pread(file, out, size, (uintptr_t)at / PAGE * 8) != (ssize_t)size)
		fail("/proc/self/pagemap");
	close(file);
	for (page = 0; page < pages; page++)
		out[page] &= (1ULL << 55) - 1;
}

/* One folio of @order, mapped by PTEs, or NULL. */
static char *folio(int order)
{
	static uint64_t pfn[512];
	const int pages = 1 << order;
	char *area = mmap(NULL, 2 * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *at;
	int page;

	if (area == MAP_FAILED)
		fail("mmap");
	at = (char *)(((uintptr_t)area + BLOCK - 1) & ~(BLOCK - 1));
	at[0] = 1;
	if (order == 9 && (mprotect(at, PAGE, PROT_READ) || mprotect(at, PAGE, PROT_READ | PROT_WRITE)))
		fail("mprotect");
	frames(at, pages, pfn);
	for (page = 0; page < pages; page++)
		if (pfn[page] != pfn[0] + page || pfn[0] % pages)
			return NULL;
	for (page = 0; page < pages; page++)
		at[page * PAGE] = 1;
	return at;
}

struct board {
	int reused, copied;
};

/* What the processes of a tree tell each other by. A process leaves its MM before it closes its files. */
struct pipes {
	int born[2];	/* a byte when one is born; its end when all have ended */
	int leave[2];	/* its end: all but the survivor exit */
	int others[2];	/* its end: they have */
};

static void end_of(int fd)
{
	char byte;

	while (read(fd, &byte, 1) > 0)
		;
}

/* The survivor: waits until it is alone, then writes. */
static void survive(struct board *board, char *at, int pages, struct pipes *p)
{
	static uint64_t before[512], after[512];
	int page;

	frames(at, pages, before);
	close(p->others[1]);
	end_of(p->others[0]);
	for (page = 0; page < pages; page++)
		at[page * PAGE] = 2;
	frames(at, pages, after);
	for (page = 0; page < pages; page++) {
		if (after[page] == before[page])
			board->reused++;
		else
			board->copied++;
	}
	_exit(0);
}

static void first(struct board *board, int chain, int mms, int order, int who, struct pipes *p)
{
	char *at = folio(order);
	int me = 1, next;

	if (!at)
		_exit(4);
	for (next = 2; next <= mms; next++) {
		const pid_t child = fork();

		if (child < 0)
			fail("fork");
		if (!child)
			me = next;
		if (child ? chain : !chain)
			break;
	}
	if (write(p->born[1], "", 1) != 1)
		fail("write");
	if (me == who)
		survive(board, at, 1 << order, p);
	end_of(p->leave[0]);
	_exit(0);
}

/* Returns 0 if the kernel gave no folio of @order. */
static int tree(int chain, int mms, int order, int who)
{
	struct board *board = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct pipes p;
	int left, status;

	if (board == MAP_FAILED || pipe(p.born) || pipe(p.leave) || pipe(p.others))
		fail("pipe");
	const pid_t root = fork();

	if (root < 0)
		fail("fork");
	if (!root) {
		close(p.born[0]);
		close(p.leave[1]);
		first(board, chain, mms, order, who, &p);
	}
	close(p.born[1]);
	close(p.leave[0]);
	close(p.others[0]);
	close(p.others[1]);
	for (left = mms; left; left--) {
		char byte;

		if (read(p.born[0], &byte, 1) != 1) {
			waitpid(root, &status, 0);
			if (WEXITSTATUS(status) != 4)
				fail("a process of the tree died");
			left = -1;
			break;
		}
	}
	close(p.leave[1]);
	end_of(p.born[0]);
	close(p.born[0]);
	while (wait(NULL) > 0)
		;
	if (!left)
		printf("%s %d %d %d %d %d\n", chain ? "chain" : "star", mms, order, who, board->reused, board->copied);
	munmap(board, PAGE);
	return !left;
}

int main(int argc, char **argv)
{
	const int most = argc > 1 ? atoi(argv[1]) : 0;
	int i, chain, mms, who;

	if (most < 1 || most > MOST || argc < 3)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* Processes whose parents are gone become ours. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1))
		fail("PR_SET_CHILD_SUBREAPER");
	for (i = 2; i < argc; i++) {
		const int order = atoi(argv[i]);

		if (order < 2 || order > 9 || !choose(order) || !tree(0, 1, order, 1)) {
			printf("no %d\n", order);
			continue;
		}
		for (chain = 0; chain < 2; chain++)
			for (mms = 1; mms <= most; mms++)
				for (who = 1; who <= mms; who++)
					if ((chain || mms > 1 || who > 1) && !tree(chain, mms, order, who))
						fail("a folio");
	}
	return 0;
}
