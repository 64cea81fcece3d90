/*
 * The most recent released events, ascending by id, bounded in number and bytes. Complete: every
 * event with covered < id <= tail that exists is in it. The loop thread's.
 */
#ifndef CMDB_RING_H
#define CMDB_RING_H

#include "record.h"

struct ring {
	struct record **slot; /* a power of two of them */
	size_t cap, first, n;
	size_t bytes, bytes_max;
	uint64_t covered;
};

/* events_max is rounded up to a power of two. */
void ring_init(struct ring *r, size_t events_max, size_t bytes_max, uint64_t covered);
void ring_fini(struct ring *r);
/* Takes the record; its id is above all others. May free old ones. */
void ring_push(struct ring *r, struct record *rec);
/* Takes a record that belongs before the newest. One that is there already, or before all that is,
 * is freed: the table has it. */
void ring_insert(struct ring *r, struct record *rec);
struct record *ring_at(const struct ring *r, size_t i); /* 0 is the oldest; borrowed */
/* Index of the first record with an id above `since`; n if there is none. */
size_t ring_after(const struct ring *r, uint64_t since);

#endif
