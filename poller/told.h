/*
 * Ids of control events (topic "_auth") that were told ahead of their turn, because a gap held up
 * what is before them. A small ordered set; no I/O. One thread owns it.
 */
#ifndef CMDB_TOLD_H
#define CMDB_TOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOLD_MAX 65536 /* past it the oldest is forgotten, and would be told again */

/* {0} is an empty one. */
struct told {
	uint64_t *ids; /* ascending */
	size_t n, cap;
};

bool told_has(const struct told *t, uint64_t id);
void told_add(struct told *t, uint64_t id);
bool told_take(struct told *t, uint64_t id); /* was it there? It is not any more. */
void told_fini(struct told *t);

#endif
