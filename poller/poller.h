/*
 * A poller from its beginning to its end: its hub, its threads, its socket, and what the threads
 * tell. poller_new() makes it without a thread or a file; poller_run() starts the threads that
 * follow the log and read and write the database. The loop thread's.
 */
#ifndef CMDB_POLLER_H
#define CMDB_POLLER_H

struct config;
struct event_base;
struct hub;
struct mail;

struct hub *poller_new(const struct config *cfg, struct event_base *base);
void poller_run(struct hub *hub);
/* Ends a start with the cure when the socket cannot be made. */
void poller_listen(struct hub *hub);
/* From now on the loop thread goes by cfg, which is borrowed; the other threads keep the one that
 * they were started with. */
void poller_reload(struct hub *hub, const struct config *cfg);
void poller_stop(struct hub *hub); /* threads joined, tail noted, connections closed */
void poller_free(struct hub *hub);

/* What the tail tells (tail.h), which calls them on the loop thread: a struct tail_start, a struct
 * tail_batch. They free it. */
void poller_on_start(struct mail *mail, void *hub);
void poller_on_batch(struct mail *mail, void *hub);

#endif
