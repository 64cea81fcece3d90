/*
 * Registers as a replica and tells the tail of rows inserted into ws_events once the binary log has
 * the commit of their transaction, a moment before they are visible: about a millisecond after the
 * writer's INSERT began. One thread of its own, one connection; it never reads the table and
 * decides nothing. When it cannot work (log_bin off, format not ROW, right missing, the id in
 * another column, server away) it says why, the timer takes over, and it tries again.
 */
#ifndef CMDB_BINLOG_H
#define CMDB_BINLOG_H

#include "config.h"
#include "str.h"
#include "tail.h"

struct binlog;

struct binlog *binlog_new(const struct config *cfg, struct tail *tail);
void binlog_run(struct binlog *b);
void binlog_stop(struct binlog *b); /* ends and joins the thread; does not wait for the server */
void binlog_free(struct binlog *b);

/* Any thread: {"state":"streaming"|"connecting"|"off","heard_ms_ago","reason","reconnects"} */
void binlog_status(struct binlog *b, struct str *json);
bool binlog_is_streaming(struct binlog *b);

#endif
