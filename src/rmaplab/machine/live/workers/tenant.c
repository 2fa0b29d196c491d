// A process that shares its memory with the one that made it: vfork() and clone(CLONE_VM), told what to do over a socket.
//
// For worker.py, which loads this with ctypes: the interpreter cannot run twice in one address space, so the child runs this
// loop instead, on a stack of its own. It answers the same requests as worker.py, by the same system calls; exec makes an
// ordinary worker of it, fork another one that runs this loop. Everything a process owns (socket, pins) stands on its stack:
// static memory is the address space's. Not a server for anybody else: the coordinator has checked every argument.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096L
#define STACK (256 * 1024L)
#define PINS 256
#define PAGES_A_PIPE 256L
#define THP (1u << 31)
#define HELLO 0x524D4150
#define URING_PARAMS 120
#define UNREGISTER_BUFFERS 1
#define WP_ASYNC (1ULL << 15)	/* UFFD_FEATURE_WP_ASYNC, which older headers lack */

/* As in wire.py. */
enum op {
	OP_MMAP = 1, OP_MUNMAP, OP_MREMAP, OP_MPROTECT, OP_MADVISE, OP_READ, OP_WRITE, OP_FORK, OP_EXEC, OP_EXIT,
	OP_PIN, OP_UNPIN, OP_DIE, OP_PIN_LONGTERM, OP_PEEK, OP_POKE, OP_MIGRATE, OP_VFORK, OP_CLONE_VM,
	OP_DIRECT, OP_MLOCK, OP_MUNLOCK,
	OP_THP_DISABLE, OP_PROCESS_MADVISE, OP_UFFD_WP,
};

struct request {
	uint32_t op;
	int64_t arg[6];
} __attribute__((packed));

struct answer {
	int32_t error;
	int64_t value;
	double seconds;
	uint32_t size;
} __attribute__((packed));

struct pin {
	int64_t key;
	int fd;
	int ring;
};

struct tenant {
	int channel;
	int fd;			/* rode on the request in hand, -1 if none */
	int pinned;
	int uffd;		/* 0 if there is none: that is never one */
	char *scratch;		/* a page never touched */
	char *payload;		/* of the answer in hand, or NULL */
	size_t size;
	struct pin pins[PINS];
};

static char python[4096], script[4096];

long tenant_start(int fd, long flags);

/**
 * tenant_prepare() - What exec runs from now on, in this address space and its copies.
 * @interpreter: path of the Python interpreter
 * @worker: path of worker.py
 */
void tenant_prepare(const char *interpreter, const char *worker)
{
	strncpy(python, interpreter, sizeof(python) - 1);
	strncpy(script, worker, sizeof(script) - 1);
}

static int send_all(int channel, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t sent = send(channel, at, size, MSG_NOSIGNAL);

		if (sent <= 0)
			return -1;
		at += sent;
		size -= sent;
	}
	return 0;
}

static int say(struct tenant *t, int error, int64_t value, double seconds)
{
	struct answer answer = { error, value, seconds, t->payload ? t->size : 0 };

	if (send_all(t->channel, &answer, sizeof(answer)))
		return -1;
	return t->payload ? send_all(t->channel, t->payload, t->size) : 0;
}

/* A whole request, and the descriptor that rides on it. */
static int listen_for(struct tenant *t, struct request *request)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} extra;
	struct iovec iov = { request, sizeof(*request) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &extra,
				  .msg_controllen = sizeof(extra) };
	ssize_t got = recvmsg(t->channel, &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;

	t->fd = -1;
	if (header && header->cmsg_type == SCM_RIGHTS)
		memcpy(&t->fd, CMSG_DATA(header), sizeof(int));
	while (got > 0 && got < (ssize_t)sizeof(*request)) {
		ssize_t more = recv(t->channel, (char *)request + got, sizeof(*request) - got, 0);

		got = more > 0 ? got + more : -1;
	}
	return got > 0 ? 0 : -1;
}

