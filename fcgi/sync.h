/*
 * A client's copy of a topic, brought up to date: what `request:<topic>` is answered with, and what
 * a socket gets whose connection could not be recovered. Rows come as one event
 * `<topic>:initial {"items","total","version","lastEventId"}`, or what the client has missed as
 * events as they would have come live (event.h).
 *
 * lastEventId is the tail of the shared page, noted before anything is read: what is committed
 * later is an event after it, and may be in the rows already. version is the id of the topic's last
 * event up to there, 0 if the log has none.
 *
 * Rows are the same for all of a tenant who may read the topic: their event is made once and shared
 * (cache.h) until something of the topic changes. Worker and job threads; blocks on the database.
 */
#ifndef CMDB_SYNC_H
#define CMDB_SYNC_H

#include "route.h"

#define SYNC_ITEMS_MAX 10000 /* rows in an :initial; total counts them all */
#define SYNC_EVENTS_MAX 500  /* more missed events than that: :initial */

struct sync_ask {
	const char *topic; /* of a resource */
	bool has_since;
	uint64_t since;    /* all up to there the client has had; 0: nothing */
	const char *epoch; /* that since is of; NULL: not told */
};

/* Adds OP_EMITs for the namespace "/" to ops, of which the last has OP_SYNC with the topic and
 * *last_event_id: events, if since is of this log and at most SYNC_EVENTS_MAX were missed, else
 * rows. No operation if nothing was missed: then there is nothing to bring up to date either.
 *
 * Of ctx are used worker, cfg, db, shm and who. The database is opened if it is not, and no
 * transaction is open, before and after. On failure nothing is added: ERR_FORBIDDEN (who may not
 * read the topic), ERR_NOT_FOUND (no resource has that name), ERR_UNAVAILABLE (the poller does not
 * follow the log now, or is not there), or of the database, whose connection has been tried twice.
 */
enum err sync_answer(struct ctx *ctx, const struct sync_ask *ask, struct str *ops,
	uint64_t *last_event_id) __attribute__((warn_unused_result));

#endif
