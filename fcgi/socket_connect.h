/*
 * CONNECT to the namespaces of cmdb: who it is, and whether the client can go on where an earlier
 * connection of it left off. Socket.IO protocol 5, "Connection to a namespace"; connection state
 * recovery as the stock client drives it (socket.io-client 4, socket.js: pid, offset). Job threads;
 * may block.
 */
#ifndef CMDB_SOCKET_CONNECT_H
#define CMDB_SOCKET_CONNECT_H

#include "socket.h"

#define SOCKET_CONNECT_WAIT_MS 4000 /* for the database, from when the request came */

extern const struct db_set socket_connect_sql;

/* A new public id of a socket, or (pid) a private one; URL-safe base64. */
#define SOCKET_ID_SIZE 21
#define SOCKET_PID_SIZE 25
void socket_make_ids(char id[SOCKET_ID_SIZE], char pid[SOCKET_PID_SIZE]);

/* Is it worth another try, after a failure for want of a database? Waits a moment before it says
 * so: a client that is refused does not come again by itself. */
bool socket_connect_again(const struct socket_work *w, enum err e);
/* Who connects: by `token` or `apiKey` of the payload, else whoever made the handshake. *who is
 * the caller's to release or hand to socket_join(). */
enum err socket_connect_find(
	struct socket_work *w, const struct packet *p, const struct principal **who);
/* CONNECT to nsp failed in a way that says nothing of who it is: adds the CONNECT_ERROR. false: in
 * another way. */
bool socket_connect_failed(struct socket_work *w, struct slice nsp, enum err e);
/* CONNECT to "/". */
void socket_connect_main(struct socket_work *w, const struct packet *p);

#endif
