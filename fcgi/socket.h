/*
 * Socket.IO events: from the packets of a POST to operations for the poller (ops.h), which does all
 * of them or none. Runs on a job thread and may block on the database.
 *
 * Which namespaces there are, how one connects to each and which events it hears are tables
 * (tables.c): an event is a row with its name, the permission it takes, a check of its arguments
 * and a handler. A handler reads arguments and the database and adds operations; it changes nothing
 * itself, so that it can run again when the session has changed meanwhile (WIRE_DONE_STALE). One
 * that changes the database is a unit of work, and done once (socket_txn.h).
 *
 * What a client sends that no client may send ends its session, as in the reference server
 * (socket.io 4, client.js, ondecoded()): malformed packets, packets for a namespace it has not
 * joined, CONNECT to one that it has. What the reference could read and we cannot (packet.h,
 * beyond) is a matter of that packet alone: `bad_arguments`, or a CONNECT_ERROR.
 */
#ifndef CMDB_SOCKET_H
#define CMDB_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops.h"
#include "packet.h"
#include "route.h"
#include "str.h"
#include "subs.h"
#include "sync.h"

struct txn;
struct worker;

/* A POST with messages in it; all borrowed. */
struct socket_post {
	const struct str *body;  /* the payload as it came */
	const struct str *state; /* of SESSION */
	const char *sid, *pid, *address, *request_id;
	uint64_t *number;   /* of the POST in its session; 0: as the state first says */
	int64_t arrived_ms; /* monotonic */
};

/* Adds the operations for post to rows->ops, and to rows what they name. false: the session is to
 * be closed, and the client told that its request was bad; ops says so. */
bool socket_run(struct worker *w, const struct socket_post *post, struct sync_post *rows);

/* ---- for namespaces and handlers ---- */

/* The session's socket in a namespace. */
struct socket {
	struct slice nsp;
	struct caller_view caller;
	const struct principal *who; /* the caller, a reference; NULL until asked for */
	bool is_before;              /* the pid that LOOKUP was asked about is its */
};

/* One POST at work. */
struct socket_work {
	struct task task; /* who is that of the socket whose packet is at hand, if known */
	const struct socket_post *post;
	struct ops_state state;
	struct socket socks[OPS_SOCKETS_MAX];
	size_t socks_n;
	struct slice left[OPS_SOCKETS_MAX]; /* namespaces that it has left in this POST */
	size_t left_n;
	struct subs subs; /* of its socket in "/", as this POST will leave them */
	struct str *ops;
	struct sync_post *rows;
	size_t events_n; /* heard in this POST */
	size_t allowed;  /* messages that are still within the session's rate */
	bool is_limit_told;
	size_t limited_n;    /* answers that were due to what is past it */
	const char *why_bad; /* the session is to be closed */
};

struct socket_call;

struct socket_event {
	const char *name; /* NULL ends a table */
	const char *perm; /* NULL: none */
	/* What is wrong with the arguments, for the client; NULL: nothing. No check: any will do.
	 */
	const char *(*check)(const struct socket_call *call);
	void (*handle)(struct socket_call *call);
	const void *arg;
	bool is_secret; /* its arguments let one in: they are shown nowhere */
	bool is_txn;    /* a unit of work, done once: socket_txn.h */
};

struct socket_namespace {
	const char *name; /* NULL ends the table */
	/* Adds OP_CONNECT (socket_join()) or a CONNECT_ERROR (socket_refuse()). */
	void (*connect)(struct socket_work *w, const struct packet *p);
	const struct socket_event *const *events; /* tables, ends with NULL */
};

/* An event that was heard. */
struct socket_call {
	struct socket_work *work;
	struct socket *socket;
	const struct socket_event *event;
	const struct packet *packet;
	const struct principal *who; /* set for an event with a permission */
	struct txn *txn;             /* of an event with is_txn, while its handler runs */
	enum err failed;             /* what socket_fail() or socket_fail_err() was last told */
	bool is_acked;
};

/* CONNECT is good: adds op, and the socket. who is op->caller and taken over; NULL: nobody. */
void socket_join(struct socket_work *w, const struct op *op, const struct principal *who);
/* CONNECT is no good; code 0: none is told. With 429 and 503 goes the time to wait, too. */
void socket_refuse(struct socket_work *w, struct slice nsp, const char *message, int code);

/* Argument i of the event, from 0; NULL when it is missing or null. */
struct json_object *socket_arg(const struct socket_call *call, size_t i);
size_t socket_args_n(const struct socket_call *call);
/* Who the socket is of; NULL: the client has been told why not. */
const struct principal *socket_who(struct socket_call *call);
/* Sends an event to the socket. args: JSON values joined by commas, the name first. */
void socket_emit(struct socket_work *w, struct slice nsp, const struct str *args);
/* Acknowledges the event with args, if the client asked for that. */
void socket_ack(struct socket_call *call, const char *args);
/* Tells the client that the event failed: in its acknowledgement, else by an event `error`. */
void socket_fail(struct socket_call *call, const char *code, const char *message);
void socket_fail_err(struct socket_call *call, enum err e);

#endif
