// SPDX-License-Identifier: GPL-2.0
/*
 * witness.c - the posted generations, order 9, shown wrong in a running kernel.
 *
 * `rmaplab refute generations --order 9` finds MMs whose mappings add up to those of another MM: 14, 28, 26 and 2 pages of a
 * THP, mapped by the MMs with the IDs 43, 77, 105 and 232, look as if MM 85 had mapped all 70. So here are these MMs. The
 * allocator gives the smallest free ID: children are born until there is one with each. All map the first page; MM 85
 * maps no other, and writes it. If the kernel believes the sums, it keeps the page, and MM 43 reads what MM 85 wrote.
 *
 * Exit code: 0 if MM 43 reads what it must, 1 if it reads another MM's secret, 3 if the MMs cannot be had.
 */
#include "common.h"

#define CHILDREN 1024

static const struct {
	int id, pages;
} wanted[] = { { 43, 14 }, { 77, 28 }, { 85, 1 }, { 105, 26 }, { 232, 2 } };

#define WANTED (int)(sizeof(wanted) / sizeof(wanted[0]))
#define READER 43
#define WRITER 85

struct board {
	int settled, alone, written, over;
	int id[CHILDREN];
	int have, reused;
	char read;
};

static int own_id(void)
{
	char text[16] = "";
	const int file = open("/sys/kernel/debug/rmaplab/mm_id", O_RDONLY);

	must(file >= 0 && read(file, text, sizeof(text) - 1) > 0, "/sys/kernel/debug/rmaplab/mm_id");
	close(file);
	return atoi(text);
}

static void child(struct board *board, char *thp, int number)
{
	const int id = own_id();
	int pages = 0, i;

	for (i = 0; i < WANTED; i++)
		if (wanted[i].id == id)
			pages = wanted[i].pages;
	/* PTE by PTE: no page of this MM is left but those it must have. */
	must(!munmap(thp + pages * PAGE, THP - pages * PAGE), "munmap");
	if (pages)
		__atomic_fetch_add(&board->have, 1, __ATOMIC_RELAXED);
	board->id[number] = id;
	step(&board->settled);
	if (id == WRITER) {
		uint64_t before;

		await(&board->alone, 1);
		before = pfn(thp);
		thp[0] = 'W';
		board->reused = pfn(thp) == before;
		step(&board->written);
	}
	if (id == READER) {
		await(&board->written, 1);
		board->read = *(volatile char *)thp;
		step(&board->over);
	}
	/* Whoever is not wanted keeps an ID from being given again. */
	await(&board->over, 1);
	_exit(0);
}

int main(void)
{
	struct board *board = shared_words(sizeof(*board));
	char *thp = pte_mapped_thp();
	int number;

	thp[0] = 'R';
	for (number = 0; number < CHILDREN && board->have < WANTED; number++) {
		const pid_t pid = fork();

		must(pid >= 0, "fork");
		if (!pid)
			child(board, thp, number);
		await(&board->settled, number + 1);
	}
	if (board->have < WANTED) {
		fprintf(stderr, "witness: %d children, and not every MM wanted: start it sooner after boot\n", number);
		step(&board->written);
		step(&board->over);
		return 3;
	}
	must(!munmap(thp, THP), "munmap");
	step(&board->alone);
	await(&board->over, 1);
	printf("MM %d wrote a page that MM %d maps: %s; MM %d reads '%c'\n", WRITER, READER,
	       board->reused ? "reused" : "copied", READER, board->read);
	return board->read != 'R';
}
