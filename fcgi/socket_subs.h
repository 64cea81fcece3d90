/*
 * Subscriptions (subs.h) of the socket in "/", for handlers of its events: judged by what the
 * caller may now, and by the poller again, which keeps them. Job threads.
 */
#ifndef CMDB_SOCKET_SUBS_H
#define CMDB_SOCKET_SUBS_H

#include "socket.h"

/* May the socket have it, beside what it has and what this POST has asked for so far? NULL: yes,
 * and there is a place for it now; else the reason for the client. call->who is set. */
const char *socket_sub_refused(struct socket_call *call, const struct sub *sub);
/* Adds the operation that subscribes to what was not refused. */
void socket_subscribe(struct socket_call *call, const struct subs *subs);
void socket_unsubscribe(struct socket_call *call, const struct subs *subs);

#endif
