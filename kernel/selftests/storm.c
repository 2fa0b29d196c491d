// SPDX-License-Identifier: GPL-2.0
/*
 * storm.c - processes do to shared folios whatever changes who maps them, and at quiet points the kernel's counters are held
 * against a walk of all page tables.
 *
 * Each process has the same 16 MiB of anonymous memory at one address, in folios of many orders, and does at random: write,
 * fork, exit, unmap a part, map it again, move a part (mremap), change a protection, give pages back, have them swapped, freed
 * lazily, migrated, merged (KSM), collapsed, and hold references to them (vmsplice). What it wrote it finds again, or another
 * process got at its memory.
 *
 * At a quiet point all stand still, every process' pagemap is read, and for each large folio the mappings found are compared
 * with /sys/kernel/debug/rmaplab/folios: their number, and whether they are of more than one MM. khugepaged and ksmd are told to
 * pause, but end what they are at, and reclaim does not ask: so only a folio that is wrong in the same way in each of five walks counts.
 *
 *	storm SECONDS PROCESSES SEED
 *
 * Prints one line of counts. Exit code: 0; 1 if a number of mappings or a process' data is wrong, or a folio of several MMs is
 * called one MM's; 3 if the kernel does not let one look. Folios of one MM called shared are counted: right for two slots.
 */
#include "common.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#define AREA ((char *)0x200000000ul)
#define BLOCKS 8
#define SIZE (BLOCKS * THP)
#define TOTAL (BLOCKS * PAGES)
#define MOST 24
/* Operations without which it was no storm, however slow the machine: each kind comes, but for one time in 10^20. */
#define ENOUGH 700
#define KNOBS "/sys/kernel/mm/transparent_hugepage/"
#define STATE "/sys/kernel/debug/rmaplab/folios"

enum { WRITE, FORK, UNMAP, MAP, MOVE, PROTECT, DONTNEED, SWAP, LAZY, MIGRATE, MERGE, COLLAPSE, PIN, UNPIN, KINDS };
static const char *const names[] = { "write", "fork", "unmap", "map", "move", "protect", "dontneed", "swap",
				     "lazy",  "migrate", "merge", "collapse", "pin", "unpin" };

/* What all share. A slot's process is 0 when nobody has it, negative when it is about to end. */
static struct board {
	volatile int stop, over, wrong_data;
	volatile int pid[MOST], parked[MOST];
	long done[KINDS];
} *board;

/* What this process knows of its pages: the word it wrote last, or 0 where anything may be. */
static uint64_t wrote[TOTAL];
static int slot, pipes[2], pinned;
static uint64_t luck;

static uint64_t draw(uint64_t below)
{
	luck ^= luck << 13;
	luck ^= luck >> 7;
	luck ^= luck << 17;
	return luck % below;
}

static void put(const char *path, const char *word)
{
	const int file = open(path, O_WRONLY);

	/* A knob that this kernel does not have stays as it is. */
	if (file >= 0 && write(file, word, strlen(word)) < 0)
		fprintf(stderr, "storm: %s: not %s\n", path, word);
	if (file >= 0)
		close(file);
}

static char *page(int number)
{
	return AREA + number * PAGE;
}

static void forget(int from, int count)
{
	memset(wrote + from, 0, count * sizeof(*wrote));
}

/* Is the page mapped by the VMA, and may it be read? msync() says so without a fault. */
static int there(int number)
{
	return !msync(page(number), PAGE, MS_ASYNC);
}

static void check(int from, int count)
{
	int i;

	for (i = from; i < from + count; i++)
		if (wrote[i] && there(i) && *(volatile uint64_t *)page(i) != wrote[i]) {
			board->wrong_data++;
			fprintf(stderr, "storm: process %d page %d: wrote %llx, reads %llx\n", slot, i,
				(unsigned long long)wrote[i], (unsigned long long)*(volatile uint64_t *)page(i));
			wrote[i] = 0;
		}
}

/* Mappings are made and forgotten whole; a page that is not writable is made so first. */
static void fill(int from, int count)
{
	int i;

	if (mprotect(page(from), count * PAGE, PROT_READ | PROT_WRITE))
		return;
	for (i = from; i < from + count; i++) {
		/* Few different values, so that KSM finds something. */
		wrote[i] = 0x5a00000000ull + (draw(4) ? ((uint64_t)getpid() << 12) + i : 1);
		*(volatile uint64_t *)page(i) = wrote[i];
	}
}

