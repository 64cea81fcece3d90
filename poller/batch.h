/*
 * What one answer brings of a paced view: its entries, rendered, until the answer is finished, and
 * how many it leaves out. Bounded by the body that it is of (body.h). The loop thread's.
 */
#ifndef CMDB_BATCH_H
#define CMDB_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "str.h"
#include "stream.h"

struct batch {
	const struct stream_view *row;
	struct str *entries;
	size_t n, cap, bytes;
	uint64_t dropped_n, dropped_from, dropped_to; /* entries; their least and greatest id */
	struct batch *next;
};

struct batch *batch_new(const struct stream_view *row);
/* Past the newest so many of the view, the oldest goes. */
void batch_add(struct batch *b, const struct event_row *e, struct slice entry);
void batch_drop(struct batch *b, uint64_t id); /* the entry is left out */
size_t batch_packets(const struct batch *b);
/* Calls put for the inside of each packet; there are not more than most (at least one, and one for
 * what is left out), however large that makes them. */
void batch_put(
	const struct batch *b, size_t most, void (*put)(struct slice args, void *arg), void *arg);
void batch_free(struct batch *b);

#endif
