/*
 * The sessions' rows in ws_sessions, written behind: what other hosts and a later boot need of
 * those that have a pid, who it was, and how far. Loop thread; the saver's thread writes (saver.h).
 */
#ifndef CMDB_SESSION_ROW_H
#define CMDB_SESSION_ROW_H

#include <stdint.h>

struct mail;
struct session;
struct sessions;

void session_row_touch(struct session *s); /* its row is written with the next tick */
void session_row_forget(
	struct session *s); /* s is about to be freed; its row goes, if it has one */
void session_rows_tick(struct sessions *ss, int64_t now);
/* What the saver has read (saver_new()): makes sessions of it, and has them adopted. owner: the
 * hub. */
void session_rows_loaded(struct mail *mail, void *owner);

#endif