static void map(int from, int count)
{
	must(mmap(page(from), count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
		     MAP_FAILED,
	     "mmap");
	madvise(page(from), count * PAGE, MADV_HUGEPAGE);
	forget(from, count);
}

static void move(int from, int count)
{
	const int to = draw(TOTAL - count + 1);

	if (to < from + count && from < to + count)
		return;
	if (mremap(page(from), count * PAGE, count * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, page(to)) != MAP_FAILED)
		memmove(wrote + to, wrote + from, count * sizeof(*wrote));
	else /* It may have unmapped the target, and moved a part. */
		forget(to, count);
	forget(from, count);
}

static void migrate(int from, int count)
{
	void *pages[PAGES];
	int nodes[PAGES], status[PAGES], i, node = draw(2);

	for (i = 0; i < count; i++) {
		pages[i] = page(from + i);
		nodes[i] = node;
	}
	syscall(SYS_move_pages, 0, (unsigned long)count, pages, nodes, status, 4 /* MPOL_MF_MOVE_ALL */);
}

static void pin(int from, int count)
{
	struct iovec vector = { page(from), (count > 4 ? 4 : count) * PAGE };

	if (pinned < 8 && vmsplice(pipes[1], &vector, 1, SPLICE_F_NONBLOCK) > 0)
		pinned++;
}

static void unpin(void)
{
	static char buffer[64 * PAGE];

	if (read(pipes[0], buffer, sizeof(buffer)) < 0 && errno != EAGAIN)
		must(0, "read");
	pinned = 0;
}

static void live(void);

static int enter(int pid)
{
	int i;

	for (i = 0; i < MOST; i++)
		if (__sync_bool_compare_and_swap(&board->pid[i], 0, pid))
			return i;
	return -1;
}

static void born(void)
{
	int i;

	for (i = 0; i < MOST && board->pid[i] != getpid(); i++)
		;
	slot = i;
	luck = luck * 6364136223846793005ull + getpid();
	close(pipes[0]);
	close(pipes[1]);
	must(!pipe2(pipes, O_NONBLOCK), "pipe");
	pinned = 0;
	live();
}

/* The child must not run before it has a place, else a quiet point would miss it: the parent finds one with its pid. */
static void split(void)
{
	int gate[2];
	pid_t pid;
	char byte;

	must(!pipe(gate), "pipe");
	pid = fork();
	if (!pid) {
		close(gate[1]);
		if (read(gate[0], &byte, 1) != 1)
			_exit(0);
		close(gate[0]);
		born();
	}
	if (pid > 0 && enter(pid) >= 0) {
		must(write(gate[1], "", 1) == 1, "write");
		pid = 0;
	}
	close(gate[0]);
	close(gate[1]);
	if (pid > 0) /* no place: it ends, and with it its mappings */
		waitpid(pid, NULL, 0);
}

static void step_once(void)
{
	const int kind = draw(KINDS), from = draw(TOTAL);
	const int most = draw(4) ? 32 : PAGES;
	int count = 1 + draw(most);

	if (from + count > TOTAL)
		count = TOTAL - from;
	check(from, count);
	switch (kind) {
	case WRITE: fill(from, count); break;
	case FORK: split(); break;
	case UNMAP:
		munmap(page(from), count * PAGE);
		forget(from, count);
		break;
	case MAP: map(from, count); fill(from, count); break;
	case MOVE: move(from, count); break;
	case PROTECT: mprotect(page(from), count * PAGE, draw(2) ? PROT_READ : PROT_READ | PROT_WRITE); break;
	case DONTNEED: madvise(page(from), count * PAGE, MADV_DONTNEED); forget(from, count); break;
	case SWAP: madvise(page(from), count * PAGE, 21 /* MADV_PAGEOUT */); break;
	case LAZY: madvise(page(from), count * PAGE, 8 /* MADV_FREE */); forget(from, count); break;
	case MIGRATE: migrate(from, count); break;
	case MERGE: madvise(page(from), count * PAGE, MADV_MERGEABLE); break;
	case COLLAPSE: madvise(page(from / PAGES * PAGES), THP, 25 /* MADV_COLLAPSE */); break;
	case PIN: pin(from, count); break;
	case UNPIN: unpin(); break;
	}
	__atomic_fetch_add(&board->done[kind], 1, __ATOMIC_RELAXED);
}

static void live(void)
{
	for (;;) {
		if (board->over)
			break;
		if (board->stop) {
			board->parked[slot] = 1;
			while (board->stop && !board->over)
				usleep(2000);
			board->parked[slot] = 0;
			continue;
		}
		step_once();
		if (!draw(150)) {
			check(0, TOTAL);
			break;
		}
	}
	board->pid[slot] = -getpid();
	_exit(0);
}

/* Gone, or a zombie: it has no MM any more. */
static int is_gone(int pid)
{
	char path[40], text[256] = "";
	int file;
	ssize_t got;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = open(path, O_RDONLY);
	if (file < 0)
		return 1;
	got = read(file, text, sizeof(text) - 1);
	close(file);
	return got <= 0 || strstr(text, ") Z") || strstr(text, ") X");
}

/* Returns how many processes live, all parked. */
static int stand_still(void)
{
	int i, living, waiting;

	board->stop = 1;
	do {
		usleep(5000);
		for (i = living = waiting = 0; i < MOST; i++) {
			const int pid = board->pid[i];

			if (pid < 0 && is_gone(-pid)) {
				board->parked[i] = 0;
				board->pid[i] = 0;
			} else if (pid > 0 && is_gone(pid)) {
				board->wrong_data++;
				fprintf(stderr, "storm: process %d died\n", i);
				board->pid[i] = 0;
			} else if (pid) {
				living++;
				waiting += pid < 0 || !board->parked[i];
			}
		}
	} while (waiting);
	return living;
}

struct seen {
	uint64_t pfn;
	int pid;
};

struct state {
	uint32_t order;
	int32_t mapcount, entire;
	uint32_t shared;
};

static struct {
	long quiet, folios, several, mapcount, exclusive, shared;
} found;

static int by_frame(const void *a, const void *b)
{
	const struct seen *one = a, *other = b;

	return one->pfn < other->pfn ? -1 : one->pfn > other->pfn;
}

static size_t walk(struct seen *all)
{
	static uint64_t entries[TOTAL];
	size_t number = 0;
	char path[40];
	int i, at;

	for (i = 0; i < MOST; i++) {
		const int pid = board->pid[i];
		int file;

		if (pid <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
		file = open(path, O_RDONLY);
		must(file >= 0 && pread(file, entries, sizeof(entries), (uintptr_t)AREA / PAGE * 8) == sizeof(entries), path);
		close(file);
		for (at = 0; at < TOTAL; at++)
			if (entries[at] >> 63)
				all[number++] = (struct seen){ entries[at] & ((1ull << 55) - 1), pid };
	}
	qsort(all, number, sizeof(*all), by_frame);
	return number;
}

/* Returns what is wrong: 1 the number of mappings, 2 called one MM's, 4 called shared. */
static int judge(const struct state *state, long mappings, int several)
{
	const long counted = mappings - (long)state->entire * ((1 << state->order) - 1);

	return (counted != state->mapcount ? 1 : 0) | (several && !state->shared ? 2 : 0) |
	       (!several && state->shared ? 4 : 0);
}

/* What the walk before found wrong, by frame; a walk leaves of these what is wrong still. */
static struct suspect {
	uint64_t head;
	int bad;
} suspects[MOST * TOTAL];
static size_t suspected;

/* In which way the folio was wrong in the walk before; in the first one nothing is known, so in every way. */
static int suspicion(int first, uint64_t head)
{
	size_t i;

	for (i = 0; i < suspected; i++)
		if (suspects[i].head == head)
			return suspects[i].bad;
	return first ? ~0 : 0;
}

/* All large folios once; returns how many were wrong in this and in every walk since the first. The last one is counted. */
static size_t compare(int first, int last)
{
	static struct seen all[MOST * TOTAL];
	static struct suspect still[MOST * TOTAL];
	const size_t number = walk(all);
	const int file = open(STATE, O_RDONLY);
	size_t at = 0, left = 0;

	if (first)
		suspected = 0;
	must(file >= 0, STATE);
	while (at < number) {
		struct state state = { 0 };
		uint64_t head = all[at].pfn;
		int several = 0, bad;
		long mappings;
		size_t end;

		must(pread(file, &state, sizeof(state), head * sizeof(state)) == sizeof(state), STATE);
		head &= ~((1ull << state.order) - 1);
		for (end = at; end < number && all[end].pfn < head + (1ull << state.order); end++)
			several |= all[end].pid != all[at].pid;
		mappings = end - at;
		at = end;
		if (!state.order)
			continue;
		bad = judge(&state, mappings, several) & suspicion(first, head);
		if (bad)
			still[left++] = (struct suspect){ head, bad };
		if (last) {
			found.folios++;
			found.several += several;
			found.mapcount += bad & 1;
			found.exclusive += !!(bad & 2);
			found.shared += !!(bad & 4);
			if (bad & 3)
				fprintf(stderr, "storm: frame %llx order %u: %ld mappings%s; mapcount %d, %d entire, %s\n",
					(unsigned long long)head, state.order, mappings, several ? " of several MMs" : "",
					state.mapcount, state.entire, state.shared ? "shared" : "one MM's");
		}
	}
	close(file);
	memcpy(suspects, still, left * sizeof(*still));
	suspected = left;
	return left;
}

/* khugepaged and ksmd go on, or pause as soon as they are done with what they are at. */
static void daemons(int go)
{
	put(KNOBS "khugepaged/scan_sleep_millisecs", go ? "10" : "600000");
	put("/sys/kernel/mm/ksm/run", go ? "1" : "0");
}

static void quiet_point(void)
{
	int walks;

	stand_still();
	daemons(0);
	for (walks = 0; walks < 4 && compare(!walks, 0); walks++)
		usleep(50000);
	compare(0, 1);
	found.quiet++;
	daemons(1);
	board->stop = 0;
}

static void knobs(void)
{
	static const int sizes[] = { 16, 32, 64, 128, 256, 512, 1024, 2048 };
	char path[96];
	size_t i;

	put(KNOBS "enabled", "madvise");
	put(KNOBS "use_zero_page", "0");
	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		snprintf(path, sizeof(path), KNOBS "hugepages-%dkB/enabled", sizes[i]);
		put(path, "madvise");
	}
	put(KNOBS "khugepaged/alloc_sleep_millisecs", "10");
	put("/sys/kernel/mm/ksm/sleep_millisecs", "10");
	daemons(1);
}

/* Keep so many alive; whoever is born here begins with memory that nobody else has. */
static void populate(int processes)
{
	int i, living = 0;

	for (i = 0; i < MOST; i++)
		living += board->pid[i] > 0;
	for (; living < processes; living++) {
		int gate[2];
		pid_t pid;
		char byte;

		must(!pipe(gate), "pipe");
		pid = fork();
		must(pid >= 0, "fork");
		if (!pid) {
			close(gate[1]);
			if (read(gate[0], &byte, 1) != 1)
				_exit(0);
			close(gate[0]);
			map(0, TOTAL);
			fill(0, TOTAL);
			born();
		}
		if (enter(pid) >= 0)
			must(write(gate[1], "", 1) == 1, "write");
		close(gate[0]);
		close(gate[1]);
	}
}

static long done(void)
{
	long sum = 0;
	int kind;

	for (kind = 0; kind < KINDS; kind++)
		sum += __atomic_load_n(&board->done[kind], __ATOMIC_RELAXED);
	return sum;
}

int main(int argc, char **argv)
{
	const int seconds = argc > 1 ? atoi(argv[1]) : 0, processes = argc > 2 ? atoi(argv[2]) : 0;
	const time_t end = time(NULL) + seconds;
	int kind, slice;

	if (argc != 4 || seconds < 1 || processes < 1 || processes > MOST / 2)
		return 2;
	luck = strtoull(argv[3], NULL, 0) * 2862933555777941757ull + 3037000493ull;
	must(access(STATE, R_OK) == 0, STATE);
	board = shared_words(sizeof(*board));
	signal(SIGCHLD, SIG_IGN);
	must(!prctl(PR_SET_CHILD_SUBREAPER, 1), "PR_SET_CHILD_SUBREAPER");
	must(!pipe2(pipes, O_NONBLOCK), "pipe");
	knobs();
	do {
		/* Whoever filled its memory has hardly begun: a second is not much. */
		for (slice = 0; slice < 20; slice++) {
			populate(processes);
			usleep(200000);
		}
		quiet_point();
	} while (time(NULL) < end || done() < ENOUGH);
	board->over = 1;
	printf("quiet %ld folios %ld several %ld mapcount %ld exclusive %ld shared %ld data %d", found.quiet, found.folios,
	       found.several, found.mapcount, found.exclusive, found.shared, board->wrong_data);
	for (kind = 0; kind < KINDS; kind++)
		printf(" %s %ld", names[kind], board->done[kind]);
	printf("\n");
	return found.mapcount || found.exclusive || board->wrong_data;
}
