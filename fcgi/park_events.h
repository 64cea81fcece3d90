/*
 * GET /events that is held: the long-poll and the stream (SSE). The worker fills in a struct
 * park_events and hands it over; what becomes of it then is park.h's life, here for this kind.
 *
 * A long-poll has one answer: what the poller sends, or nothing new at its time's end, or when it
 * has to come again. A stream goes on with WAIT after WAIT from where the last answer ended.
 */
#ifndef CMDB_PARK_EVENTS_H
#define CMDB_PARK_EVENTS_H

#include "park.h"
#include "str.h"

#define PARK_GRACE_MS \
	1500 /* the poller's timeout comes first; this long after it we answer ourselves */
/* lighttpd 1.4.69 notices that a client hung up only once it has a response to send, unless it had
 * to wait for the request's first byte: what is held longer than this has its head sent, 200
 * without a length. A reason to end it that comes later is told when the client asks again. */
#define PARK_HEAD_MS 250

struct park_events {
	struct park park;
	/* What the worker fills in. */
	bool is_sse, has_since;
	uint64_t since;        /* the cursor; moves on with each answer of a stream */
	uint32_t timeout_ms;   /* what the poller is told */
	uint32_t heartbeat_ms; /* SSE */
	char *epoch;           /* the client's, NULL for none */
	struct str interest;   /* wire_interest_put() */

	/* The loop's. */
	int64_t heartbeat_at_ms;
	uint64_t told;            /* SSE: the cursor the client knows of */
	bool is_told, is_leaving; /* SSE: ends when what is being written is written */
	bool has_head;            /* status line and headers are sent: it will be 200 */
};

struct park_events *park_events_new(void);

#endif
