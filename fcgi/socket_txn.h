/*
 * An event of a Socket.IO client as a unit of work (txn.h): for rows of socket.h with is_txn. Job
 * threads; blocks.
 *
 * Done once, although its POST may be looked at again: because the session changed meanwhile
 * (WIRE_DONE_STALE), or because the process that had it died and the web server sent it to another.
 * A POST whose operations the poller has done is not looked at again at all (wire.h, LOOKUP). One
 * whose transaction was committed, and whose operations were not done yet, is known by the
 * session, its number among the session's POSTs, the event's place in it and its bytes; the
 * operations that were decided on then are stored as its answer and are what is done.
 *
 * The number is that of the POSTs done so far, so what is said holds for clients that have one POST
 * at a time on its way, as Engine.IO's do (engine.io-client 6, transports/polling.ts, doWrite()).
 */
#ifndef CMDB_SOCKET_TXN_H
#define CMDB_SOCKET_TXN_H

#include "socket.h"
#include "txn.h"

/* Runs the event's handler, which may use call->txn, and leaves its operations, or those of a
 * failure. call->who is set. */
void socket_txn_run(struct socket_call *call);

#endif
