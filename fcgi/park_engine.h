/*
 * Engine.IO requests that are held: what the poller is asked for each, and what the client is told.
 * The worker (engine.c) fills in a struct park_engine; what becomes of it then is park.h's life,
 * with these kinds:
 *
 *   handshake   OPEN -> DONE -> `0{...}`
 *   GET         POLL -> DELIVER. Nothing of the answer is sent ahead of it: a GET whose process
 *               dies before the first byte is tried again by the web server, and its client
 *               notices nothing.
 *   POST        LOOKUP -> SESSION -> a job thread runs the events (socket.h) -> APPLY -> DONE ->
 *               `ok`. Without messages in it, APPLY at once.
 *   refusal     LOOKUP, to tell an unknown session from a bad request, as the reference server does
 *
 * While the poller is away all of these wait; a client that is told anything but 200 gives up its
 * session. Who may go on is the poller's to know: it drops sessions whose tokens end.
 */
#ifndef CMDB_PARK_ENGINE_H
#define CMDB_PARK_ENGINE_H

#include "park.h"
#include "str.h"
#include "sync.h"

#define ENGINE_SID_MAX 64    /* bytes; ours have 24 */
#define ENGINE_AWAY_MS 20000 /* a GET while the poller is away: then a noop; a handshake: 503 */
#define ENGINE_POST_MS 60000 /* a POST while the poller is away: then 503 */
#define ENGINE_TRIES 3       /* of events whose session has changed meanwhile */
#define ENGINE_BODIES_MAX 3  /* how often the poller may lack the rows of a POST */

enum engine_what { ENGINE_HANDSHAKE, ENGINE_GET, ENGINE_POST, ENGINE_REFUSAL };

/* Events of a POST, for a job thread. */
struct engine_events {
	struct str body;  /* the payload as it came */
	uint16_t n;       /* messages in it */
	char *pid;        /* the private id that a CONNECT shows; "": none */
	char *address;    /* of the client */
	struct str state; /* of SESSION */
	unsigned tries;
	uint64_t number;       /* of the POST in its session, from 1; 0: not known yet */
	struct sync_post rows; /* that the ops name */
};

struct park_engine {
	struct park park;
	/* What the worker fills in. */
	enum engine_what what;
	char sid[ENGINE_SID_MAX + 1];
	uint64_t tag, user;
	uint32_t short_ms; /* GET: to be released after this; 0: the poller ends it */
	bool is_again;     /* the web server says that another process died over it */
	bool is_bad;       /* POST: it is refused, once the session has been told (ops) */
	struct str ops;    /* POST: for APPLY */
	struct engine_events *events;      /* POST: NULL when there are none to be run */
	struct str address, caller, about; /* handshake */
	uint16_t packets;                  /* handshake: the most its client takes in an answer */
	struct str packet, headers;        /* handshake: the answer */
	struct app *app;                   /* POST: it counts the bytes that are held for this, */
	size_t held_len;                   /* so many */

	/* The loop's. */
	bool is_applying; /* POST: LOOKUP and the events are done */
	bool has_bodies;  /* POST: the poller lacks the rows, APPLY comes with them */
	unsigned lacks_n; /* POST: how often it did */
	bool is_settled;  /* GET: held for long enough to watch for a hang-up */
	bool is_released; /* GET: the poller was asked to answer */
	int64_t asked_ms; /* GET: when the poller was last known to have it */
};

struct park_engine *park_engine_new(enum engine_what what);

/* The body and status of an error, as the reference server's: engine.io, Server.errors. */
enum engine_error {
	ENGINE_UNKNOWN_TRANSPORT,
	ENGINE_UNKNOWN_SID,
	ENGINE_BAD_METHOD,
	ENGINE_BAD_REQUEST,
	ENGINE_FORBIDDEN,
	ENGINE_BAD_VERSION
};
int engine_status(enum engine_error e);
/* message NULL: the usual one. */
void engine_put_error(struct str *body, enum engine_error e, const char *message);

#endif
