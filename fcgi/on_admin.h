/*
 * Commands of the Socket.IO Admin UI, events of namespace /admin: `emit(nsp, filter, ev, ...args)`,
 * `join(nsp, room, filter)`, `leave(nsp, room, filter)`, `_disconnect(nsp, close, filter)`, as
 * registerFeatureHandlers() of npm @socket.io/admin-ui 0.5 takes them. filter is a room or a
 * socket's id; without one all sockets of the tenant in nsp are meant. An acknowledgement, where
 * one is asked for, is {"ok":true}. Job threads; may block.
 *
 * Each is written to the audit log before it is handed to the poller, so one that cannot be written
 * is not done. A POST that has to be run again, because its session has changed meanwhile, leaves a
 * row a run.
 */
#ifndef CMDB_ON_ADMIN_H
#define CMDB_ON_ADMIN_H

#include "socket.h"

#define ON_ADMIN_NAME_MAX 128 /* bytes of a room, a filter, an event's name */

extern const struct socket_event on_admin_events[];

#endif
