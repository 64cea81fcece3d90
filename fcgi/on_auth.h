/*
 * Socket.IO event `auth:refresh {token}`: a client goes on with a newer token of the same user.
 * Acknowledged with {"ok":true,"expires_in":S}; without an acknowledgement, `auth:refreshed` says
 * so. Job threads; may block.
 */
#ifndef CMDB_ON_AUTH_H
#define CMDB_ON_AUTH_H

#include "socket.h"

extern const struct socket_event on_auth_events[];

#endif
