/*
 * What cmdb-fcgi has the poller do to an Engine.IO session: the operations in the `ops` of APPLY,
 * and the `state` that SESSION tells (wire.h). They are done in the order they come in, all or
 * none.
 *
 * Builders append to a str. A reader gets slices into the bytes it reads.
 */
#ifndef CMDB_OPS_H
#define CMDB_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "caller.h"
#include "str.h"

#define OPS_SOCKETS_MAX 4       /* namespaces of one session */
#define OPS_FROM_NOW UINT64_MAX /* instead of an event id */
#define OPS_REQUESTED_MAX 16    /* topics a session is remembered to have asked for */

enum op_type {
	OP_PONG = 1,   /* the client is alive */
	OP_LOST,       /* a POST whose body died with a process: lost_len bytes of it */
	OP_CLOSE,      /* the client closes the session (Engine.IO packet 1) */
	OP_BAD,        /* it sent what no client may: close the session. code says what */
	OP_CONNECT,    /* a namespace is joined: answered to the client with 0{"sid","pid"} */
	OP_DISCONNECT, /* the client leaves nsp */
	OP_SEND, /* packets for the client as they are: of an Engine.IO payload, joined by 0x1e */
	OP_EMIT, /* an event for the client: args is the inside of a JSON array, the name first;
		  * the poller adds the offset and makes the packet. Empty, with SYNC: the client's
		  * copy is right as it is, and nothing is sent */
	OP_IDENTITY, /* the caller of nsp has shown a new token: caller, interest */
	OP_END,      /* tell the client why (event `error` {code,message}), disconnect nsp, close */
	OP_PENDING, /* keep bytes for the next POST: a packet whose attachments are still to come */
	OP_HEARD,   /* an event was heard in nsp: args. Counted; shown in the Admin UI */
	OP_ACKED,   /* the client acknowledged id */
	OP_ADMIN,   /* a command of the Admin UI */
	OP_ROWS,    /* an EMIT with SYNC in "/" whose args are a body that many get: bytes is its
		     * key, the secret_hash_short() of it. What of the topic's rows is still to be
		     * fetched is replaced */
	OP_SUBSCRIBE,   /* the socket in "/" asks for what is in bytes, from subs_put() (subs.h) */
	OP_UNSUBSCRIBE, /* ... or does not want it any more */
	OP_PAUSE,       /* its view in bytes, as above, is shown no further for now; id: its mark */
	OP_RESUME,      /* ... and is again, behind event `id`: up to there the client was told what
			 * it has missed since `since` of the view in bytes. OPS_FROM_NOW: it was paused
			 * by an operation before this one, and has missed nothing */
	OP_N
};

enum op_admin {
	OP_ADMIN_EMIT = 1, /* args to the sockets of nsp in room (all: "") */
	OP_ADMIN_JOIN,     /* the sockets of nsp in room `filter` (all: "") join room */
	OP_ADMIN_LEAVE,
	OP_ADMIN_DISCONNECT, /* ... are disconnected; flag CLOSE: with their connection */
	OP_ADMIN_N
};

enum op_flag {
	OP_OFFSETS = 1, /* CONNECT: events carry offsets, and the socket may be recovered */
	OP_RESUMES = 2, /* CONNECT: goes on where the socket with this pid left off */
	OP_SYNC = 4,    /* EMIT: brings the client's copy of topic to what it is at event id `at` */
	OP_CLOSES = 8,  /* ADMIN DISCONNECT */
	OP_WANTS_ACK = 16 /* EMIT: with an ack id */
};

struct op {
	enum op_type type;
	uint8_t flags;
	enum op_admin admin;
	uint64_t id; /* ACKED; LOST: length; CONNECT: go on after this event, or OPS_FROM_NOW;
		      * EMIT with SYNC, ROWS: `at` */
	struct slice nsp, socket_id, pid, topic, filter, room, code, message;
	/* SEND, PENDING; EMIT, HEARD, ADMIN EMIT: args; CONNECT with RESUMES: the record of the
	 * session before, if it is known from the table alone. */
	struct slice bytes;
	/* What the caller may, from perm_rights_put(), for its socket in "/": CONNECT, IDENTITY,
	 * empty: no events; EMIT with SYNC, ROWS, SUBSCRIBE: as it was judged by, empty: as it is
	 * known. */
	struct slice rights;
	struct caller_view caller; /* CONNECT, IDENTITY; ADMIN: who commands */
};

/* Appends op; fields that its type does not use are not looked at. */
void ops_put(struct str *s, const struct op *op);
/* The next one of b; false at the end, or with b->is_bad at one that is no operation. */
bool ops_next(struct bytes *b, struct op *op);

/* ---- what SESSION tells ---- */

enum ops_state_flag {
	OPS_STATE_WATCHED = 1, /* somebody looks at events: send their args with OP_HEARD */
	OPS_STATE_HAS_BEFORE = 2,
	OPS_STATE_OVER = 4 /* the pid was that of a socket that was disconnected on purpose */
};

struct ops_socket {
	struct slice nsp, socket_id;
	struct caller_view caller;
};

/* A session that once had the pid, living or not. */
struct ops_before {
	struct slice socket_id;
	struct caller_view caller;
	uint64_t cursor; /* all up to there it has got; UINT64_MAX: it cannot be gone on from */
	struct slice requested; /* topics it asked for, joined by commas */
};

struct ops_state {
	uint8_t flags;
	uint16_t events_allowed;   /* of those LOOKUP named */
	uint64_t posts_n;          /* of the session, that were done so far */
	struct caller_view caller; /* who made the handshake */
	struct ops_socket sockets[OPS_SOCKETS_MAX];
	size_t sockets_n;
	struct slice pending;     /* what OP_PENDING kept */
	struct slice subs;        /* of its socket in "/", from subs_put(); empty: none */
	struct ops_before before; /* HAS_BEFORE */
};

void ops_state_put(struct str *s, const struct ops_state *st);
bool ops_state_get(struct slice bytes, struct ops_state *st); /* false: no state */

#endif
