/*
 * Polls of sessions, and what they are answered with: what is queued, then events from the cursor
 * on. A held GET is a waiter (wait.h) in the group of what the session wants, so an event is
 * rendered once for all. The loop thread's.
 */
#ifndef CMDB_SESSION_POLL_H
#define CMDB_SESSION_POLL_H

#include <stdbool.h>
#include <stdint.h>

#include "clock.h"

struct conn;
struct session;
struct wire_frame;

/* false: the connection has a waiter with this ticket. */
bool session_poll(struct conn *c, const struct wire_frame *f, bool is_decided);
/* A GET has come: what was sent before has arrived, or is to be sent again. */
void session_settle(struct session *s, bool is_again);
/* It begins to follow the log: all up to cursor, and of paced views up to shown, is not for it. */
void session_begin_at(struct session *s, uint64_t cursor, uint64_t shown);
void session_set_waiter(struct session *s); /* its held GET goes on from its cursors */
/* Answers the held GET with text. */
void session_reply(struct session *s, const char *text);
/* Up to where all has been sent, or looked through. */
uint64_t session_cursor(const struct session *s);
/* After a CONNECT that resumes nothing: a topic's events are to follow its list, so they wait for
 * the client to ask. It can once it has got the answer; when it has asked for all, or for something
 * and not for more, or for nothing in time, events begin. */
#define SESSION_BEGIN_LATER (CLOCK_S_MAX * 1000) /* it has not got the answer yet */
void session_begin_later(struct session *s);
void session_begin(struct session *s);
void session_listed(struct session *s); /* it has been given a list */
/* Answers the held GET if there is something for it. */
void session_flush(struct session *s);

#endif
