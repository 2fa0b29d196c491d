/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Several processes that do one thing at a time. All of them run the same text; what
 * stands behind BY(n) is done by process n while the others wait.
 */
#include <linux/userfaultfd.h>

#define PROCESSES	16
#define MARKS		4096

struct world {
	volatile int done, result;
	volatile pid_t leaving;
	volatile int given_up;
	pid_t first;
	volatile uint64_t frame[MARKS];
	struct look_knob knobs[64];
	int known, files[64];
};

static struct world *world;
static int me, at, goes_on_at, acts, advised_off = 1;
static int held[64][8], uffd;

#define BY(who) for (int turn_ = begin(who); turn_; turn_ = end())

/* Until step `number` is done. Nobody waits for a program that was given up, or killed. */
static void await(int number)
{
	while (world->done < number) {
		if (world->given_up)
			exit(world->given_up);
		if (kill(world->first, 0))
			_exit(SKIP);
		usleep(50);
	}
}

static void give_up(int code)
{
	world->given_up = code;
}

static int begin(int who)
{
	at++;
	acts = who;
	if (at <= goes_on_at)
		return 0;
	await(at - 1);
	if (who == me)
		return 1;
	await(at);
	return 0;
}

/* A child that just began is at its parent's step, which is not its own to end. */
static int end(void)
{
	if (me == acts) {
		drain();
		world->done = at;
	}
	return 0;
}

/* Every page is as it should be, unless something was said to be not ok. */
static void agree(int holds, const char *what)
{
	if (!holds) {
		printf("not ok: %s\n", what);
		world->result = 1;
	}
}

/* A child that is process `number`; it goes on behind its parent's block. */
static inline void child(int number)
{
	pid_t pid = fork();

	if (pid < 0)
		skip("fork: %s", strerror(errno));
	if (!pid) {
		me = number;
		for (int i = 0; i < 64; i++)
			for (int j = 0; j < 8; j++)
				if (held[i][j])
					close(held[i][j]);
		memset(held, 0, sizeof(held));
		if (uffd)
			close(uffd);
		uffd = 0;
		await(at);
		signal(SIGCHLD, SIG_IGN);
		prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	}
}

/* Process 0 waits until the one that leaves is gone, memory and all. */
static inline void leave(void)
{
	world->leaving = getpid();
	_exit(0);
}

static inline void gone(void)
{
	while (!world->leaving || !kill(world->leaving, 0)) {
		if (world->given_up)
			exit(world->given_up);
		waitpid(-1, NULL, WNOHANG);
		usleep(50);
	}
	world->leaving = 0;
}

#define LEAVE(who)							\
	do {								\
		at++;							\
		if (at <= goes_on_at)					\
			break;						\
		await(at - 1);						\
		if (me == (who))					\
			leave();					\
		if (!me) {						\
			gone();						\
			world->done = at;				\
		}							\
		await(at);						\
	} while (0)

static char **arguments;

/* A new address space: the same program, which goes on behind this. */
static inline void anew(void)
{
	char number[16], place[16];

	snprintf(number, sizeof(number), "%d", me);
	snprintf(place, sizeof(place), "%d", at);
	execl("/proc/self/exe", arguments[0], number, place, NULL);
	skip("exec: %s", strerror(errno));
}

/* While faults here get folios of this order; what is "" leaves the knobs alone. */
static inline void faults(const char *what, int want)
{
	if (*what)
		folios(what, want);
	prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
	advised_off = 0;
}

static inline void faults_over(void)
{
	if (!advised_off)
		prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	advised_off = 1;
}

/* A file that all processes have: it is made before the first of them is. */
static inline int world_file(int number, off_t length)
{
	if (goes_on_at)
		return world->files[number];
	int fd = memfd_create("file", 0);

	if (fd < 0 || ftruncate(fd, length))
		skip("memfd_create: %s", strerror(errno));
	world->files[number] = fd;
	return fd;
}

static inline int map(uintptr_t address, size_t length, int flags, int fd, off_t offset, int advice)
{
	void *got = mmap((void *)address, length, PROT_READ | PROT_WRITE, flags, fd, offset);

	if (got != (void *)address)
		skip("mmap at %#lx: %s", (unsigned long)address, strerror(errno));
	return advice ? madvise(got, length, advice) : 0;
}

