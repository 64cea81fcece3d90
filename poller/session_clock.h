/*
 * The deadlines of a session, one timer for all of them. Invariant: the timer is set for the
 * earliest of them, or for an earlier time, when it looks again. The loop thread's.
 */
#ifndef CMDB_SESSION_CLOCK_H
#define CMDB_SESSION_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include <event2/util.h>

struct session;

#define SESSION_CLOSE_WAIT_MS 30000 /* a closed session waits so long for the GET that is told */
#define SESSION_LATE_GET_MS 1000    /* a GET may come so much later than its client's close */

void session_wind(struct session *s); /* sets its timer to its next deadline */
void session_pong(struct session *s); /* its client has answered the ping */
/* Has its client not answered the ping in time? Not if it was we who could not hear it. */
bool session_is_overdue(struct session *s, int64_t now);
void session_on_timer(evutil_socket_t fd, short what, void *session);

#endif
