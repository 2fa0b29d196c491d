/* One page table as runs of pages on consecutive frames: pagemap read in large pieces, runs found as they come. */

#include <stdbool.h>
#include <unistd.h>

#include "room.h"
#include "look.h"

/* Documentation/admin-guide/mm/pagemap.rst */
#define PM_PFN ((1ULL << 55) - 1)
#define PM_MMAP_EXCLUSIVE (1ULL << 56)
#define PM_GUARD (1ULL << 58)
#define PM_FILE (1ULL << 61)
#define PM_SWAP (1ULL << 62)
#define PM_PRESENT (1ULL << 63)
#define PM_KEY (PM_PFN | PM_MMAP_EXCLUSIVE | PM_FILE | PM_PRESENT)

/* Swap types from SWAP_TYPES on are no swap device; the last one is a PTE marker. See procfs.SWAP_TYPE. */
#define SWAP_TYPE 31
#define SWAP_TYPES 23
#define SWAP_MARKER 31

/* Flags of a run, rows of `absent`: as in rmaplab.inspect.scan. */
enum { HUGE = 1, EXCLUSIVE = 2, IS_FILE = 4 };
enum { ZERO, SWAPPED, GUARD, MARKERS, ELSEWHERE };

/* Words read at once: 64 KiB, which stays in a core's cache until it is looked at. */
#define PIECE (1 << 13)
/* Reading that many empty entries costs less than another system call. */
#define JOIN_GAP 64

struct walk {
	const struct rmap_where *where;
	struct rmap_runs *out;
	int64_t *absent;
	int64_t vma;		/* of the page at hand */
	int64_t range;		/* the first that ends behind the page at hand */
	uint64_t key;		/* of the last page of the open run; 0: none is open */
};

static int more_runs(struct rmap_runs *out)
{
	int64_t room = rmap_more_room(out->room);

	if (RMAP_RESIZE(out->vpn, room) || RMAP_RESIZE(out->pfn, room) || RMAP_RESIZE(out->vma, room) ||
	    RMAP_RESIZE(out->pages, room) || RMAP_RESIZE(out->flags, room))
		return -ENOMEM;
	out->room = room;
	return 0;
}

static int add_slot(struct rmap_runs *out, int64_t vma, uint64_t slot)
{
	if (out->slots == out->slot_room) {
		int64_t room = rmap_more_room(out->slot_room);

		if (RMAP_RESIZE(out->slot_vma, room) || RMAP_RESIZE(out->slot, room))
			return -ENOMEM;
		out->slot_room = room;
	}
	out->slot_vma[out->slots] = vma;
	out->slot[out->slots++] = slot;
	return 0;
}

/* An entry with the swap bit; the last rule that fits counts, as in runs.what_is_not_present. */
static int not_present(struct walk *walk, uint64_t entry)
{
	unsigned int type = entry & SWAP_TYPE;
	int kind = entry & PM_GUARD ? GUARD : type == SWAP_MARKER ? MARKERS : type < SWAP_TYPES ? SWAPPED : ELSEWHERE;

	walk->absent[kind * walk->where->vmas + walk->vma]++;
	return kind == SWAPPED ? add_slot(walk->out, walk->vma, entry & PM_PFN) : 0;
}

static int open_run(struct walk *walk, uint64_t vpn, uint64_t key, bool huge)
{
	struct rmap_runs *out = walk->out;
	int64_t row = out->runs;

	if (row == out->room && more_runs(out))
		return -ENOMEM;
	out->vpn[row] = vpn;
	out->pfn[row] = key & PM_PFN;
	out->vma[row] = walk->vma;
	out->pages[row] = 1;
	out->flags[row] = (huge ? HUGE : 0) | (key & PM_MMAP_EXCLUSIVE ? EXCLUSIVE : 0) | (key & PM_FILE ? IS_FILE : 0);
	out->runs++;
	return 0;
}

/* Entries of the pages from `vpn` on. A run ends where flags or VMA change, and where PMD mappings begin and end. */
static int look_at(struct walk *walk, uint64_t vpn, const uint64_t *entries, int64_t count)
{
	const struct rmap_where *where = walk->where;

	for (int64_t n = 0; n < count; n++, vpn++) {
		uint64_t entry = entries[n], key = entry & PM_KEY;
		bool huge, cut = !walk->key || key != walk->key + 1;

		walk->key = 0;
		if (!entry)
			continue;
		while (walk->vma + 1 < where->vmas && where->vma_start[walk->vma + 1] <= vpn) {
			walk->vma++;
			cut = true;
		}
		while (walk->range < where->ranges && where->end[walk->range] <= vpn) {
			cut |= where->huge[walk->range];
			walk->range++;
		}
		huge = walk->range < where->ranges && where->huge[walk->range] && where->start[walk->range] <= vpn;
		if (huge && where->start[walk->range] == vpn)
			cut = true;
		if (entry & PM_SWAP && not_present(walk, entry))
			return -ENOMEM;
		if (!(entry & PM_PRESENT))
			continue;
		if (where->zero_pfn && (entry & PM_PFN) == where->zero_pfn) {
			walk->absent[ZERO * where->vmas + walk->vma]++;
			continue;
		}
		if (!cut)
			walk->out->pages[walk->out->runs - 1]++;
		else if (open_run(walk, vpn, key, huge))
			return -ENOMEM;
		walk->key = key;
	}
	return 0;
}

/* Up to `count` entries from page `vpn` on; how many were there to read, 0 where the process has no memory any more. */
static int64_t read_entries(int fd, uint64_t vpn, uint64_t *entries, int64_t count)
{
	ssize_t got;

	do {
		got = pread(fd, entries, count * sizeof(*entries), vpn * sizeof(*entries));
	} while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got / (ssize_t)sizeof(*entries);
}

/*
 * rmap_scan - append what a page table has from page `from` on
 * @fd: its pagemap, open
 * @most: entries after which to stop
 * @absent: pages a VMA that are no folio's: ABSENT rows of where->vmas counters, added to
 *
 * Returns the page to go on from, or 0 if nothing is left to read; -ESRCH where the process has no memory any more.
 */
int64_t rmap_scan(int fd, const struct rmap_where *where, uint64_t from, int64_t most, struct rmap_runs *out,
		  int64_t *absent)
{
	struct walk walk = { .where = where, .out = out, .absent = absent };
	uint64_t entries[PIECE];

	for (int64_t at = 0; at < where->ranges && where->vmas; at++) {
		uint64_t vpn = where->start[at], end = where->end[at];

		while (at + 1 < where->ranges && where->start[at + 1] <= end + JOIN_GAP)
			end = where->end[++at];
		for (vpn = vpn < from ? from : vpn; vpn < end;) {
			int64_t count = end - vpn < PIECE ? end - vpn : PIECE;
			int64_t got = most > 0 ? read_entries(fd, vpn, entries, count) : 0;

			if (most <= 0)
				return vpn;
			if (got <= 0)
				return got ? got : -ESRCH;
			if (look_at(&walk, vpn, entries, got))
				return -ENOMEM;
			vpn += got;
			most -= got + JOIN_GAP;
		}
		walk.key = 0;
	}
	return 0;
}
