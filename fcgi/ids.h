/*
 * A growing list of row ids. {0} is an empty one; owned by whoever declared it.
 */
#ifndef CMDB_IDS_H
#define CMDB_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

struct ids {
	uint64_t *v;
	size_t n, cap;
};

void ids_add(struct ids *l, uint64_t id);
bool ids_has(const struct ids *l, uint64_t id);
void ids_sort(struct ids *l); /* ascending, each once */
/* Adds [1,2,3]. */
void ids_json(const uint64_t *v, size_t n, struct str *out);
void ids_fini(struct ids *l);

#endif
