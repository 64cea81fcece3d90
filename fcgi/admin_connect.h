/*
 * CONNECT to namespace /admin, as the Socket.IO Admin UI does it (npm @socket.io/admin-ui 0.5,
 * initAuthenticationMiddleware() of its server): with {username, password}, for which an event
 * `session` brings an access token that lasts socketio.admin_ttl_s, or with that token as
 * {sessionId}. Further with what "/" takes. Who may not, for whatever reason, is told
 * `invalid credentials`. Job threads; may block.
 */
#ifndef CMDB_ADMIN_CONNECT_H
#define CMDB_ADMIN_CONNECT_H

#include "socket.h"

#define ADMIN_PERM "ws:admin"

void admin_connect(struct socket_work *w, const struct packet *p);

#endif
