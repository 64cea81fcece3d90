/*
 * Events of Socket.IO clients about logs: log:subscribe, log:unsubscribe, log:pause, log:resume
 * (docs/socketio.md). A socket has one view of them, which a new subscription replaces. Job
 * threads.
 */
#ifndef CMDB_ON_LOG_H
#define CMDB_ON_LOG_H

#include "socket.h"

extern const struct socket_event on_log_events[];

#endif
