/*
 * A client's copy of a topic, brought up to date: what `request:<topic>` is answered with, and what
 * a socket gets whose connection could not be recovered. Rows come as one event
 * `<topic>:initial {"items","total","version","lastEventId"}`, or what the client has missed as
 * events as they would have come live (event.h).
 *
 * lastEventId is the tail of the shared page, noted before anything is read: what is committed
 * later is an event after it, and may be in the rows already. That holds also while the poller is
 * away, which goes on from there. version rises with each change: it is the id of the topic's last
 * event, or if that has been pruned, how far the log has.
 *
 * Rows are the same for all of a tenant who may read the topic: their event is made once and shared
 * (cache.h) until something of the topic changes, and even then with those who asked before it was
 * made. Worker and job threads; blocks on the database.
 */
#ifndef CMDB_SYNC_H
#define CMDB_SYNC_H

#include "ops.h"
#include "route.h"

struct app;
struct cached;

#define SYNC_ITEMS_MAX 10000               /* rows in an :initial; total counts them all */
#define SYNC_BYTES_MAX (12u * 1024 * 1024) /* of rows: once there are so many, none is added */
#define SYNC_EVENTS_MAX 500                /* more missed events than that: :initial */

extern const struct db_set sync_sql;

struct sync_ask {
	const char *topic; /* of a resource */
	uint64_t since;    /* all events up to there the client has had; 0: none */
	const char *epoch; /* that since is of; NULL: not told */
};

/* What the requests of one POST were answered with. A topic is brought up to date once in it,
 * however often that is asked for: the second time there is nothing more to send. */
struct sync_post {
	struct app *app;
	struct str *ops;
	struct sync_topic {
		char *topic;
		uint64_t since, at;
		bool has_epoch;
		struct cached *rows; /* NULL: with events */
	} v[OPS_REQUESTED_MAX];
	size_t n, rows_bytes;
};
void sync_post_fini(struct sync_post *post);

/* Adds operations for the namespace "/" to post->ops: events, if since is of this log, not pruned
 * and SYNC_EVENTS_MAX or fewer were missed that are, with what is in ops, no more than a session
 * may keep for its client, as OP_EMITs of which the last has OP_SYNC with the topic and
 * *last_event_id; if nothing was missed, that OP_SYNC is without an event. Else rows, as an OP_ROWS
 * that names the body which post then has. Nothing, if the topic was answered in this POST.
 *
 * Of ctx are used worker, cfg, db, shm, who and arrived_ms. The database is opened if it is not,
 * and no transaction is open, before and after. On failure nothing is added: ERR_FORBIDDEN (who may
 * not read the topic), ERR_NOT_FOUND (no resource has that name), ERR_UNAVAILABLE (there
 * has been no poller yet), ERR_BUSY (more rows than one POST, or the process, may hold), or of the
 * database, whose connection has been tried twice.
 */
enum err sync_answer(struct task *task, const struct sync_ask *ask, struct sync_post *post,
	uint64_t *last_event_id) __attribute__((warn_unused_result));

#endif
