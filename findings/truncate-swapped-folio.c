// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ftruncate() of shmem comes to an end, also where the new end of the file lies within a
 * large folio that is in swap, and what is below the new end stays.
 *
 * Where it does not, nothing ends it, SIGKILL neither: a CPU is lost until the next boot.
 * So this does nothing unless it is told --may-hang: run it in a guest. It needs swap, or
 * zram to make some.
 */
#include "look.h"
#include <sys/swap.h>

#define PAGES	32
#define LEFT	24	/* of which the second folio of 16 has 8 */
#define SIZE	(64UL << 20)
#define WAIT	20	/* seconds */

static void zram_swap(void)
{
	static uint32_t header[PAGE / sizeof(uint32_t)];
	char number[16] = "", path[64];
	int fd = open("/sys/class/zram-control/hot_add", O_RDONLY);

	if (fd < 0 || read(fd, number, sizeof(number) - 1) <= 0)
		skip("no swap, and no zram to make some");
	close(fd);
	snprintf(path, sizeof(path), "/sys/block/zram%d/disksize", atoi(number));
	fd = open(path, O_WRONLY);
	if (fd < 0 || dprintf(fd, "%lu", SIZE) < 0)
		skip("%s: %s", path, strerror(errno));
	close(fd);
	header[256] = 1;	/* the version, then the last page: union swap_header */
	header[257] = SIZE / PAGE - 1;
	memcpy((char *)header + PAGE - 10, "SWAPSPACE2", 10);
	snprintf(path, sizeof(path), "/dev/zram%d", atoi(number));
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, header, PAGE) != (ssize_t)PAGE)
		skip("%s: %s", path, strerror(errno));
	close(fd);
	if (swapon(path, 0))
		skip("swapon %s: %s", path, strerror(errno));
}

static int has_swap(void)
{
	char text[512];
	int fd = open("/proc/swaps", O_RDONLY), got = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	text[got > 0 ? got : 0] = 0;
	close(fd);
	return strchr(text, '\n') && strchr(text, '\n')[1];
}

int main(int argc, char **argv)
{
	char *memory;
	int fd, i, status = -1, ended = 0, wrong = 0;
	pid_t child;

	look_begin();
	if (argc < 2 || strcmp(argv[1], "--may-hang"))
		skip("a CPU may be lost until the next boot: --may-hang, in a guest");
	if (!has_swap())
		zram_swap();
	folios("shmem_enabled", 4);
	fd = memfd_create("file", 0);
	if (fd < 0 || ftruncate(fd, PAGES * PAGE))
		skip("memfd_create: %s", strerror(errno));
	memory = mmap((void *)0x100000000000UL, PAGES * PAGE, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
	madvise(memory, PAGES * PAGE, MADV_HUGEPAGE);
	for (i = 0; i < PAGES; i++)
		memory[i * PAGE] = 7;
	if (order(memory) != 4 || order(memory + 16 * PAGE) != 4)
		skip("no folios of order 4");
	drain();
	madvise(memory, PAGES * PAGE, MADV_PAGEOUT);
	if (present(memory) || present(memory + 16 * PAGE))
		skip("MADV_PAGEOUT left the pages mapped");
	child = fork();
	if (!child)
		_exit(!!ftruncate(fd, LEFT * PAGE));
	for (i = 0; i < WAIT * 10 && !ended; i++) {
		usleep(100000);
		ended = waitpid(child, &status, WNOHANG) == child;
	}
	if (!ended)
		kill(child, SIGKILL);
	expect(ended && !status, "ftruncate() ends within %d s", WAIT);
	if (!ended)
		return look_result;
	if (ftruncate(fd, PAGES * PAGE))
		skip("ftruncate: %s", strerror(errno));
	for (i = 0; i < PAGES; i++)
		wrong += memory[i * PAGE] != (i < LEFT ? 7 : 0);
	expect(!wrong, "pages below the new end stay, those beyond it are zeroes: %d are not so", wrong);
	return look_result;
}
