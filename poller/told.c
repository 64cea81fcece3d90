#include "told.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

/* Where the id is, or would be. */
static size_t place(const struct told *t, uint64_t id)
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->ids[mid] < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool told_has(const struct told *t, uint64_t id)
{
	size_t i = place(t, id);

	return i < t->n && t->ids[i] == id;
}

static void told_drop(struct told *t, size_t i)
{
	t->n--;
	memmove(t->ids + i, t->ids + i + 1, (t->n - i) * sizeof(*t->ids));
}

void told_add(struct told *t, uint64_t id)
{
	size_t i;

	if (told_has(t, id))
		return;
	if (t->n == TOLD_MAX)
		told_drop(t, 0);
	if (t->n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 16;
		t->ids = xreallocarray(t->ids, t->cap, sizeof(*t->ids));
	}
	i = place(t, id);
	memmove(t->ids + i + 1, t->ids + i, (t->n - i) * sizeof(*t->ids));
	t->ids[i] = id;
	t->n++;
}

bool told_take(struct told *t, uint64_t id)
{
	if (!told_has(t, id))
		return false;
	told_drop(t, place(t, id));
	return true;
}

void told_fini(struct told *t)
{
	free(t->ids);
	*t = (struct told){0};
}
