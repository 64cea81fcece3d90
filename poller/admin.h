/*
 * The server's half of the Socket.IO Admin UI (npm @socket.io/admin-ui 0.5): what it shows comes as
 * events to the sockets of namespace /admin, as the instrument() of that package sends them. Who
 * holds such a socket, a watcher, sees the sockets of his own tenant. What he has done to them
 * comes as OP_ADMIN: admin_command.h.
 *
 * Nobody looking, it costs nothing. With admin_events on ("development mode" there) every socket
 * and event is shown, at most SHOWN_PER_S a second and tenant: the figures stay exact, single
 * events may be left out. After that, or when a watcher does not fetch what he is shown, he gets
 * the list of sockets anew.
 *
 * Things are shown from anywhere, also in the middle of a fan-out. So showing only queues, never
 * more than there is room for, and sends later: no session is answered or closed by it. The loop
 * thread's.
 */
#ifndef CMDB_ADMIN_H
#define CMDB_ADMIN_H

#include <stdbool.h>
#include <stdint.h>

#include "session.h"

struct admin;
struct body;
struct sessions;

struct admin *admin_new(struct sessions *ss);
void admin_free(struct admin *a);
bool admin_is_watched(const struct admin *a);
void admin_adopt(struct session *s); /* it may have been a watcher before the start */
void admin_tick(struct admin *a, int64_t now);
/* What happened, to be counted and shown. */
void admin_joined(struct session *s, struct sock *k);
void admin_left(struct session *s, struct sock *k, enum session_end how); /* is leaving */
void admin_heard(struct session *s, struct sock *k, struct slice args);
void admin_sent(struct session *s, struct sock *k, struct slice args); /* to k alone */
void admin_answered(struct session *s, const struct body *b);          /* with b's events */
void admin_room(struct session *s, const char *room, bool is_joined);
void admin_regrouped(struct session *s, const struct group *was); /* its rights have changed */

#endif
