/*
 * Events that came behind the tail, since the transaction that held their ids was given up: whoever
 * was past them gets them all the same. The loop thread's.
 *
 * A waiter of /events that is held gets them at once. One that is between two requests has a cursor
 * past them, which does not tell it from those that got them, so what is released next brings them
 * to everybody once more; and who comes back only after that is told to read anew. To a session
 * between two GETs they are queued. They go into the ring at their place, for cursors before them.
 */
#ifndef CMDB_LATE_H
#define CMDB_LATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"

#define LATE_MAX 1024 /* that are remembered; the oldest goes */
#define LATE_BYTES_MAX (16u * 1024 * 1024)

struct hub;
struct group;

struct late_event {
	struct record *record; /* a copy */
	uint64_t after;        /* the tail when it came */
};

/* {0} is an empty one. */
struct late {
	struct late_event *events;
	size_t n, bytes;
	size_t fresh_n; /* the last of them: nothing was released since */
};

/* Takes the records, ascending by id. */
void late_came(struct hub *hub, struct record **records, size_t n);
/* What is released goes out: records, n of them, and before them what came late since the last
 * time. */
void late_fanout(struct hub *hub, struct record *const *records, size_t n);
/* May a waiter that has all up to since have missed one for good? */
bool late_missed(const struct hub *hub, const struct group *g, uint64_t since);
void late_fini(struct late *late); /* empties it */

#endif
