/*
 * What a look at the machine reads and joins, a row a run of pages: page tables (pagemap), folios (kpageflags), and who
 * maps which frames. For rmaplab.inspect.fast; cffi reads this file too: declarations only.
 *
 * Include <stdint.h> first. Every function returns 0 or more, or a negative errno. Columns grow by realloc(3); the caller frees each of them.
 */

/* Runs of pages of one page table on consecutive frames, `runs` rows; its pages in swap, `slots` rows. */
struct rmap_runs {
	uint64_t *vpn;
	uint64_t *pfn;
	uint32_t *vma;
	uint32_t *pages;
	uint8_t *flags;
	int64_t runs;
	int64_t room;
	uint32_t *slot_vma;
	uint64_t *slot;
	int64_t slots;
	int64_t slot_room;
};

/* Where to read: pages [start, end) ascending, some mapped by PMDs; first pages of the VMAs; the zero page's frame or 0. */
struct rmap_where {
	const uint64_t *start;
	const uint64_t *end;
	const uint8_t *huge;
	int64_t ranges;
	const uint64_t *vma_start;
	int64_t vmas;
	uint64_t zero_pfn;
};

/* Folios, ascending by head; `flags`: the KPF_* bits of the first page asked for. */
struct rmap_folios {
	uint64_t *head;
	uint64_t *flags;
	uint8_t *order;
	int64_t count;
	int64_t room;
};

/* Maximal runs of frames that the same runs of pages map: rows ptr[i] to before ptr[i + 1] of `extent` map interval i. */
struct rmap_join {
	int64_t *start;
	uint32_t *pages;
	uint32_t *owners;
	int64_t *ptr;
	int64_t count;
	int64_t room;
	uint32_t *extent;
	int64_t rows;
	int64_t row_room;
};

int64_t rmap_scan(int fd, const struct rmap_where *where, uint64_t from, int64_t most, struct rmap_runs *out,
		  int64_t *absent);
int64_t rmap_find_folios(int fd, const int64_t *low, const int64_t *high, int64_t spans, int64_t from, int64_t most,
			 struct rmap_folios *out);
int64_t rmap_join_runs(const uint32_t *narrow, const uint64_t *wide, const uint32_t *pages, const uint32_t *owner,
		       int64_t runs, struct rmap_join *out);
void rmap_free(void *column);
