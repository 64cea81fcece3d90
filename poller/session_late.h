/*
 * Events that came behind the tail (late.h), for sessions: one whose GET is held gets them by the
 * fan-out; to any other, what its cursor has passed is queued. The loop thread's.
 */
#ifndef CMDB_SESSION_LATE_H
#define CMDB_SESSION_LATE_H

#include <stddef.h>

struct hub;
struct record;

/* Ascending by id. May close sessions. */
void sessions_late(struct hub *hub, struct record *const *records, size_t n);

#endif
