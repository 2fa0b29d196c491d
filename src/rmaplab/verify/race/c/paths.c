// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * paths.c - what a thread does next, asked once for every sequence of values that its reads can return.
 */
#include <stdlib.h>
#include <string.h>

#include "explore.h"

/* Operations of a thread by the values it read: a node a operation, a child a value. */
struct node {
	struct op op;
	uint64_t key[2];
	struct ahead ahead;
	int child, sibling, known, error;
};

static struct node *nodes;
static int node_count, node_room;

void forget_paths(void)
{
	node_count = 0;
}

static int new_node(uint64_t a, uint64_t b)
{
	if (node_count == node_room) {
		node_room = node_room ? 2 * node_room : 4096;
		nodes = realloc(nodes, (size_t)node_room * sizeof(*nodes));
		if (!nodes)
			abort();
	}
	memset(&nodes[node_count], 0, sizeof(*nodes));
	nodes[node_count].key[0] = a;
	nodes[node_count].key[1] = b;
	nodes[node_count].child = nodes[node_count].sibling = -1;
	return node_count++;
}

static int child_of(int node, uint64_t a, uint64_t b)
{
	int c;

	for (c = nodes[node].child; c >= 0; c = nodes[c].sibling)
		if (nodes[c].key[0] == a && nodes[c].key[1] == b)
			return c;
	c = new_node(a, b);
	nodes[c].sibling = nodes[node].child;
	nodes[node].child = c;
	return c;
}

static struct node *here(const struct graph *g, int thread)
{
	const struct thread_state *t = &g->thread[thread];
	const int node = t->node;

	if (!nodes[node].known) {
		struct op op = { 0 };

		nodes[node].error = problem->next(thread, t->value, t->reads, t->ops, &op);
		nodes[node].op = op;
		nodes[node].known = 1;
	}
	return &nodes[node];
}

/* What @thread does next. */
const struct op *operation(const struct graph *g, int thread)
{
	const struct node *node = here(g, thread);

	if (node->error)
		fail(node->error);
	return &node->op;
}

/* The same on a way that it may never go. Return: can it be told? */
int forecast(const struct graph *g, int thread, struct op *op)
{
	const struct node *node = here(g, thread);

	*op = node->op;
	return !node->error;
}

struct ahead *ahead(const struct graph *g, int thread)
{
	return &here(g, thread)->ahead;
}

int first_path(void)
{
	return new_node(0, 0);
}

void step_to(struct graph *g, int thread, uint64_t a, uint64_t b)
{
	struct thread_state *t = &g->thread[thread];

	t->node = child_of(t->node, a, b);
	t->ops++;
}
