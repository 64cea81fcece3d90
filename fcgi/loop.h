/*
 * The one thread that never blocks: it holds the parked requests and the link to the poller.
 * It accepts and reads requests as well (peer.h). Workers hand it things through loop_*(), which
 * any thread may call; everything else about it is its own. In CGI mode there is no such thread:
 * main() runs the loop when the request has been parked.
 */
#ifndef CMDB_LOOP_H
#define CMDB_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct app;
struct loop;
struct park;
struct worker;

struct loop *loop_new(struct app *app);
void loop_free(struct loop *l); /* takes NULL; when no thread uses it any more */
void loop_run(struct loop *l);  /* the thread's body: until loop_stop() and the last answer */
/* CGI: until the parked request is answered and the poller has been told of a commit. w does what
 * job threads do elsewhere. */
void loop_run_once(struct loop *l, struct worker *w);

/* Room for one more parked request, of at most `max`; false: refuse it. What was reserved is given
 * back when the park ends. */
bool loop_reserve(struct loop *l, size_t max);
void loop_release(struct loop *l);
size_t loop_parked_n(struct loop *l);
/* Before the thread runs: where requests come from, and from when on no new ones are taken. */
struct gateway;
struct peer;
struct sink;
void loop_open(struct loop *l, struct gateway *g);
void loop_shut(struct loop *l);
/* Are requests still arriving, or answers on their way out? */
bool loop_is_busy(struct loop *l);
/* A worker has answered: what could not be written, or a connection that lives on. Takes p. */
void loop_return(struct loop *l, struct peer *p);
/* A park has answered; the loop's thread. Takes the connection if it lives on. */
void loop_keep(struct loop *l, struct sink *s);
/* Takes p. */
void loop_park(struct loop *l, struct park *p);
/* A job thread is done with p. */
void loop_worked(struct loop *l, struct park *p);
/* Something was committed here: tell the poller. Many calls become one message. */
void loop_doorbell(struct loop *l);
/* Ends what is parked, and then the loop, at deadline_ms at the latest. */
void loop_stop(struct loop *l, int64_t deadline_ms);
bool loop_is_linked(struct loop *l);

#endif
