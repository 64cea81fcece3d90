/*
 * The application that the public Socket.IO protocol test suite asks for (conformance.app =
 * echo-socketio): no authentication, namespaces "/" and "/custom", `auth` with the CONNECT payload,
 * `message` sent back as `message-back`, `message-with-ack` acknowledged with its arguments.
 */
#ifndef CMDB_SOCKET_ECHO_H
#define CMDB_SOCKET_ECHO_H

#include "socket.h"

extern const struct socket_namespace socket_echo_namespaces[];

#endif
