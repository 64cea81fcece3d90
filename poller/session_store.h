/*
 * What of the sessions outlives this process, on this host. The journal beside the socket has every
 * change before an answer that shows it can leave: after kill -9 the next poller of this host goes
 * on with all of them, to the packet. The table is session_row.h's. The loop thread's.
 */
#ifndef CMDB_SESSION_STORE_H
#define CMDB_SESSION_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"

struct over;
struct piece;
struct session;
struct sessions;

void store_session(struct session *s); /* all of it but the queues */
void store_polled(struct session *s, bool is_again);
void store_answered(struct session *s);
void store_taken(struct session *s, uint32_t most); /* so many of the queue became inflight */
void store_queued(struct session *s, const void *packets, size_t len);
void store_piece(struct session *s, const struct piece *p); /* was queued */
void store_dropped_rows(struct session *s, struct slice topic);
void store_lost(struct session *s);    /* queue and inflight were thrown away */
void store_pending(struct session *s); /* the packet that waits for its attachments */
void store_applied(struct session *s);
void store_clocks(struct session *s); /* ping_ms, pong_ms, begin_ms */
void store_over(struct sessions *ss, const struct over *o);
void store_epoch(struct sessions *ss); /* the journal begins anew, of the hub's epoch */
void store_forget(struct session *s);
void store_flush(struct sessions *ss); /* before an answer can leave */
void store_check(struct sessions *ss); /* a journal that somebody removed begins anew */
void store_init(struct sessions *ss);
void store_run(struct sessions *ss); /* starts the thread that writes the table */
/* Reads the journal. false: there was nothing in it, and the table is asked; then
 * sessions_adopted(). */
bool store_open(struct sessions *ss);
/* The sessions are taken up: once their first timers have run, too, what was in the journal was no
 * harm. Not later: who is killed soon after a start, however often, has not died of it. */
void store_adopted(struct sessions *ss);
void store_free(struct sessions *ss);
void store_close(struct sessions *ss);

#endif
