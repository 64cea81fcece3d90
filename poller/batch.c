#include "batch.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

struct batch *batch_new(const struct stream_view *row)
{
	struct batch *b = xcalloc(1, sizeof(*b));

	b->row = row;
	return b;
}

void batch_add(struct batch *b, const struct event_row *e, struct slice entry)
{
	if (b->row->pace->newest_n && b->n == b->row->pace->newest_n) {
		struct str oldest = b->entries[0];

		b->bytes -= oldest.len;
		memmove(b->entries, b->entries + 1, (b->n - 1) * sizeof(*b->entries));
		str_clear(&oldest);
		b->entries[--b->n] = oldest;
	} else if (b->n == b->cap) {
		b->cap = b->cap ? b->cap * 2 : 16;
		b->entries = xreallocarray(b->entries, b->cap, sizeof(*b->entries));
		memset(b->entries + b->n, 0, (b->cap - b->n) * sizeof(*b->entries));
	}
	b->row->shape->put_entry(&b->entries[b->n], e, entry);
	b->bytes += b->entries[b->n++].len;
}

void batch_drop(struct batch *b, uint64_t id)
{
	/* Commits are in the order of ids but for a few. */
	if (!b->dropped_n || id < b->dropped_from)
		b->dropped_from = id;
	if (!b->dropped_n || id > b->dropped_to)
		b->dropped_to = id;
	b->dropped_n++;
}

static size_t pieces(const struct batch *b, size_t size)
{
	return (b->n + size - 1) / size;
}

static size_t batch_size_of(const struct batch *b)
{
	return b->row->pace->batch_max ? b->row->pace->batch_max : b->n + 1;
}

size_t batch_packets(const struct batch *b)
{
	return pieces(b, batch_size_of(b)) + (b->dropped_n > 0);
}

static void put_piece(const struct batch *b, size_t from, size_t n,
	void (*put)(struct slice args, void *arg), void *arg)
{
	struct str entries = STR_INIT, args = STR_INIT;

	for (size_t i = from; i < from + n; i++) {
		if (i > from)
			str_addc(&entries, ',');
		str_add(&entries, b->entries[i].p, b->entries[i].len);
	}
	b->row->shape->put_batch(&args, (struct slice){str_c(&entries), entries.len}, n);
	put((struct slice){args.p, args.len}, arg);
	str_fini(&entries);
	str_fini(&args);
}

void batch_put(
	const struct batch *b, size_t most, void (*put)(struct slice args, void *arg), void *arg)
{
	size_t size = batch_size_of(b);
	struct str args = STR_INIT;

	if (b->dropped_n && most > 1)
		most--;
	if (pieces(b, size) > most)
		size = (b->n + most - 1) / most;
	for (size_t i = 0; i < b->n; i += size)
		put_piece(b, i, b->n - i < size ? b->n - i : size, put, arg);
	if (!b->dropped_n)
		return;
	b->row->shape->put_dropped(&args, b->dropped_n, b->dropped_from, b->dropped_to);
	put((struct slice){args.p, args.len}, arg);
	str_fini(&args);
}

void batch_free(struct batch *b)
{
	for (size_t i = 0; i < b->cap; i++)
		str_fini(&b->entries[i]);
	free(b->entries);
	free(b);
}
