// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * record.c - run a thread up to its next operation, with values given for what it read so far.
 *
 * Dependencies are found by trying: the thread runs again with one bit of one earlier value turned over. If the store then has another
 * value, it depends on that read by data; if it is not reached at all, by control. What is not found is not claimed, which only makes
 * the model weaker; a store that a compiler could move before the branch, because both arms do it, depends on nothing.
 */
#include <setjmp.h>
#include <string.h>

#include "program.h"

enum { TRACE = 192, ROUNDS = 3 };

struct recorded {
	struct op op;
	const void *site;
	const volatile void *address;
	int changes; /* stores another value than was there */
};

/* One run: values to return, and the operations made. */
static struct {
	const u64 *value;
	int reads, wanted, count, used, error, spun, complete, lenient, thread, rounds, floor;
	const u64 *final; /* memory at the end, read when the values given are used up */
	struct recorded trace[TRACE];
} run;

static jmp_buf leave;
static const struct program *program;
static int dependencies;
int race_seen[THREADS * 4];

int race_thread(void)
{
	return run.thread;
}

static int location_of(const volatile void *p, int size)
{
	int l;

	for (l = 0; l < LOCATIONS && program->word[l].address; l++)
		if (program->word[l].address == p && (program->word[l].size == size || size == 16))
			return l;
	run.error = 6;
	longjmp(leave, 1);
}

static u64 mask_of(int size)
{
	return size >= 8 ? ~0ull : (1ull << (8 * size)) - 1;
}

/* Back at a read, with nothing stored since: another round of waiting. */
static int again(const void *site, const volatile void *p)
{
	int i;

	for (i = run.count - 1; i >= run.floor && !run.trace[i].changes; i--)
		if (run.trace[i].site == site && run.trace[i].address == p)
			return 1;
	return 0;
}

static struct recorded *enter(int kind, int function, int row, const volatile void *p, int size, const void *site)
{
	struct recorded *r = &run.trace[run.count];

	if (run.count == TRACE) {
		run.error = 7;
		longjmp(leave, 1);
	}
	memset(r, 0, sizeof(*r));
	r->op.kind = kind;
	r->op.function = function;
	r->op.row = row;
	r->op.loc = p ? location_of(p, size) : 0;
	r->op.mask = mask_of(size);
	r->op.wide = size == 16;
	r->site = site;
	r->address = p;
	if (kind != OP_WRITE && kind != OP_FENCE && again(site, p)) {
		if (!run.final || run.rounds == ROUNDS) {
			r->op.kind = OP_SPIN;
			run.spun = 1;
			run.count++;
			longjmp(leave, 1);
		}
		run.rounds++;
		run.floor = run.count;
	}
	run.count++;
	return r;
}

/* Stop here if this is the operation that was asked for. */
static void stop_if_wanted(void)
{
	if (run.count == run.wanted + 1)
		longjmp(leave, 1);
}

static u64 next_value(int loc)
{
	if (run.used < run.reads)
		return run.value[run.used++];
	if (run.final)
		return run.final[loc];
	if (!run.lenient) {
		run.error = 8;
		longjmp(leave, 1);
	}
	return 0;
}

static noinline u64 rmw(int function, volatile void *p, int size, int row, u64 value, const void *site)
{
	struct recorded *r = enter(OP_RMW, function, row, p, size, site);
	u64 old, new;

	r->op.value[0] = value & r->op.mask;
	stop_if_wanted();
	old = next_value(r->op.loc) & r->op.mask;
	new = (function == FN_ADD ? old + value : function == FN_OR ? old | value : old & value) & r->op.mask;
	r->changes = old != new;
	return old;
}

noinline u64 record_read(const volatile void *p, int size, int row)
{
	const struct recorded *r = enter(OP_READ, 0, row, p, size, __builtin_return_address(0));

	stop_if_wanted();
	return next_value(r->op.loc);
}

noinline void record_write(volatile void *p, int size, int row, u64 value)
{
	struct recorded *r = enter(OP_WRITE, 0, row, p, size, __builtin_return_address(0));

	r->op.value[0] = value & r->op.mask;
	r->changes = 1;
	stop_if_wanted();
}

noinline u64 record_add(volatile void *p, int size, int row, u64 value)
{
	return rmw(FN_ADD, p, size, row, value, __builtin_return_address(0));
}

noinline u64 record_or(volatile void *p, int size, int row, u64 value)
{
	return rmw(FN_OR, p, size, row, value, __builtin_return_address(0));
}

noinline u64 record_and(volatile void *p, int size, int row, u64 value)
{
	return rmw(FN_AND, p, size, row, value, __builtin_return_address(0));
}

noinline int record_cas(volatile void *p, int size, int row, u64 expect, u64 value, u64 *seen)
{
	struct recorded *r = enter(OP_CAS, 0, row, p, size, __builtin_return_address(0));

	r->op.value[0] = value & r->op.mask;
	r->op.expect[0] = expect & r->op.mask;
	stop_if_wanted();
	*seen = next_value(r->op.loc);
	r->changes = *seen == r->op.expect[0] && *seen != r->op.value[0];
	return *seen == r->op.expect[0];
}

