/*
 * Connections of processes that speak lib/wire.h: of cmdb-fcgi and cmdbctl. The loop thread's.
 *
 *   conn_accept() -> HELLO -> welcome, at once or when the poller is open -> frames (frames.h)
 *   -> conn_close()
 *
 * A connection is closed at the safe point (grave.h), never in the middle of an answer: until then
 * it is in hub->conns, is_closing, and nothing more is read from it or written to it. Its waiters
 * end with it, unanswered: the other side asks again.
 */
#ifndef CMDB_CONN_H
#define CMDB_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/bufferevent.h>
#include <event2/util.h>

#include "wire.h"

struct hub;
struct record;
struct shared;
struct waiter;

struct conn {
	struct hub *hub;
	struct bufferevent *bev;
	enum wire_role role;
	uint32_t pid;
	uint64_t process; /* the same in all connections of one process */
	bool is_welcome;  /* HELLO was answered; until then only HELLO is taken */
	bool is_closing;  /* it is closed at the safe point; nothing more is read or written */
	bool wants_refreshed;
	struct waiter *waiters; /* by ticket: wait.h */
	struct shared **given;  /* bodies that the next APPLY may name; loans */
	size_t given_n, given_bytes;
	uint64_t *tickets; /* of the answer being made: answer.h */
	size_t tickets_n, tickets_cap;
	TAILQ_ENTRY(conn) entry;
	TAILQ_ENTRY(conn) touched;
};

/* Who is told what comes on connections: frames.h. */
struct conn_handler {
	/* A frame behind HELLO: what is wrong with it; NULL: nothing. */
	const char *(*frame)(struct conn *c, const struct wire_frame *f);
	void (*gone)(struct conn *c); /* what hangs on it is to end; at the safe point */
	/* Something was done of what was asked: answers to it may leave now. */
	void (*done)(struct hub *hub);
};

void conn_accept(struct hub *hub, evutil_socket_t fd);
void conn_close(struct conn *c);
/* Keeps b, if it is not NULL, with what BODY gave, until the APPLY at hand is done. */
void conn_borrow(struct conn *c, struct shared *b);
void conn_return(struct conn *c);
/* A BODY frame: what is wrong with it; NULL: nothing. */
const char *conn_take_body(struct conn *c, struct slice body);
/* Does it leave so much unread that it is given no more events, and asked for nothing? */
bool conn_is_clogged(const struct conn *c);
/* Is the process there? Not if the other end of its connection is closed, noticed or not. */
bool conn_has_process(const struct hub *hub, uint64_t process);
void conn_let_in(struct hub *hub);    /* if it is open: who said HELLO before it was */
void conn_refreshed(struct hub *hub); /* who asked for it is told the floors */
/* An "_auth" event: tells all. Out of turn: who is not there now will not find it in the ring where
 * it looks, and is told that there was something. */
void conn_revoke(struct hub *hub, const struct record *r, bool is_out_of_turn);
/* The link of a process was down: what it missed is in the ring, if it was not down for long and
 * all came in turn. */
void conn_recheck(struct conn *c, uint64_t since);

#endif
