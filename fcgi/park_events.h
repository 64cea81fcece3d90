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
/* What is held for longer than this is watched for a hang-up. lighttpd 1.4.69 notices one only once
 * it has a response to send, unless it had to wait for the request's first byte: there the head is
 * sent by then, 200 without a length, and a reason to end the request that comes later is told when
 * the client asks again. Other web servers see it without, and would make a complete, empty answer
 * of a head whose process is killed. */
#define PARK_HEAD_MS 250
/* EventSource gives up for good at an answer other than 200, as a web server gives while no process
 * of ours runs: a restart is over by then, and not all come back at one moment. */
#define PARK_RETRY_MIN_MS 2000
#define PARK_RETRY_MAX_MS 5000
#define PARK_RETRY_BUSY_MS 30000 /* when there are too many */

struct park_events {
	struct park park;
	/* What the worker fills in. */
	bool is_sse, has_since;
	uint64_t since;        /* the cursor; moves on with each answer of a stream */
	uint32_t timeout_ms;   /* what the poller is told */
	uint32_t heartbeat_ms; /* SSE */
	uint32_t short_ms;   /* SSE: it ends after this, for it has a process to itself; 0: never */
	bool needs_head;     /* the web server sees a hang-up only after the answer's head */
	char *epoch;         /* the client's, NULL for none */
	struct str interest; /* wire_interest_put() */
	char *who, *address; /* whom it counts for */

	/* The loop's. */
	int64_t heartbeat_at_ms;
	uint64_t told;            /* SSE: the cursor the client knows of */
	bool is_told, is_leaving; /* SSE: ends when what is being written is written */
	bool was_said;            /* the poller has counted it */
	bool is_settled;          /* held for PARK_HEAD_MS */
	bool has_head;            /* status line and headers are sent: it will be 200 */
};

struct park_events *park_events_new(void);

#endif
