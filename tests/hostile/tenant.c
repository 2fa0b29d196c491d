// SPDX-License-Identifier: MIT
/*
 * A tenant that obeys: one line in, one line "VALUE ERRNO" out, over the abstract socket named by argv[1].
 *
 * It makes memory whose truth the test knows because it asked for it. Statically linked and executed anew, it shares
 * nothing with who starts it. Numbers are C's; texts are hexadecimal, so that every byte can be said.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define WORDS 8
#define LINE 16384

static const char *home;
static int link_fd;

struct order {
	const char *verb;
	unsigned long n[WORDS];
	char text[LINE / 2];
};

static void connect_home(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	size_t length = strlen(home);

	memcpy(at.sun_path + 1, home, length);
	link_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (connect(link_fd, (void *)&at, offsetof(struct sockaddr_un, sun_path) + 1 + length))
		_exit(9);
}

static void answer(long value)
{
	char line[64];
	int length = snprintf(line, sizeof(line), "%ld %d", value, value == -1 ? errno : 0);

	if (send(link_fd, line, length, MSG_NOSIGNAL) != length)
		_exit(8);
}

static long touch(struct order *o)
{
	for (unsigned long at = o->n[0]; at < o->n[0] + o->n[1]; at += PAGE)
		*(volatile unsigned char *)at = o->n[2];
	return 0;
}

static long sum(struct order *o)
{
	long total = 0;

	for (unsigned long at = o->n[0]; at < o->n[0] + o->n[1]; at += PAGE)
		total += *(volatile unsigned char *)at;
	return total;
}

/* A reference from a pipe: no pin, but counted. */
static long splice_in(struct order *o)
{
	struct iovec piece = { (void *)o->n[0], o->n[1] };
	int ends[2];

	if (pipe(ends))
		return -1;
	fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
	return vmsplice(ends[1], &piece, 1, SPLICE_F_NONBLOCK);
}

/* A long-term pin (FOLL_PIN | FOLL_LONGTERM): io_uring's registered buffer. */
static long pin(struct order *o)
{
	struct io_uring_params params = { 0 };
	struct iovec piece = { (void *)o->n[0], o->n[1] };
	long ring = syscall(SYS_io_uring_setup, 1, &params);

	if (ring < 0)
		return -1;
	return syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &piece, 1) ? -1 : ring;
}

