#include "ids.h"

#include <stdlib.h>

#include "mem.h"

void ids_add(struct ids *l, uint64_t id)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 16;
		l->v = xreallocarray(l->v, l->cap, sizeof(*l->v));
	}
	l->v[l->n++] = id;
}

bool ids_has(const struct ids *l, uint64_t id)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i] == id)
			return true;
	return false;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

void ids_sort(struct ids *l)
{
	size_t kept = 0;
	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), by_number);
	for (size_t i = 0; i < l->n; i++)
		if (i == 0 || l->v[i] != l->v[kept - 1])
			l->v[kept++] = l->v[i];
	l->n = kept;
}

void ids_json(const uint64_t *v, size_t n, struct str *out)
{
	str_addc(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			str_addc(out, ',');
		str_addu(out, v[i]);
	}
	str_addc(out, ']');
}

void ids_fini(struct ids *l)
{
	free(l->v);
	*l = (struct ids){0};
}
