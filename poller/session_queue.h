/*
 * What is kept for a session's client until it is fetched, and how much of that.
 *
 * Bounds, in bytes: what a client was not given yet (socketio.queue_bytes), the rows among that
 * (WIRE_BODIES_MAX), and what is kept for all of them (socketio.memory_bytes). Past the first two
 * the session starts anew: its client is told, by `resync`. Past the last, those do whose clients
 * have fetched nothing for longest, until there is room. The loop thread's.
 */
#ifndef CMDB_SESSION_QUEUE_H
#define CMDB_SESSION_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"

struct body;
struct packets;
struct session;
struct shared;
struct sock;

/* Adds packets, joined by 0x1e, to what the client gets next. false: its queue is full, and it was
 * closed. */
bool session_queue(struct session *s, const void *packets, size_t len);
/* The same with all that is in `from`, which is empty afterwards. */
bool session_queue_all(struct session *s, struct packets *from);
/* An event packet to a socket: args as in OP_EMIT; its offset is `offset`. */
bool session_emit(struct session *s, struct sock *k, struct slice args, uint64_t offset, bool ack);
/* The same with args that others get, too. */
bool session_emit_shared(struct session *s, struct sock *k, struct shared *args, uint64_t offset);
/* The same with a topic's rows, to the socket in "/": what was queued of them before is taken out,
 * and they do not count against the queue's bound. */
bool session_emit_rows(struct session *s, struct sock *k, struct shared *args, uint64_t offset,
	struct slice topic);
/* What is queued goes with the answer that is made now: what is to be in it, as packets; NULL:
 * nothing. More than may go at once stays queued. */
struct body *session_take(struct session *s);
void session_arrived(struct session *s);    /* what was in flight */
void session_fetched(struct session *s);    /* a GET has come */
void session_throw_away(struct session *s); /* all that is kept for it, which is thereby lost */
void session_weigh(struct session *s);      /* after any change of what is kept for it */
/* Is there room for so much more, without anybody having to go? */
bool session_has_room(const struct session *s, size_t len);

#endif
