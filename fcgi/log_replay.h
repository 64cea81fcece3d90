/*
 * What of the logs a socket was not shown while its view was paused: read from ws_events, filtered
 * as the poller does, as the events that it would have got. At most logs.replay lines, and half of
 * what a session may keep for its client; of what is left out, or gone from the log, `log:dropped`
 * says which ids. Its count is null where counting would take too long, or cannot be done any more.
 * Job threads; blocks on the database.
 */
#ifndef CMDB_LOG_REPLAY_H
#define CMDB_LOG_REPLAY_H

#include <stdint.h>

#include "db.h"
#include "perm.h"
#include "subs.h"
#include "task.h"

extern const struct db_set log_replay_sql;

/* The newest line there is, for struct sub's mark; 0: none. */
enum err log_replay_mark(struct task *task, uint64_t *mark) __attribute__((warn_unused_result));
/* Adds to packets the inside of each event's array, in their order: of what came after the paused
 * view was shown last, up to event upto, which is released. */
enum err log_replay(struct task *task, const struct sub *view, uint64_t upto,
	struct strlist *packets) __attribute__((warn_unused_result));

#endif
