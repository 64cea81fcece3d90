/*
 * Parked requests: GET /events that waits. A struct park is made by a worker, given to the loop
 * once, and from then on belongs to the loop thread.
 *
 * Its life: PARK_UNRESOLVED (it asked for "from now" and no tail was known yet) -> PARK_WAITING (it
 * has a cursor; while the link is up the poller has its WAIT) -> PARK_ANSWERING (bytes are on their
 * way out) -> freed, or for a stream (SSE) PARK_WAITING again. Each is in the list of its state,
 * and only set_state() moves it, so a count is a list's length. At any time it may also end: its
 * client hangs up, its token expires or is revoked, its time is over without a word from the
 * poller, the process stops.
 *
 * To add a kind of parked request: a format in wire.h, its beginning in start(), its answer in
 * answer().
 */
#ifndef CMDB_PARK_H
#define CMDB_PARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/queue.h>
#include <uthash.h>

#include "err.h"
#include "revoked.h"
#include "sink.h"
#include "wire.h"

#define PARK_GRACE_MS \
	1500 /* the poller's timeout comes first; this long after it we answer ourselves */
/* lighttpd 1.4.69 notices that a client hung up only once it has a response to send, unless it had
 * to wait for the request's first byte: what is held longer than this has its head sent, 200
 * without a length. A reason to end it that comes later is told when the client asks again. */
#define PARK_HEAD_MS 250
#define PARK_WRITE_STALL_MS 30000 /* a client that reads nothing for so long is dropped */

enum park_state { PARK_NEW, PARK_UNRESOLVED, PARK_WAITING, PARK_ANSWERING, PARK_STATES };

struct park {
	/* What the worker fills in. */
	struct sink sink;
	bool is_sse, has_since;
	uint64_t since;        /* the cursor; moves on with each answer of a stream */
	uint32_t timeout_ms;   /* what the poller is told */
	uint32_t heartbeat_ms; /* SSE */
	char *epoch;           /* the client's, NULL for none */
	struct str interest;   /* wire_interest_put() */
	struct caller caller;
	int64_t checked_ms;    /* when the request came: its caller was good after that */
	int64_t token_ends_ms; /* monotonic; INT64_MAX: never */
	char request_id[33];
	char *origin; /* allowed one for CORS, or NULL */

	/* The loop's. */
	struct parks *parks;
	enum park_state state;
	TAILQ_ENTRY(park) entry;
	uint64_t ticket;
	UT_hash_handle hh;
	struct event io; /* hang-up or writability, and the deadline */
	int64_t parked_ms, heartbeat_at_ms, stalled_ms;
	uint64_t told;            /* SSE: the cursor the client knows of */
	bool is_told, is_leaving; /* SSE: ends when what is being written is written */
	enum err token_end;       /* what a client is told when its token's time is over */
	bool has_head; /* a long-poll's status line and headers are sent: it will be 200 */
	bool is_last;  /* PARK_ANSWERING: free it when all is written */
};

struct park *park_new(void);
void park_free(struct park *p); /* of one that was never given to the loop, or that has left its
				   list; takes NULL */

struct app;
struct link;
struct parks;
struct parks *parks_new(struct app *app, struct event_base *base);
void parks_free(struct parks *ps);
void parks_set_link(struct parks *ps, struct link *link);
size_t parks_n(const struct parks *ps, enum park_state state);
size_t parks_total(const struct parks *ps);

/* What of its time a long-poll has left; a stream's is always whole. */
uint32_t park_timeout_left(const struct park *p);

/* Takes p. */
void parks_add(struct parks *ps, struct park *p);
/* The stop: long-polls get an empty answer at their cursor, streams end. */
void parks_release(struct parks *ps);

/* What the link tells. */
/* old_epoch: what it was before, if the poller is now one of another log; else NULL. */
void parks_on_up(struct parks *ps, const char *old_epoch);
void parks_on_deliver(struct parks *ps, const struct wire_frame *f, struct body *body);
void parks_on_revoked(
	struct parks *ps, enum wire_revoke what, uint64_t user_id, struct slice jti);

#endif
