// SPDX-License-Identifier: GPL-2.0
/*
 * count - a QEMU plugin that counts what a guest executes between two marks.
 *
 * A program of the guest marks the beginning by "xchg %rbx,%rbx" and the end by "xchg %rcx,%rcx", which change nothing and which
 * no compiler emits. For every pair one line "INSTRUCTIONS LOCKED ADDRESS:INSTRUCTIONS:LOCKED..." goes to the file that the
 * argument out= names: how many in all, and in each 16 bytes of text (hexadecimal) in which any was executed. Locked are
 * instructions with a LOCK prefix, and exchanges with memory, which lock without one. All CPUs of the guest are counted together:
 * it has one.
 *
 * The declarations are those of QEMU's plugin interface, version 1 (QEMU 6.0 to 8.x; documented in its manual under "TCG
 * plugins"). They stand here because Debian's package has no header.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct qemu_info_t qemu_info_t;
enum inline_op { INLINE_ADD_U64 };
enum registers_used { NO_REGISTERS };

extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
						  void (*cb)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb));
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
						   void (*cb)(unsigned int cpu, void *data),
						   enum registers_used flags, void *data);
extern void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, enum inline_op op, void *at,
						       uint64_t add);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t number);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

struct count {
	uint64_t executed, locked;
};

static struct count all, all_before;
static FILE *out;

/*
 * By address, 16 bytes of text together (functions begin at multiples of that): a hash table with open addressing. Full: what
 * comes then is counted, and nobody knows where.
 */
#define PLACES (1u << 18)
#define TOGETHER 15ull
static struct place {
	uint64_t address;
	struct count now, before;
} places[PLACES];

static struct place *place(uint64_t address)
{
	unsigned int at = address * 0x9e3779b97f4a7c15ull >> 46, tries;

	for (tries = 0; tries < PLACES; tries++, at = (at + 1) % PLACES) {
		if (!places[at].address)
			places[at].address = address;
		if (places[at].address == address)
			return &places[at];
	}
	return NULL;
}

static void begin(unsigned int cpu, void *data)
{
	unsigned int at;

	(void)cpu;
	(void)data;
	all_before = all;
	for (at = 0; at < PLACES; at++)
		places[at].before = places[at].now;
}

static void tell(const char *before, const struct count *from, const struct count *to, const char *between)
{
	fprintf(out, "%s%llu%s%llu", before, (unsigned long long)(to->executed - from->executed), between,
		(unsigned long long)(to->locked - from->locked));
}

static void end(unsigned int cpu, void *data)
{
	unsigned int at;

	(void)cpu;
	(void)data;
	tell("", &all_before, &all, " ");
	for (at = 0; at < PLACES; at++)
		if (places[at].now.executed != places[at].before.executed) {
			fprintf(out, " %llx", (unsigned long long)places[at].address);
			tell(":", &places[at].before, &places[at].now, ":");
		}
	fprintf(out, "\n");
	fflush(out);
}

static bool is_prefix(uint8_t byte)
{
	return byte == 0x66 || byte == 0x67 || byte == 0xf0 || byte == 0xf2 || byte == 0xf3 || byte == 0x2e ||
	       byte == 0x36 || byte == 0x3e || byte == 0x26 || byte == 0x64 || byte == 0x65;
}

static bool locks(const uint8_t *byte, size_t size)
{
	size_t at = 0;

	for (; at < size && is_prefix(byte[at]); at++)
		if (byte[at] == 0xf0)
			return true;
	if (at < size && (byte[at] & 0xf0) == 0x40)
		at++;
	/* xchg with memory: a ModRM byte that names no register */
	return at + 1 < size && (byte[at] == 0x86 || byte[at] == 0x87) && byte[at + 1] >> 6 != 3;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	static const uint8_t first[] = { 0x48, 0x87, 0xdb }, last[] = { 0x48, 0x87, 0xc9 };
	const size_t count = qemu_plugin_tb_n_insns(tb);
	size_t number;

	(void)id;
	for (number = 0; number < count; number++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, number);
		const uint8_t *data = qemu_plugin_insn_data(insn);
		const size_t size = qemu_plugin_insn_size(insn);

		struct place *here = place(qemu_plugin_insn_vaddr(insn) & ~TOGETHER);
		struct count *counts[] = { &all, here ? &here->now : NULL };
		size_t which;

		for (which = 0; which < 2 && counts[which]; which++) {
			qemu_plugin_register_vcpu_insn_exec_inline(insn, INLINE_ADD_U64, &counts[which]->executed, 1);
			if (locks(data, size))
				qemu_plugin_register_vcpu_insn_exec_inline(insn, INLINE_ADD_U64, &counts[which]->locked,
									   1);
		}
		if (size == sizeof(first) && !memcmp(data, first, size))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, begin, NO_REGISTERS, NULL);
		if (size == sizeof(last) && !memcmp(data, last, size))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, end, NO_REGISTERS, NULL);
	}
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
								char **argv)
{
	int i;

	(void)info;
	for (i = 0; i < argc; i++)
		if (!strncmp(argv[i], "out=", 4))
			out = fopen(argv[i] + 4, "w");
	if (!out)
		return 1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
