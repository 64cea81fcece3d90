/*
 * Casts (CAST, wire.h): an event that is kept nowhere, to the sockets of a tenant or room. Up to
 * CAST_AT_ONCE sessions in a room are told at once; more, by an errand (errand.h), which goes on
 * though nobody waits for its answer.
 *
 * What one can make the poller hold: its args, WIRE_CAST_MAX, once for all (shared.h), and for each
 * socket that has not fetched it a hundred bytes or two; of a session that does not fetch, at most
 * CAST_QUEUE_MAX packets. Past that, or past the bounds of session_queue.h, the session is skipped:
 * nobody loses a connection, or anything else, for what is told in passing.
 */
#ifndef CMDB_CASTING_H
#define CMDB_CASTING_H

#include "wire.h"

#define CAST_QUEUE_MAX 200
#define CAST_AT_ONCE 64

struct conn;
struct hub;

/* A CAST frame. */
void cast_begin(struct conn *c, const struct wire_frame *f);
/* One that was sent on another host; one that may not be sent is not. */
void cast_carry(struct hub *hub, uint32_t tenant_id, const char *room, struct slice args);

#endif