noinline struct rmap_u128 record_read128(struct rmap_u128 *p)
{
	const struct recorded *r = enter(OP_READ, 0, ROW_READ128, p, 16, __builtin_return_address(0));
	struct rmap_u128 out;

	stop_if_wanted();
	out.lo = next_value(r->op.loc);
	out.hi = next_value(r->op.loc + 1);
	return out;
}

noinline int record_cas128(struct rmap_u128 *p, struct rmap_u128 *old, struct rmap_u128 value)
{
	struct recorded *r = enter(OP_CAS, 0, ROW_CMPXCHG128, p, 16, __builtin_return_address(0));
	int done;

	r->op.value[0] = value.lo;
	r->op.value[1] = value.hi;
	r->op.expect[0] = old->lo;
	r->op.expect[1] = old->hi;
	stop_if_wanted();
	old->lo = next_value(r->op.loc);
	old->hi = next_value(r->op.loc + 1);
	done = old->lo == r->op.expect[0] && old->hi == r->op.expect[1];
	r->changes = done;
	return done;
}

noinline void record_fence(int row)
{
	enter(OP_FENCE, 0, row, 0, 8, __builtin_return_address(0));
	stop_if_wanted();
}

static void start(int thread)
{
	if (!setjmp(leave)) {
		program->thread[thread]();
		run.complete = 1;
	}
}

static void prepare(int thread, const u64 *value, int reads, int wanted, int lenient)
{
	run.value = value;
	run.reads = reads;
	run.wanted = wanted;
	run.lenient = lenient;
	run.thread = thread;
	run.count = run.used = run.error = run.spun = run.complete = run.rounds = run.floor = 0;
	run.final = 0;
}

static void go(int thread, const u64 *value, int reads, int wanted, int lenient)
{
	prepare(thread, value, reads, wanted, lenient);
	start(thread);
}

static int same_place(const struct recorded *a, const struct recorded *b)
{
	return a->site == b->site && a->address == b->address && a->op.kind == b->op.kind;
}

/* In the run just made: does the store happen (wherever), and with the same values? Return: 0 not, 1 with others, 2 alike. */
static int happens(const struct recorded *store)
{
	int i;

	for (i = 0; i < run.count; i++)
		if (same_place(&run.trace[i], store)) {
			const struct op *a = &run.trace[i].op, *b = &store->op;

			return memcmp(a->value, b->value, sizeof(a->value)) || memcmp(a->expect, b->expect, sizeof(a->expect))
				       ? 1
				       : 2;
		}
	return 0;
}

static void find_dependencies(int thread, const u64 *value, int reads, int ops, struct op *op)
{
	const struct recorded store = run.trace[ops];
	u64 other[READS];
	int r, bit;

	memcpy(other, value, (size_t)reads * sizeof(u64));
	for (r = 0; r < reads; r++) {
		const u64 me = 1ull << r;

		for (bit = 0; bit < 64 && !(op->data & me && op->ctrl & me); bit++) {
			int how;

			other[r] = value[r] ^ 1ull << bit;
			go(thread, other, reads, TRACE, 1);
			how = happens(&store);
			if (how == 0)
				op->ctrl |= me;
			if (how == 1)
				op->data |= me;
		}
		other[r] = value[r];
	}
}

int race_select(int number)
{
	program = race_program(number);
	return program ? program->threads : 0;
}

int race_wants_dependencies(int wanted)
{
	dependencies = wanted;
	return wanted;
}

int race_next(int thread, const uint64_t *value, int reads, int ops, struct op *op)
{
	go(thread, value, reads, ops, 0);
	if (run.error)
		return run.error;
	if (run.complete) {
		op->kind = OP_DONE;
		return 0;
	}
	*op = run.trace[run.count - 1].op;
	if (dependencies && (op->kind == OP_WRITE || op->kind == OP_RMW || op->kind == OP_CAS))
		find_dependencies(thread, value, reads, ops, op);
	return 0;
}

int race_forever(int thread, const uint64_t *value, int reads, int ops, const uint64_t *final)
{
	int i;

	prepare(thread, value, reads, TRACE, 0);
	run.final = final;
	start(thread);
	for (i = ops; i < run.count; i++)
		if (run.trace[i].changes)
			return 0;
	return run.spun;
}

unsigned race_judge(const struct graph *g, const uint64_t *final, unsigned stuck)
{
	int t;

	if (stuck)
		return 1u << WAITS & program->mask;
	memset(race_seen, 0, sizeof(race_seen));
	for (t = 0; t < program->threads; t++)
		go(t, g->thread[t].value, g->thread[t].reads, TRACE, 0);
	return program->check(final) & program->mask;
}
