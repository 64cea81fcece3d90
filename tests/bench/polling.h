/*
 * Socket.IO clients over polling (Engine.IO protocol 4, Socket.IO protocol 5), as many as wanted in
 * one thread. Each has the namespace "/" and does what the stock client does: a GET is out all the
 * time, its answer is read and the next GET sent at once; what is to be sent goes by POST on a
 * second connection meanwhile, pongs above all. Every request carries a `t` of its own.
 *
 * With KEEP_POSTS a client's second connection is kept; else it is closed after the answer. So it
 * is for a browser whenever its server keeps an idle connection for less than the ping interval,
 * and twice the connections are more than lighttpd takes.
 *
 * All calls belong to one thread; only polling_turn() waits.
 */
#ifndef BENCH_POLLING_H
#define BENCH_POLLING_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

struct polling;

/* Called from polling_turn(). They may open and close clients. */
struct polling_on {
	/* Client i's CONNECT has been answered. */
	void (*up)(void *arg, size_t i);
	/* It got an event: packet is its JSON array, borrowed; a NUL is somewhere behind it. */
	void (*event)(void *arg, size_t i, const char *packet, size_t len);
	/* It is no more: why is NULL after polling_close(). Else it failed, and is not to be opened
	 * again. */
	void (*down)(void *arg, size_t i, const char *why);
};

struct polling_where {
	struct sockaddr_in at;
	const char *path, *token; /* borrowed */
	bool keep_posts;
};

struct polling *polling_new(
	const struct polling_where *where, size_t n, const struct polling_on *on, void *arg);
void polling_free(struct polling *p); /* takes NULL; hangs up */

/* Handshake and CONNECT of client i, which must be down. */
void polling_open(struct polling *p, size_t i);
/* Has client i, which must be up and is to say nothing else yet, emit an event: a packet, as in
 * 42["ping"]. */
void polling_say(struct polling *p, size_t i, const char *packet, size_t len);
/* Ends client i, which must be up, once what it has under way is done. */
void polling_close(struct polling *p, size_t i);
/* While it is paused no client polls again; then all that have not do. */
void polling_pause(struct polling *p, bool is_paused);
void polling_turn(struct polling *p, int timeout_ms);

size_t polling_up_n(const struct polling *p);    /* from `up` to `down` */
size_t polling_down_n(const struct polling *p);  /* nothing of them is out */
size_t polling_pongs_n(const struct polling *p); /* heartbeats answered, by all so far */

#endif
