// SPDX-License-Identifier: GPL-2.0
/*
 * operations - the series' eight operations, fork-exit-write, and the write of a third process, between two marks.
 *
 * Memory of 16 MiB in folios of one order, mapped by PTEs. What an operation does besides what its name says happens outside
 * of the marks, which the plugin (count.c) sees: for each operation one line "NAME ORDER" here, in the order of its lines.
 *
 *	operations REPEATS ORDER...
 *
 * Exit code: 0. An order the kernel does not give is left out: "no ORDER".
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

#define SIZE (8 * BLOCK)

#define BEGIN() asm volatile("xchg %%rbx,%%rbx" ::: "memory")
#define END() asm volatile("xchg %%rcx,%%rcx" ::: "memory")

static void fill(volatile char *at)
{
	volatile uint64_t *word = (volatile uint64_t *)at;
	size_t i;

	for (i = 0; i < SIZE / sizeof(*word); i++)
		word[i] = i | 1;
}

static void touch(volatile char *at)
{
	size_t i;

	for (i = 0; i < SIZE; i += PAGE)
		at[i] = 2;
}

static char *fresh(void)
{
	char *area = mmap(NULL, SIZE + BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *at;

	if (area == MAP_FAILED)
		fail("mmap");
	at = (char *)(((uintptr_t)area + BLOCK - 1) & ~(BLOCK - 1));
	touch(at);
	return at;
}

static void remap(char *at)
{
	size_t i;

	for (i = 0; i < SIZE; i += BLOCK)
		if (mprotect(at + i, PAGE, PROT_READ))
			fail("mprotect");
}

static void writable(char *at)
{
	if (mprotect(at, SIZE, PROT_READ | PROT_WRITE))
		fail("mprotect");
}

/* Memory of the order chosen, mapped by PTEs. */
static char *mapped(int order)
{
	char *at = fresh();

	if (order == 9) {
		remap(at);
		writable(at);
	}
	return at;
}

/* Is the first page of the memory the head of a folio of @order? Folios of an order come one after the other. */
static int given(const char *at, int order)
{
	const int file = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry[2];
	uint64_t mask = (1ULL << 55) - 1;

	if (file < 0 || pread(file, entry, sizeof(entry), (uintptr_t)at / PAGE * 8) != sizeof(entry))
		fail("/proc/self/pagemap");
	close(file);
	return !order || ((entry[0] & mask) % (1ULL << order) == 0 && (entry[1] & mask) == (entry[0] & mask) + 1);
}

static pid_t child(int *leave)
{
	int ends[2];
	char byte;

	if (pipe(ends))
		fail("pipe");
	const pid_t pid = fork();

	if (pid < 0)
		fail("fork");
	if (!pid) {
		close(ends[1]);
		while (read(ends[0], &byte, 1) > 0)
			;
		_exit(0);
	}
	close(ends[0]);
	*leave = ends[1];
	return pid;
}

static void gone(pid_t pid, int leave)
{
	close(leave);
	if (waitpid(pid, NULL, 0) != pid)
		fail("waitpid");
}

static void done(char *at)
{
	munmap(at, SIZE);
}

static void op_remap(int order)
{
	char *at = fresh();

	if (order == 9) {
		BEGIN();
		remap(at);
		END();
	}
	done(at);
}

static void op_munmap(int order)
{
	char *at = mapped(order);

	BEGIN();
	munmap(at, SIZE);
	END();
}

static void op_fork(int order)
{
	char *at = mapped(order);

	BEGIN();
	const pid_t pid = fork();

	if (!pid)
		_exit(0);
	END();
	if (pid < 0)
		fail("fork");
	waitpid(pid, NULL, 0);
	done(at);
}

static void op_write(int order, int alone, int bytes)
{
	char *at = mapped(order);
	int leave;
	const pid_t pid = child(&leave);

	if (alone)
		gone(pid, leave);
	BEGIN();
	if (bytes)
		touch(at);
	else
		fill(at);
	END();
	if (!alone)
		gone(pid, leave);
	done(at);
}

static void op_cow(int order)
{
	op_write(order, 0, 0);
}

static void op_cow_byte(int order)
{
	op_write(order, 0, 1);
}

static void op_cow_reuse(int order)
{
	op_write(order, 1, 0);
}

static void op_cow_reuse_byte(int order)
{
	op_write(order, 1, 1);
}

static void op_dontneed(int order)
{
	char *at = mapped(order);
	size_t i;

	BEGIN();
	for (i = 0; i < SIZE; i += PAGE)
		madvise(at + i, PAGE, MADV_DONTNEED);
	END();
	done(at);
}

static void op_fork_exit_write(int order)
{
	char *at = mapped(order);

	BEGIN();
	const pid_t pid = fork();

	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
	touch(at);
	END();
	done(at);
}

/* Three MMs; the one forked last is left alone with the memory, and writes. */
static void op_third_write(int order)
{
	char *at = mapped(order);
	int leave, ready[2], alone[2];
	char byte;
	const pid_t second = child(&leave);

	if (pipe(ready) || pipe(alone))
		fail("pipe");
	const pid_t third = fork();

	if (third < 0)
		fail("fork");
	if (!third) {
		close(leave);
		close(alone[1]);
		if (write(ready[1], "", 1) != 1)
			fail("write");
		while (read(alone[0], &byte, 1) > 0)
			;
		BEGIN();
		touch(at);
		END();
		_exit(0);
	}
	if (read(ready[0], &byte, 1) != 1)
		fail("read");
	gone(second, leave);
	munmap(at, SIZE);
	close(alone[0]);
	close(alone[1]);
	waitpid(third, NULL, 0);
	close(ready[0]);
	close(ready[1]);
}

static const struct {
	const char *name;
	void (*run)(int order);
} operations[] = {
	{ "remap", op_remap },
	{ "munmap", op_munmap },
	{ "fork", op_fork },
	{ "cow", op_cow },
	{ "cow-byte", op_cow_byte },
	{ "cow-reuse", op_cow_reuse },
	{ "cow-reuse-byte", op_cow_reuse_byte },
	{ "pte-dontneed", op_dontneed },
	{ "fork-exit-write", op_fork_exit_write },
	{ "third-write", op_third_write },
};

int main(int argc, char **argv)
{
	const int repeats = argc > 1 ? atoi(argv[1]) : 0;
	size_t which;
	int i, again;

	if (repeats < 1 || argc < 3)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 2; i < argc; i++) {
		const int order = atoi(argv[i]);
		char *at = choose(order) ? mapped(order) : NULL;

		if (!at || !given(at, order)) {
			printf("no %d\n", order);
			continue;
		}
		done(at);
		for (which = 0; which < sizeof(operations) / sizeof(*operations); which++)
			for (again = 0; again < repeats; again++) {
				if (order == 9 || strcmp(operations[which].name, "remap")) {
					operations[which].run(order);
					printf("%s %d\n", operations[which].name, order);
				}
			}
	}
	return 0;
}
