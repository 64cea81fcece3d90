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

#include "observer.h"

extern const struct observer admin_observer;

#endif
