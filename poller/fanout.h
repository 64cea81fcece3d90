/*
 * What is released goes to those who wait for it: an event is matched once per group that may want
 * it, and a body rendered once for all groups it comes out the same for. Who is held back by the
 * pace of a view (pace.h) is left waiting, and goes on by itself from there. The loop thread's.
 */
#ifndef CMDB_FANOUT_H
#define CMDB_FANOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hub;
struct record;

/* Answers all parked waiters that want one of the records. cursor: where that brings them. is_late:
 * the records lie behind it. */
void fanout(
	struct hub *hub, struct record *const *records, size_t n, uint64_t cursor, bool is_late);

#endif