/* Write one byte of each page; `want` of those that were there should be in other frames afterwards. */
static inline void write_pages(uintptr_t address, int pages, int value, int by_force, int want)
{
	int memory = by_force ? open("/proc/self/mem", O_RDWR | O_CLOEXEC) : -1;
	uint64_t *before = calloc((size_t)pages, sizeof(*before));
	char byte = (char)value, what[96];
	int i, copied = 0;

	for (i = 0; i < pages; i++) {
		before[i] = pfn((char *)address + i * PAGE);
		if (before[i] && flag(before[i], KPF_ZERO_PAGE))
			before[i] = 0;
	}
	for (i = 0; i < pages; i++) {
		volatile char *page = (char *)address + i * PAGE;

		if (!by_force)
			*page = byte;
		else if (pwrite(memory, &byte, 1, (off_t)(uintptr_t)page) != 1)
			skip("/proc/self/mem: %s", strerror(errno));
	}
	for (i = 0; i < pages; i++)
		copied += before[i] && pfn((char *)address + i * PAGE) != before[i];
	free(before);
	if (memory >= 0)
		close(memory);
	snprintf(what, sizeof(what), "%d pages were copied, not %d", copied, want);
	agree(copied == want, what);
}

static inline void read_pages(uintptr_t address, const unsigned char *want, int pages, int from_outside)
{
	char what[96];
	int i;

	for (i = 0; i < pages; i++) {
		unsigned char got = 0;
		struct iovec ours = { &got, 1 }, theirs = { (char *)address + i * PAGE, 1 };

		if (from_outside)
			agree(process_vm_readv(getpid(), &ours, 1, &theirs, 1, 0) == 1, "process_vm_readv");
		else
			got = *(volatile unsigned char *)theirs.iov_base;
		if (got != want[i]) {
			snprintf(what, sizeof(what), "page %d of what was read is %d, not %d", i, got, want[i]);
			agree(0, what);
		}
	}
}

/* Plain references: the pages stand in pipes that nobody reads. */
static inline void hold(int number, uintptr_t address, size_t length)
{
	size_t done, part;
	int ends[2], pipes = 0;

	for (; length; address += part, length -= part) {
		part = length < 256 * PAGE ? length : 256 * PAGE;
		if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) || fcntl(ends[1], F_SETPIPE_SZ, part) < 0)
			skip("pipe: %s", strerror(errno));
		for (done = 0; done < part;) {
			struct iovec pages = { (char *)address + done, part - done };
			ssize_t more = vmsplice(ends[1], &pages, 1, 0);

			if (more < 0)
				skip("vmsplice: %s", strerror(errno));
			done += (size_t)more;
		}
		close(ends[1]);
		held[number][pipes++] = ends[0];
	}
}

/* FOLL_PIN | FOLL_LONGTERM | FOLL_WRITE: a registered buffer of an io_uring. */
static inline int hold_longterm(int number, uintptr_t address, size_t length)
{
	unsigned char parameters[120] = { 0 };
	struct iovec pages = { (void *)address, length };
	int ring = (int)syscall(425, 1, parameters);

	if (ring < 0)
		skip("io_uring_setup: %s", strerror(errno));
	if (syscall(427, ring, 0, &pages, 1)) {
		close(ring);
		return -1;
	}
	held[number][0] = ring;
	held[number][7] = -1;
	return 0;
}

static inline void let_go(int number)
{
	if (held[number][7] == -1)
		syscall(427, held[number][0], 1, NULL, 0);
	held[number][7] = 0;
	for (int i = 0; i < 8 && held[number][i]; i++)
		close(held[number][i]);
	memset(held[number], 0, sizeof(held[number]));
}

static inline void migrate(uintptr_t address, size_t length, int all)
{
	syscall(237, address, length, 0, NULL, 0, all ? 4 : 2);
}