static int sleeper(void *stays)
{
	if (!stays)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

/* A process of the same MM; with n[0] (CLONE_VFORK) the caller's thread waits for its end, so another thread must obey;
 * with n[1] it stays when that thread ends, and the test has to end it. */
static long share_mm(struct order *o)
{
	char *stack = malloc(16 * PAGE);

	return stack ? clone(sleeper, stack + 16 * PAGE, CLONE_VM | SIGCHLD | (o->n[0] ? CLONE_VFORK : 0), (void *)o->n[1]) : -1;
}

static long become(struct order *o)
{
	if (syscall(SYS_setgroups, 0, NULL) || setgid(o->n[0]) || setuid(o->n[0]))
		return -1;
	return 0;
}

static long run(struct order *o)
{
	const char *verb = o->verb;
	unsigned long *n = o->n;

	if (!strcmp(verb, "map"))
		return (long)mmap((void *)n[0], n[1], n[2], n[3], (int)n[4], n[5]);
	if (!strcmp(verb, "unmap"))
		return munmap((void *)n[0], n[1]);
	if (!strcmp(verb, "advise"))
		return madvise((void *)n[0], n[1], n[2]);
	if (!strcmp(verb, "protect"))
		return mprotect((void *)n[0], n[1], n[2]);
	if (!strcmp(verb, "lock"))
		return mlock((void *)n[0], n[1]);
	if (!strcmp(verb, "write"))
		return touch(o);
	if (!strcmp(verb, "read"))
		return sum(o);
	if (!strcmp(verb, "memfd"))
		return memfd_create(o->text, n[0]);
	if (!strcmp(verb, "open"))
		return open(o->text, O_RDWR | O_CREAT, 0600);
	if (!strcmp(verb, "unlink"))
		return unlink(o->text);
	if (!strcmp(verb, "size"))
		return ftruncate(n[0], n[1]);
	if (!strcmp(verb, "close"))
		return close(n[0]);
	if (!strcmp(verb, "name"))
		return prctl(PR_SET_NAME, o->text);
	if (!strcmp(verb, "become"))
		return become(o);
	if (!strcmp(verb, "dumpable"))
		return prctl(PR_SET_DUMPABLE, n[0]);
	if (!strcmp(verb, "ignore"))
		return signal(n[0], SIG_IGN) == SIG_ERR ? -1 : 0;
	if (!strcmp(verb, "splice"))
		return splice_in(o);
	if (!strcmp(verb, "pin"))
		return pin(o);
	if (!strcmp(verb, "unshare"))
		return unshare(n[0]);
	if (!strcmp(verb, "share"))
		return share_mm(o);
	if (!strcmp(verb, "traceme"))
		return ptrace(PTRACE_TRACEME, 0, 0, 0);
	if (!strcmp(verb, "join"))
		return setns(n[0], n[1]);
	if (!strcmp(verb, "tid"))
		return syscall(SYS_gettid);
	errno = ENOSYS;
	return -1;
}

static void unhex(char *out, const char *in)
{
	for (; in[0] && in[1]; in += 2) {
		char pair[3] = { in[0], in[1], 0 };

		*out++ = strtoul(pair, NULL, 16);
	}
	*out = 0;
}

/* A line is VERB [=HEX] [NUMBER]... */
static void parse(struct order *o, char *line)
{
	char *rest, *word;
	int count = 0;

	memset(o, 0, sizeof(*o));
	o->verb = strtok_r(line, " ", &rest);
	while ((word = strtok_r(NULL, " ", &rest)) && count < WORDS) {
		if (word[0] == '=')
			unhex(o->text, word + 1);
		else
			o->n[count++] = strtoul(word, NULL, 0);
	}
}

static void obey(void);

static void *other_thread(void *vfork_first)
{
	(void)vfork_first;
	obey();
	return NULL;
}

/* What does not end with a plain answer of the same thread. */
static int odd(struct order *o)
{
	pthread_t thread;

	if (!strcmp(o->verb, "fork")) {
		long child = fork();

		if (!child) {
			close(link_fd);
			connect_home();
		}
		answer(child ? child : getpid());
	} else if (!strcmp(o->verb, "stop")) {
		answer(0);
		raise(SIGSTOP);
	} else if (!strcmp(o->verb, "leave")) { /* the first thread ends, the MM lives on in another */
		answer(0);
		pthread_create(&thread, NULL, other_thread, NULL);
		syscall(SYS_exit, 0);
	} else if (!strcmp(o->verb, "vfork")) { /* this thread waits for a child that never ends; another one obeys */
		struct order as_vfork = { .n = { 1 } };

		answer(0);
		pthread_create(&thread, NULL, other_thread, NULL);
		share_mm(&as_vfork);
		for (;;)
			pause();
	} else if (!strcmp(o->verb, "exec")) {
		answer(0);
		execl(o->text, o->text, home, NULL);
		_exit(7);
	} else if (!strcmp(o->verb, "exit")) {
		_exit(o->n[0]);
	} else {
		return 0;
	}
	return 1;
}

static void obey(void)
{
	static __thread char line[LINE];
	static __thread struct order o;

	for (;;) {
		ssize_t length = recv(link_fd, line, sizeof(line) - 1, 0);

		if (length <= 0)
			_exit(0);
		line[length] = 0;
		parse(&o, line);
		errno = 0;
		if (!odd(&o))
			answer(run(&o));
	}
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	home = argv[1];
	connect_home();
	answer(getpid());
	obey();
}
