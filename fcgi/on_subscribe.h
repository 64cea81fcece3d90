/*
 * `subscribe` and `unsubscribe` in "/": rooms, whose names have a colon, and topics that are shown
 * on asking, in one call. What is asked for is judged here by what the caller may now, so that the
 * client is told at once, and by the poller again (session_wants.h), which keeps it.
 */
#ifndef CMDB_ON_SUBSCRIBE_H
#define CMDB_ON_SUBSCRIBE_H

#include "socket.h"

#define ON_SUBSCRIBE_NAMES_MAX 64 /* in one event */

extern const struct socket_event on_subscribe_events[];

#endif