static int64_t page_loop(struct tenant *t, const struct request *r)
{
	volatile char *memory = (volatile char *)r->arg[0];
	int64_t pages = r->arg[1] / PAGE;
	int mem = r->op == OP_POKE ? open("/proc/self/mem", O_RDWR | O_CLOEXEC) : -1;
	char value = (char)r->arg[2];
	int64_t i, done = 1;

	if (r->op == OP_POKE && mem < 0)
		return -1;
	if (r->op == OP_READ || r->op == OP_PEEK) {
		t->size = pages;
		t->payload = mmap(NULL, t->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (t->payload == MAP_FAILED) {
			t->payload = NULL;
			return -1;
		}
	}
	for (i = 0; i < pages && done > 0; i++) {
		struct iovec into = { t->payload + i, 1 }, from = { (void *)(memory + i * PAGE), 1 };

		if (r->op == OP_READ)
			t->payload[i] = memory[i * PAGE];
		else if (r->op == OP_WRITE)
			memory[i * PAGE] = value;
		else if (r->op == OP_PEEK)
			done = process_vm_readv(getpid(), &into, 1, &from, 1, 0);
		else
			done = pwrite(mem, &value, 1, (off_t)(memory + i * PAGE));
	}
	if (mem >= 0)
		close(mem);
	return done > 0 ? pages : -1;
}

static int remember(struct tenant *t, int64_t key, int fd, int ring)
{
	if (t->pinned == PINS) {
		close(fd);
		errno = EMFILE;
		return -1;
	}
	t->pins[t->pinned++] = (struct pin){ key, fd, ring };
	return 0;
}

/* Give back the pins under @key, or all if it is -1. A ring gives back its pages when it is told to, not when closed. */
static void unpin(struct tenant *t, int64_t key)
{
	int i, left = 0;

	for (i = 0; i < t->pinned; i++) {
		if (key >= 0 && t->pins[i].key != key) {
			t->pins[left++] = t->pins[i];
			continue;
		}
		if (t->pins[i].ring)
			syscall(SYS_io_uring_register, t->pins[i].fd, UNREGISTER_BUFFERS, NULL, 0);
		close(t->pins[i].fd);
	}
	t->pinned = left;
}

static int splice_pages(struct tenant *t, int64_t key, char *address, long length)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return -1;
	if (fcntl(ends[1], F_SETPIPE_SZ, length) < 0)
		goto fail;
	while (length) {
		struct iovec iov = { address, length };
		ssize_t done = vmsplice(ends[1], &iov, 1, 0);

		if (done < 0)
			goto fail;
		address += done;
		length -= done;
	}
	close(ends[1]);
	return remember(t, key, ends[0], 0);
fail:
	close(ends[0]);
	close(ends[1]);
	return -1;
}

static int64_t pin(struct tenant *t, const struct request *r)
{
	char *address = (char *)r->arg[0];
	long length = r->arg[1], part;

	for (; length; address += part, length -= part) {
		part = length < PAGES_A_PIPE * PAGE ? length : PAGES_A_PIPE * PAGE;
		if (splice_pages(t, r->arg[2], address, part)) {
			int error = errno;

			unpin(t, r->arg[2]);
			errno = error;
			return -1;
		}
	}
	return r->arg[1] / PAGE;
}

static int64_t pin_longterm(struct tenant *t, const struct request *r)
{
	char params[URING_PARAMS] = { 0 };
	struct iovec iov = { (void *)r->arg[0], r->arg[1] };
	int ring = syscall(SYS_io_uring_setup, 1, params);

	if (ring < 0)
		return -1;
	if (syscall(SYS_io_uring_register, ring, 0, &iov, 1) < 0) {
		int error = errno;

		close(ring);
		errno = error;
		return -1;
	}
	return remember(t, r->arg[2], ring, 1) ? -1 : r->arg[1] / PAGE;
}

static int64_t map(const struct tenant *t, const int64_t *a)
{
	void *got = mmap((void *)a[0], a[1], (int)a[2], (int)a[3], t->fd, a[5]);

	if (got == MAP_FAILED || (a[4] && madvise(got, a[1], (int)a[4])))
		return -1;
	return (int64_t)got;
}

/* The descriptor is a file opened with O_DIRECT: the kernel pins the pages and the device writes them. */
static int64_t direct(const struct tenant *t, void *address, long length)
{
	ssize_t got = pread(t->fd, address, length, 0);

	if (got >= 0 && got < length)
		errno = EIO;
	return got == length ? length / PAGE : -1;
}

/* The descriptor is a process: the advice is for its memory. */
static int64_t advise_other(const struct tenant *t, void *address, long length, int advice)
{
	struct iovec iov = { address, length };

	return syscall(SYS_process_madvise, t->fd, &iov, 1, advice, 0);
}

