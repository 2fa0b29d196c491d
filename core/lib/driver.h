/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Load on the schemes: race programs with a history, timed loops, counted instructions. For C and cffi. */

enum {
	RMAP_DO_MAP, RMAP_DO_UNMAP, RMAP_DO_DUP, RMAP_DO_REMAP, RMAP_DO_VERDICT, RMAP_DO_COW, RMAP_DO_PIN, RMAP_DO_UNPIN
};

struct rmap_record {
	uint64_t call;
	uint64_t ret;
	uint32_t worker;
	uint32_t op;
	uint32_t folio;
	uint32_t mm;
	int32_t nr;
	uint32_t answer;
};

struct rmap_stress {
	int scheme;
	int workers;
	int readers;
	int processes;
	int mms_each;
	int folios;
	uint32_t order;
	long ops;
	uint64_t seed;
	uint32_t jitter;
	double deadline;
};

enum { RMAP_STRESS_FAILED = -1, RMAP_STRESS_HANGS = -2 };

long rmap_stress_run(const struct rmap_stress *spec, void *folios, const void *mms, struct rmap_record *records,
		     long capacity, uint64_t *clock);

/*
 * What a scheme promises about its answers: numbers of the two verdicts, whose question, whether SHARED and a refused reuse are held to it,
 * and the largest mapcount for which; up to there no answer is "unknown".
 */
struct rmap_promise {
	int64_t trusted;
	int mms;
	int by_caller;
	int never_wrong;
	uint32_t exclusive;
	uint32_t shared;
};

enum { RMAP_LINEARIZE_FINE = -1, RMAP_LINEARIZE_LIMIT = -2 };

long rmap_linearize(const struct rmap_record *records, const uint32_t *by_return, long count,
		    const struct rmap_promise *promise);

enum { RMAP_LOOP_UPDATE, RMAP_LOOP_VERDICT, RMAP_LOOP_COW, RMAP_LOOP_ATOMIC_ADD, RMAP_LOOP_ASK_WHILE_UPDATED };

struct rmap_timed {
	int scheme;
	int loop;
	int threads;
	int cpus[2];
	int32_t nr;
	long count;
};

int rmap_time(const struct rmap_timed *spec, void *folio0, void *folio1, const void *mm0, const void *mm1, double *ns);

enum {
	RMAP_STREAM_REMAP, RMAP_STREAM_MUNMAP, RMAP_STREAM_FORK, RMAP_STREAM_COW, RMAP_STREAM_COW_REUSE,
	RMAP_STREAM_DONTNEED
};

double rmap_stream(int scheme, int stream, int batched, void *folios, long count, const void *parent, const void *child);

int rmap_steps(int scheme, int loop, int32_t nr, void *folio, const void *mm);
int rmap_small_path(int scheme, int unmap, void *folio, const void *mm, uint64_t *offsets, int capacity);
