/*
 * Socket.IO events `request:<topic>`: a resource's rows as of now (`<topic>:initial`), or the
 * events that the client has missed (`<topic>:update`), such that with the live events that follow
 * nothing is missing and nothing is doubled. Job threads; may block.
 *
 * Both are as of the tail that was noted before anything was read; the poller brings the session's
 * live events of the topic in line with that (OP_SYNC). A rendered snapshot is shared by all who
 * ask for it while nothing of the topic changes (cache.h).
 */
#ifndef CMDB_ON_SYNC_H
#define CMDB_ON_SYNC_H

#include "socket.h"

#define ON_SYNC_EVENTS_MAX 500  /* missed ones that are told one by one */
#define ON_SYNC_ITEMS_MAX 10000 /* of a snapshot */

extern const struct db_set on_sync_sql;
extern const struct socket_event on_sync_events[];

/* Sends <topic>:initial unasked to a socket of ctx->who, who may read the topic. A failure is
 * logged. Other names than a resource's are passed over. */
void on_sync_send_snapshot(struct socket_work *w, struct slice nsp, const char *topic);

#endif