/* Nobody reads the descriptor: a write clears the protection of its page and goes on. */
static int64_t uffd_wp(struct tenant *t, const int64_t *a)
{
	struct uffdio_api api = { .api = UFFD_API, .features = WP_ASYNC };
	struct uffdio_register all = { .range = { a[0], a[1] }, .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_writeprotect wanted = { .range = { a[0], a[1] }, .mode = a[2] };

	if (!t->uffd) {
		int uffd = syscall(SYS_userfaultfd, O_CLOEXEC);

		if (uffd < 0)
			return -1;
		if (ioctl(uffd, UFFDIO_API, &api)) {
			int error = errno;

			close(uffd);
			errno = error;
			return -1;
		}
		t->uffd = uffd;
	}
	if (ioctl(t->uffd, UFFDIO_REGISTER, &all) || ioctl(t->uffd, UFFDIO_WRITEPROTECT, &wanted))
		return -1;
	return a[1] / PAGE;
}

/* Drop what is not this process's: the other's socket and pins. */
static void only(int fd)
{
	if (fd > 3)
		syscall(SYS_close_range, 3, fd - 1, 0);
	syscall(SYS_close_range, fd + 1, ~0U, 0);
}

static void greet(struct tenant *t)
{
	int pid = getpid();

	t->payload = (char *)&pid;
	t->size = sizeof(pid);
	say(t, 0, HELLO, 0.0);
	t->payload = NULL;
}

/* Returns twice: the child's pid, and 0 in the child, a copy of everything, which has said hello. */
static int64_t fork_it(struct tenant *t)
{
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (pid == 0) {
		t->channel = t->fd;
		t->fd = -1;
		t->pinned = t->uffd = 0;
		only(t->channel);
		greet(t);
	}
	return pid;
}

static int64_t execute(struct tenant *t)
{
	char number[16], *end = number + sizeof(number) - 1;
	int left = t->channel;
	char *arguments[] = { python, "-I", "-S", script, NULL, NULL };

	unpin(t, -1);
	fcntl(t->channel, F_SETFD, 0);
	for (*end = 0; left || !*end; left /= 10)
		*--end = '0' + left % 10;
	arguments[4] = end;
	return execve(python, arguments, environ);
}

static int64_t perform(struct tenant *t, const struct request *r)
{
	int64_t a[6];
	void *address;

	memcpy(a, r->arg, sizeof(a));
	address = (void *)a[0];
	switch (r->op) {
	case OP_MMAP:
		return map(t, a);
	case OP_MUNMAP:
		return munmap(address, a[1]);
	case OP_MREMAP:
		return (int64_t)mremap(address, a[1], a[2], (int)a[3], (void *)a[4]);
	case OP_MPROTECT:
		return mprotect(address, a[1], (int)a[2]);
	case OP_MADVISE:
		return madvise(address, a[1], (int)a[2]);
	case OP_MLOCK:
		return mlock(address, a[1]);
	case OP_MUNLOCK:
		return munlock(address, a[1]);
	case OP_THP_DISABLE:
		return prctl(PR_SET_THP_DISABLE, a[0], 0, 0, 0);
	case OP_PROCESS_MADVISE:
		return advise_other(t, address, a[1], (int)a[2]);
	case OP_UFFD_WP:
		return uffd_wp(t, a);
	case OP_READ:
	case OP_WRITE:
	case OP_PEEK:
	case OP_POKE:
		return page_loop(t, r);
	case OP_MIGRATE:
		return syscall(SYS_mbind, address, a[1], 0, NULL, 0, a[2]);
	case OP_DIRECT:
		return direct(t, address, a[1]);
	case OP_FORK:
		return fork_it(t);
	case OP_VFORK:
	case OP_CLONE_VM:
		return tenant_start(t->fd, CLONE_VM | (r->op == OP_VFORK ? CLONE_VFORK : 0));
	case OP_EXEC:
		return execute(t);
	case OP_PIN:
		return pin(t, r);
	case OP_PIN_LONGTERM:
		return pin_longterm(t, r);
	case OP_UNPIN:
		unpin(t, a[0]);
		return 0;
	case OP_DIE:
		return kill(getpid(), SIGKILL);
	}
	errno = ENOSYS;
	return -1;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec * 1e-9;
}

static void answer(struct tenant *t, struct request *r)
{
	int thp = !!(r->op & THP), error;
	double start;
	int64_t value;

	r->op &= ~THP;
	/* As worker.py does: what a process that is gone left in this CPU's LRU batches is no reference of the next operation. */
	madvise(t->scratch, PAGE, MADV_COLD);
	if (thp)
		prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
	start = now();
	value = perform(t, r);
	error = value == -1 ? errno : 0;
	start = now() - start;
	if (thp)
		prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	if (r->op == OP_FORK && value == 0)
		return;
	madvise(t->scratch, PAGE, MADV_COLD);
	if (t->fd >= 0)
		close(t->fd);
	if (say(t, error, value, start))
		_exit(0);
	if (t->payload)
		munmap(t->payload, t->size);
	t->payload = NULL;
}

static int serve(void *start)
{
	struct tenant t = { .scratch = start };
	struct request request;

	memcpy(&t.channel, (char *)start + PAGE, sizeof(t.channel));
	only(t.channel);
	greet(&t);
	while (!listen_for(&t, &request)) {
		if (request.op == OP_EXIT)
			break;
		answer(&t, &request);
	}
	unpin(&t, -1);
	_exit(0);
}

/**
 * tenant_start() - Start a process that shares this address space and serves the socket @fd.
 * @fd: its socket
 * @flags: CLONE_VM, or CLONE_VM | CLONE_VFORK: then this returns once the child has called exec or ended
 *
 * The stack is never unmapped: who ends on it cannot, and nobody else knows when. Its lowest page stays untouched, the next
 * one carries @fd.
 *
 * Return: the child's pid, or -1 with errno.
 */
long tenant_start(int fd, long flags)
{
	char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (stack == MAP_FAILED)
		return -1;
	memcpy(stack + PAGE, &fd, sizeof(fd));
	return clone(serve, stack + STACK, flags | SIGCHLD, stack);
}
