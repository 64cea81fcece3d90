/*
 * A client of GET /events like any other: it keeps a cursor, so a server that restarts costs
 * nothing but a pause, and an answer that got lost on the way is asked for again. What is done with
 * the events is the caller's.
 */
#ifndef CMDB_CLI_FOLLOW_H
#define CMDB_CLI_FOLLOW_H

#include <json-c/json.h>

#include "backoff.h"
#include "cmd.h"
#include "rest.h"

/* Both borrow what they are given. */
struct follow_on {
	void (*event)(void *arg, struct json_object *event);
	/* The cursor is one that the log does not know any more; the answer's lastEventId, which
	 * is the cursor from now on, says where it goes on. */
	void (*reset)(void *arg, struct json_object *answer);
};

struct follow {
	struct rest *rest;   /* borrowed */
	struct str path;     /* "/events"; rest_query() adds what is asked for */
	bool is_patient;     /* goes on trying while the server is not there */
	bool has_since;      /* is there a cursor? Without one the first answer says where the log
				ends */
	int64_t spacing_ms;  /* at least so long from one request that waits to the next */
	int64_t asked_ms;    /* the last one, by the monotonic clock */
	bool is_caught_up;   /* the last answer had all there was */
	bool was_reset;      /* by the last answer */
	uint64_t since;      /* the cursor */
	char epoch[33];      /* "" until the server has said it */
	struct backoff back; /* since when it does not answer */
	const struct follow_on *on;
	void *arg;
};

void follow_init(struct follow *f, struct rest *rest, bool is_patient, const struct follow_on *on,
	void *arg);
void follow_fini(struct follow *f);
/* One request, with `waits` one that is held until there is something. CTL_OK: go on (a patient one
 * also when nothing came); else the end, after having said why, or because nobody reads the output
 * any more. */
enum ctl_exit follow_ask(struct follow *f, bool waits);
/* A GET of something else, as patient, until it went well: CTL_OK with *a to be released. */
enum ctl_exit follow_get(struct follow *f, const char *path, struct rest_answer *a);

#endif
