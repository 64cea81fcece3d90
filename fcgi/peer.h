/*
 * Connections of web servers while no request on them is being worked on. The loop accepts them,
 * reads requests without waiting, and hands each that is whole to the workers (app->requests).
 * Loop thread only, but for peer_new_answered() and peers_busy_n().
 *
 * Life: PEER_READING (a request is coming) -> it is whole, and a worker's -> its answer is written
 * by the worker or a park, and what of that did not fit the socket here, PEER_WRITING -> with
 * FCGI_KEEP_CONN PEER_IDLE, until the next request begins; else closed. What was answered before
 * its body had come whole is PEER_CLOSING: closed for writing, and read and forgotten for a while,
 * for to close it at once would throw away the answer on its way. Each is in the list of its state,
 * and only peer_move() in peer.c changes it.
 *
 * What holds, whoever sends how slowly: a request has fcgi.request_timeout_ms from its first byte,
 * or its connection, to its last (408 then); at most fcgi.max_receiving are being read and all
 * requests hold at most fcgi.receive_bytes, else the one that has taken longest is told 503, never
 * a new one: honest requests take milliseconds. Of answers that nobody reads it keeps
 * fcgi.memory_bytes; past that the one of which nothing was read for longest is dropped.
 */
#ifndef CMDB_PEER_H
#define CMDB_PEER_H

#include <stdbool.h>
#include <stddef.h>

#include <event2/event.h>

#include "sink.h"

struct app;
struct gateway;
struct peer;
struct peers;

struct peers *peers_new(struct app *app, struct event_base *base);
void peers_free(struct peers *ps); /* takes NULL */
/* Accepts connections of g from now on. */
void peers_open(struct peers *ps, struct gateway *g);
/* The process is to end: accepts no more, closes what is idle; what is being read may come whole.
 */
void peers_shut(struct peers *ps);
/* How many are being read or written. Any thread. */
size_t peers_busy_n(struct peers *ps);

/* A connection whose answer has been given to s, which is taken. is_cut: not all that it sent was
 * read. Any thread; for loop_return(). */
struct peer *peer_new_answered(const struct sink *s, bool is_cut);
void peer_chain(struct peer **chain, struct peer *p); /* puts p before it */
void peers_take_back(struct peers *ps, struct peer *chain);
/* A park's answer is written: keeps or closes its connection. */
void peers_keep(struct peers *ps, struct sink *s);

#endif
