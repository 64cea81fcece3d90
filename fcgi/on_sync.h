/*
 * Socket.IO events `request:<topic> {lastEventId?, epoch?}`, one for each stream that has rows: the
 * client's copy of the topic is brought up to date (sync.h), and then, if asked for, acknowledged
 * with
 * {"ok":true,"lastEventId":N}. Job threads; may block.
 */
#ifndef CMDB_ON_SYNC_H
#define CMDB_ON_SYNC_H

#include "socket.h"

/* Made at the first call, before there are threads. */
const struct socket_event *on_sync_events(void);

/* Sends <topic>:initial unasked to a socket of ctx->who. A failure is logged; what is no resource,
 * or may not be read, is passed over. */
void on_sync_send_rows(struct socket_work *w, const char *topic);

#endif