/* userfaultfd's write protection, which a write takes away without asking anybody (UFFD_FEATURE_WP_ASYNC, 6.7). */
static inline void track(uintptr_t address, size_t length, int protected)
{
	struct uffdio_api api = { .api = UFFD_API, .features = 1ULL << 15 };
	struct uffdio_register all = { .range = { address, length }, .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_writeprotect wanted = { .range = { address, length }, .mode = (unsigned int)protected };

	if (!uffd) {
		uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
		if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api))
			skip("userfaultfd: %s", strerror(errno));
	}
	agree(!ioctl(uffd, UFFDIO_REGISTER, &all), "UFFDIO_REGISTER should not be refused");
	agree(!ioctl(uffd, UFFDIO_WRITEPROTECT, &wanted), "UFFDIO_WRITEPROTECT should not be refused");
}

/* What pagemap and kpageflags should say of a run of pages. -1: nothing is said. */
struct pages {
	int process;
	uintptr_t address;
	int count, state, order, pmd, kind, exclusive, tracked, mark;
};

static const char *const kinds[] = { "anon", "file", "shmem", "ksm" };

static int kind_of(uint64_t frame)
{
	uint64_t first = head(frame);

	return flag(first, KPF_KSM) && !flag(first, KPF_ANON) ? 3 : flag(first, KPF_ANON) ? 0 : flag(first, KPF_SWAPBACKED) ? 2 : 1;
}

static void is_so(int holds, const struct pages *run, int i, const char *what, long live, long want)
{
	char text[160];

	if (holds)
		return;
	snprintf(text, sizeof(text), "process %d, page %#lx: %s is %ld, not %ld", run->process,
		 (unsigned long)(run->address + (size_t)i * PAGE), what, live, want);
	agree(0, text);
}

static void look_at(const struct pages *run)
{
	for (int i = 0; i < run->count; i++) {
		char *page = (char *)run->address + i * PAGE;
		int state = present(page) ? 1 : pagemap(page) & PM_GUARD ? 3 : swapped(page) ? 2 : 0;
		uint64_t frame = pfn(page);

		is_so(state == run->state, run, i, "state (0 nothing, 1 present, 2 swap, 3 guard)", state, run->state);
		is_so(!!(pagemap(page) & PM_UFFD_WP) == run->tracked, run, i, "tracked by userfaultfd",
		      !!(pagemap(page) & PM_UFFD_WP), run->tracked);
		if (state != 1 || run->state != 1)
			continue;
		if (run->exclusive >= 0)
			is_so(mmap_exclusive(page) == run->exclusive, run, i, "mmap-exclusive", mmap_exclusive(page), run->exclusive);
		if (run->mark >= 0) {
			volatile uint64_t *first = &world->frame[(run->mark + i) % MARKS];

			is_so(!*first || *first == frame, run, i, "the frame", (long)frame, (long)*first);
			*first = frame;
		}
		if (run->order < 0)
			continue;
		is_so(order(page) == run->order, run, i, "the folio's order", order(page), run->order);
		is_so(pmd_mapped(page) == run->pmd, run, i, "mapped by a PMD", pmd_mapped(page), run->pmd);
		if (kind_of(frame) != run->kind)
			printf("kind %s, not %s: ", kinds[kind_of(frame)], kinds[run->kind]);
		is_so(kind_of(frame) == run->kind, run, i, "the kind", kind_of(frame), run->kind);
	}
}

static void world_begin(char **argv)
{
	arguments = argv;
	if (argv[1]) {	/* behind an exec */
		int fd = atoi(getenv("WORLD"));

		world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		look_known = &world->known;
		look_knobs = world->knobs;
		look_give_up = give_up;
		me = atoi(argv[1]);
		goes_on_at = atoi(argv[2]);
		at = 0;
		prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
		world->done = goes_on_at;
		return;
	}
	look_begin();
	int fd = memfd_create("world", 0);
	char text[16];

	snprintf(text, sizeof(text), "%d", fd);
	setenv("WORLD", text, 1);
	if (fd < 0 || ftruncate(fd, sizeof(*world)))
		skip("memfd_create: %s", strerror(errno));
	world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	look_known = &world->known;
	look_knobs = world->knobs;
	world->first = getpid();
	look_give_up = give_up;
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}

/* The others end with the program; process 0 says what came out. */
static int world_end(void)
{
	if (me)
		_exit(0);
	while (waitpid(-1, NULL, 0) > 0)
		;
	printf(world->result ? "this kernel behaves otherwise\n" : "as expected\n");
	return world->result;
}
