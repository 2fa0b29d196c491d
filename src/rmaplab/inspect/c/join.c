/* Which frames are mapped by which runs: runs sorted by frame, then one walk over them with those that are open. */

#include <string.h>

#include "room.h"
#include "look.h"

#define DIGIT 11
#define BUCKETS (1 << DIGIT)

/* First frames of runs: uint32_t where they fit, which saves memory, else uint64_t. */
struct frames {
	const uint32_t *narrow;
	const uint64_t *wide;
};

static inline uint64_t frame_of(const struct frames *frames, int64_t run)
{
	return frames->narrow ? frames->narrow[run] : frames->wide[run];
}

struct open_runs {
	uint32_t *run;
	uint64_t *end;
	int64_t count;
	int64_t room;
};

/* Indices of runs in the order of their frames, equal ones as they come: by 11 bits at a time. */
static int sort_by_frame(const struct frames *frames, int64_t runs, uint32_t *order)
{
	uint32_t *other = malloc((runs + 1) * sizeof(*other)), *from = order, *to = other;
	uint64_t all = 0;

	if (!other)
		return -ENOMEM;
	for (int64_t n = 0; n < runs; n++) {
		order[n] = n;
		all |= frame_of(frames, n);
	}
	for (int shift = 0; shift < 64 && all >> shift; shift += DIGIT) {
		int64_t at[BUCKETS] = { 0 }, sum = 0;
		uint32_t *kept = from;

		for (int64_t n = 0; n < runs; n++)
			at[frame_of(frames, n) >> shift & (BUCKETS - 1)]++;
		for (int b = 0; b < BUCKETS; b++) {
			int64_t count = at[b];

			at[b] = sum;
			sum += count;
		}
		for (int64_t n = 0; n < runs; n++)
			to[at[frame_of(frames, from[n]) >> shift & (BUCKETS - 1)]++] = from[n];
		from = to;
		to = kept;
	}
	if (from != order)
		memcpy(order, from, runs * sizeof(*order));
	free(other);
	return 0;
}

static int push(struct open_runs *open, uint32_t run, uint64_t end)
{
	if (open->count == open->room) {
		int64_t room = rmap_more_room(open->room);

		if (RMAP_RESIZE(open->run, room) || RMAP_RESIZE(open->end, room))
			return -ENOMEM;
		open->room = room;
	}
	open->run[open->count] = run;
	open->end[open->count++] = end;
	return 0;
}

/* Runs that end at `frame` go; the others keep their order. */
static void close_at(struct open_runs *open, uint64_t frame)
{
	int64_t kept = 0;

	for (int64_t n = 0; n < open->count; n++) {
		if (open->end[n] == frame)
			continue;
		open->run[kept] = open->run[n];
		open->end[kept++] = open->end[n];
	}
	open->count = kept;
}

static uint64_t first_end(const struct open_runs *open, uint64_t limit)
{
	for (int64_t n = 0; n < open->count; n++)
		limit = open->end[n] < limit ? open->end[n] : limit;
	return limit;
}

static int make_room(struct rmap_join *out, int64_t rows)
{
	if (out->count + 1 >= out->room) {
		int64_t room = rmap_more_room(out->room);

		if (RMAP_RESIZE(out->start, room) || RMAP_RESIZE(out->pages, room) || RMAP_RESIZE(out->owners, room) ||
		    RMAP_RESIZE(out->ptr, room))
			return -ENOMEM;
		out->room = room;
	}
	while (out->rows + rows > out->row_room) {
		int64_t room = rmap_more_room(out->row_room);

		if (RMAP_RESIZE(out->extent, room))
			return -ENOMEM;
		out->row_room = room;
	}
	return 0;
}

/* One interval, mapped by the open runs. `seen`: by owner, one more than the interval that saw it last. */
static int emit(struct rmap_join *out, const struct open_runs *open, uint64_t first, uint64_t end,
		const uint32_t *owner, int64_t *seen)
{
	int64_t row = out->count;

	if (make_room(out, open->count))
		return -ENOMEM;
	out->start[row] = first;
	out->pages[row] = end - first;
	out->owners[row] = 0;
	out->ptr[row] = out->rows;
	out->count++;
	for (int64_t n = 0; n < open->count; n++) {
		uint32_t who = owner[open->run[n]];

		out->extent[out->rows++] = open->run[n];
		out->owners[row] += seen[who] != out->count;
		seen[who] = out->count;
	}
	return 0;
}

static int sweep(const struct frames *frames, const uint32_t *pages, const uint32_t *owner, int64_t runs, const uint32_t *order,
		 struct open_runs *open, int64_t *seen, struct rmap_join *out)
{
	uint64_t frame = 0;

	for (int64_t next = 0; next < runs || open->count;) {
		uint64_t end;

		if (!open->count)
			frame = frame_of(frames, order[next]);
		for (; next < runs && frame_of(frames, order[next]) == frame; next++)
			if (push(open, order[next], frame + pages[order[next]]))
				return -ENOMEM;
		end = first_end(open, next < runs ? frame_of(frames, order[next]) : UINT64_MAX);
		if (emit(out, open, frame, end, owner, seen))
			return -ENOMEM;
		close_at(open, end);
		frame = end;
	}
	return make_room(out, 0);
}

/*
 * rmap_join_runs - cut the frames of all runs into intervals
 * @narrow: their first frames, or NULL
 * @wide: the same, if not narrow
 * @owner: of each run, whose page table it is in
 *
 * O(runs + rows). Returns 0.
 */
int64_t rmap_join_runs(const uint32_t *narrow, const uint64_t *wide, const uint32_t *pages, const uint32_t *owner,
		       int64_t runs, struct rmap_join *out)
{
	struct frames frames = { narrow, wide };
	struct open_runs open = { 0 };
	uint32_t *order = malloc((runs + 1) * sizeof(*order)), owners = 0;
	int64_t *seen;
	int failed;

	for (int64_t n = 0; n < runs; n++)
		owners = owner[n] >= owners ? owner[n] + 1 : owners;
	seen = calloc(owners + 1, sizeof(*seen));
	failed = !order || !seen ? -ENOMEM : sort_by_frame(&frames, runs, order);
	if (!failed)
		failed = sweep(&frames, pages, owner, runs, order, &open, seen, out);
	if (!failed)
		out->ptr[out->count] = out->rows;
	free(open.run);
	free(open.end);
	free(order);
	free(seen);
	return failed;
}
