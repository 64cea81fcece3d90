#include "ring.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "record.h"

void ring_init(struct ring *r, size_t events_max, size_t bytes_max, uint64_t covered)
{
	memset(r, 0, sizeof(*r));
	r->cap = 1;
	while (r->cap < events_max)
		r->cap *= 2;
	r->slot = xcalloc(r->cap, sizeof(*r->slot));
	r->bytes_max = bytes_max;
	r->covered = covered;
}

static void ring_drop_first(struct ring *r)
{
	struct record *rec = ring_at(r, 0);

	r->covered = rec->item.id;
	r->bytes -= record_size(rec);
	r->first = (r->first + 1) & (r->cap - 1);
	r->n--;
	record_free(rec);
}

void ring_fini(struct ring *r)
{
	while (r->n)
		ring_drop_first(r);
	free(r->slot);
	r->slot = NULL;
}

void ring_push(struct ring *r, struct record *rec)
{
	assert(r->n == 0 || ring_at(r, r->n - 1)->item.id < rec->item.id);
	/* The newest always stays, whatever its size: it is about to be delivered from here. */
	while (r->n && (r->n == r->cap || r->bytes + record_size(rec) > r->bytes_max))
		ring_drop_first(r);
	r->slot[(r->first + r->n) & (r->cap - 1)] = rec;
	r->n++;
	r->bytes += record_size(rec);
}

void ring_insert(struct ring *r, struct record *rec)
{
	size_t at = ring_after(r, rec->item.id);

	if (rec->item.id <= r->covered || (at && ring_at(r, at - 1)->item.id == rec->item.id)) {
		record_free(rec);
		return;
	}
	while (r->n && (r->n == r->cap || r->bytes + record_size(rec) > r->bytes_max)) {
		ring_drop_first(r);
		at = at ? at - 1 : 0;
	}
	if (rec->item.id <= r->covered) {
		record_free(rec);
		return;
	}
	for (size_t i = r->n; i > at; i--)
		r->slot[(r->first + i) & (r->cap - 1)] = ring_at(r, i - 1);
	r->slot[(r->first + at) & (r->cap - 1)] = rec;
	r->n++;
	r->bytes += record_size(rec);
}

struct record *ring_at(const struct ring *r, size_t i)
{
	return r->slot[(r->first + i) & (r->cap - 1)];
}

size_t ring_after(const struct ring *r, uint64_t since)
{
	size_t lo = 0, hi = r->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (ring_at(r, mid)->item.id > since)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}
