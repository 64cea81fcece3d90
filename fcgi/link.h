/*
 * The connection to this host's poller, which speaks lib/wire.h. It is kept up by itself: lost, it
 * is made again at once, then after 20 ms growing to 500 ms. While it is down nothing is queued:
 * parked requests say their WAIT anew when it is up, and a new poller looks for events unasked.
 * Each time it comes up the shared page is looked at again. Loop thread only.
 */
#ifndef CMDB_LINK_H
#define CMDB_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include <event2/event.h>

struct app;
struct evbuffer;
struct link;
struct parks;

struct link *link_new(struct app *app, struct event_base *base, struct parks *parks);
void link_free(struct link *l);  /* takes NULL */
void link_start(struct link *l); /* begins to connect; once */
bool link_is_up(const struct link *l);
bool link_is_idle(const struct link *l); /* up, with nothing left to send */
const char *link_epoch(
	const struct link *l);            /* of the last poller there was; "" before the first */
uint64_t link_tail(const struct link *l); /* of an up link: as it was when it came up */
/* Where frames for the poller are put: they go out with this turn of the loop. NULL while the link
 * is down. */
struct evbuffer *link_out(struct link *l);
/* These do nothing while the link is down. */
void link_cancel(struct link *l, uint64_t ticket);
void link_doorbell(struct link *l);

#endif
