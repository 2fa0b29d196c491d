/* The folios behind page frames: kpageflags read as few words at a time as answer the question, each costs 100 ns. */

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "room.h"
#include "look.h"

/* include/uapi/linux/kernel-page-flags.h */
#define KPF_COMPOUND_HEAD (1ULL << 15)
#define KPF_COMPOUND_TAIL (1ULL << 16)

/* Folios are naturally aligned: one of up to 512 pages lies within an aligned block of so many. */
#define BLOCK_ORDER 9
#define BLOCK (1LL << BLOCK_ORDER)

struct reader {
	int fd;
	struct rmap_folios *out;
	int64_t known;		/* the frame whose word is `word`; -1: none. Blocks in a row ask for each other's first. */
	uint64_t word;
	int64_t done;		/* frames before this one are in folios that were added */
};

/* The words of frames [first, first + count); 0 beyond the end of memory. */
static int read_words(struct reader *reader, int64_t first, int64_t count, uint64_t *words)
{
	size_t wanted = count * sizeof(*words), have = 0;

	while (have < wanted) {
		ssize_t got = pread(reader->fd, (char *)words + have, wanted - have, first * sizeof(*words) + have);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		have += got;
	}
	memset((char *)words + have, 0, wanted - have);
	return 0;
}

static int read_word(struct reader *reader, int64_t pfn)
{
	int failed = reader->known == pfn ? 0 : read_words(reader, pfn, 1, &reader->word);

	reader->known = failed ? -1 : pfn;
	return failed;
}

static int add(struct reader *reader, int64_t head, unsigned int order, uint64_t flags, int64_t end)
{
	struct rmap_folios *out = reader->out;

	if (out->count == out->room) {
		int64_t room = rmap_more_room(out->room);

		if (RMAP_RESIZE(out->head, room) || RMAP_RESIZE(out->flags, room) || RMAP_RESIZE(out->order, room))
			return -ENOMEM;
		out->room = room;
	}
	out->head[out->count] = head;
	out->flags[out->count] = flags;
	out->order[out->count++] = order;
	reader->done = end;
	return 0;
}

/* The order of a folio of so many pages; rounded down where one was split or freed while it was read. */
static unsigned int order_of(int64_t pages)
{
	return 63 - __builtin_clzll(pages);
}

/* A folio beyond its block: head and end by the first words of the blocks around it. */
static int add_wide(struct reader *reader, int64_t block, uint64_t flags)
{
	int64_t head = block, end = block;
	int failed;

	while (!(failed = read_word(reader, head)) && reader->word & KPF_COMPOUND_TAIL && head)
		head -= BLOCK;
	while (!failed && (end += BLOCK, !(failed = read_word(reader, end))) && reader->word & KPF_COMPOUND_TAIL)
		;
	return failed ? failed : add(reader, head, order_of(end - head), flags, end);
}

/* Whether a folio of exactly PMD order begins here: the page half-way is a tail, the one behind it is none. Adds it. */
static int add_pmd_sized(struct reader *reader, int64_t block)
{
	uint64_t flags;
	int failed = read_word(reader, block);

	flags = reader->word;
	if (failed || !(flags & KPF_COMPOUND_HEAD))
		return failed;
	if ((failed = read_word(reader, block + BLOCK / 2)) || !(reader->word & KPF_COMPOUND_TAIL))
		return failed;
	if ((failed = read_word(reader, block + BLOCK)) || reader->word & KPF_COMPOUND_TAIL)
		return failed;
	return add(reader, block, BLOCK_ORDER, flags, block + BLOCK);
}

/* The rest of the block around `words`, which are those of frames [low, high). */
static int whole_block(struct reader *reader, int64_t block, int64_t low, int64_t high, uint64_t *words)
{
	int failed = read_words(reader, block, low - block, words);

	return failed ? failed : read_words(reader, high, block + BLOCK - high, words + (high - block));
}

/* The folios of frames [low, high) of one block. Compound pages are told by the words around them. */
static int add_block(struct reader *reader, int64_t low, int64_t high)
{
	int64_t block = low & -BLOCK;
	uint64_t words[BLOCK], compound = 0;
	int failed = read_words(reader, low, high - low, words + (low - block));

	for (int64_t pfn = low; pfn < high; pfn++)
		compound |= words[pfn - block];
	if (compound & (KPF_COMPOUND_HEAD | KPF_COMPOUND_TAIL) && !failed)
		failed = whole_block(reader, block, low, high, words);
	for (int64_t pfn = low; pfn < high && !failed; pfn++) {
		int64_t head = pfn - block, end = head + 1;
		uint64_t flags = words[head];

		if (pfn < reader->done)
			continue;
		if (!(flags & (KPF_COMPOUND_HEAD | KPF_COMPOUND_TAIL))) {
			failed = add(reader, pfn, 0, flags, pfn + 1);
			continue;
		}
		while (head && words[head] & KPF_COMPOUND_TAIL)
			head--;
		while (end < BLOCK && words[end] & KPF_COMPOUND_TAIL)
			end++;
		if (end == BLOCK)
			failed = read_word(reader, block + BLOCK);
		if (failed)
			break;
		if (words[head] & KPF_COMPOUND_TAIL || (end == BLOCK && reader->word & KPF_COMPOUND_TAIL))
			failed = add_wide(reader, block, flags);
		else
			failed = add(reader, block + head, order_of(end - head), flags, block + end);
	}
	return failed;
}

/*
 * rmap_find_folios - every folio that has a frame in one of the spans [low, high), from frame `from` on
 * @fd: /proc/kpageflags, open
 * @most: folios after which to stop, at the end of a block
 *
 * Spans ascend and do not overlap. Returns the frame to go on from, or 0 if nothing is left to read.
 */
int64_t rmap_find_folios(int fd, const int64_t *low, const int64_t *high, int64_t spans, int64_t from, int64_t most,
			 struct rmap_folios *out)
{
	struct reader reader = { .fd = fd, .out = out, .known = -1, .done = from };
	int64_t before = 0, behind = spans;

	while (before < behind) {
		int64_t middle = (before + behind) / 2;

		if (high[middle] <= from)
			before = middle + 1;
		else
			behind = middle;
	}
	for (int64_t at = before; at < spans; at++) {
		for (int64_t pfn = low[at]; pfn < high[at];) {
			int64_t end = (pfn & -BLOCK) + BLOCK;
			int failed = 0;

			if (pfn < reader.done) {
				pfn = reader.done;
				continue;
			}
			if (out->count >= most)
				return pfn;
			if (!(pfn & (BLOCK - 1)) && end <= high[at]) {
				failed = add_pmd_sized(&reader, pfn);
				if (!failed && pfn < reader.done)
					continue;
			}
			end = end < high[at] ? end : high[at];
			if (failed || (failed = add_block(&reader, pfn, end)))
				return failed;
			pfn = end;
		}
	}
	return 0;
}

void rmap_free(void *column)
{
	free(column);
}
