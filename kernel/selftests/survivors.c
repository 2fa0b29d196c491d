// SPDX-License-Identifier: GPL-2.0
/*
 * survivors.c - which process of a fork tree may keep its memory when the others are gone?
 *
 * A process writes a THP, maps it by PTEs and forks: every MM from the first (star), or each from the one before (chain).
 * All but one end, and that one writes every page. Reused: the page is where it was. Copied: it is not, although
 * nobody else could have seen it. One line for each survivor: topology, MMs, survivor, pages reused, copied.
 *
 *	survivors [MMS]		trees of 1 .. MMS MMs (3 without)
 */
#include <errno.h>
#include <signal.h>

#include "common.h"

#define MOST 8

struct board {
	int born, dismissed, finished;
	pid_t pid[MOST + 1];
	int reused, copied;
};

/* A process that is not there any more has no mappings: nobody waits for its end, so it leaves no zombie. */
static void await_end(pid_t pid)
{
	while (!kill(pid, 0) || errno != ESRCH)
		usleep(200);
}

static void survivor(struct board *board, char *thp, int me, int mms)
{
	uint64_t before[PAGES];
	int i;

	for (i = 0; i < PAGES; i++)
		before[i] = pfn(thp + i * PAGE);
	await(&board->dismissed, 1);
	for (i = 1; i <= mms; i++)
		if (i != me)
			await_end(board->pid[i]);
	for (i = 0; i < PAGES; i++)
		thp[i * PAGE] = 2;
	for (i = 0; i < PAGES; i++) {
		if (pfn(thp + i * PAGE) == before[i])
			board->reused++;
		else
			board->copied++;
	}
	step(&board->finished);
	_exit(0);
}

/* What MM number @me does once it is born. */
static void live(struct board *board, char *thp, int me, int who, int mms)
{
	board->pid[me] = getpid();
	step(&board->born);
	if (me == who)
		survivor(board, thp, me, mms);
	await(&board->dismissed, 1);
	_exit(0);
}

static void first(struct board *board, int chain, int mms, int who)
{
	char *thp = pte_mapped_thp();
	int me = 1, next;

	for (next = 2; next <= mms; next++) {
		const pid_t child = fork();

		must(child >= 0, "fork");
		if (!child) {
			me = next;
			if (!chain)
				break;
		} else if (chain) {
			break;
		}
	}
	live(board, thp, me, who, mms);
}

static void tree(int chain, int mms, int who)
{
	struct board *board = shared_words(sizeof(*board));
	const pid_t root = fork();

	must(root >= 0, "fork");
	if (!root)
		first(board, chain, mms, who);
	await(&board->born, mms);
	step(&board->dismissed);
	await(&board->finished, 1);
	/* All are gone when there is none to wait for. */
	while (wait(NULL) > 0)
		;
	printf("%s %d %d %d %d\n", chain ? "chain" : "star", mms, who, board->reused, board->copied);
	fflush(stdout);
	munmap(board, sizeof(*board));
}

int main(int argc, char **argv)
{
	const int most = argc > 1 ? atoi(argv[1]) : 3;
	int chain, mms, who;

	if (most < 1 || most > MOST) {
		fprintf(stderr, "survivors: %s: must be 1 .. %d\n", argv[1], MOST);
		return 2;
	}
	/* Grandchildren whose parents are gone become ours, and nobody leaves a zombie. */
	signal(SIGCHLD, SIG_IGN);
	must(!prctl(PR_SET_CHILD_SUBREAPER, 1), "PR_SET_CHILD_SUBREAPER");
	for (chain = 0; chain < 2; chain++)
		for (mms = 1; mms <= most; mms++)
			for (who = 1; who <= mms; who++)
				tree(chain, mms, who);
	return 0;
}
