/*
 * A *waiter* is one blocked request: a ticket on a connection and a cursor. It is in exactly one
 * state, which is the list it hangs in, and one function alone changes that:
 *
 *   PARKED   in its group: everything up to the tail has been looked through for it
 *   PAGE     on a page of old events that is being read
 *   AHEAD    its cursor lies beyond the tail: another host may have released more than this one
 *
 *   WAIT -> wait_begin() -> wait_go_on() -> PARKED | PAGE | AHEAD | answered
 *   released events -> fanout() -> answers for the PARKED of every group that wants one
 *   page read -> wait_go_on() for each of its waiters
 *   timer -> an answer without events, cursor moved to where it has looked
 *
 * It ends by its answer (answer.h), by wait_end(), or with its connection; its memory goes at the
 * safe point (grave.h). A walk through waiters takes the first of a list, moved to one of the
 * walk's own, until it is empty, and keeps no next one. A held GET of an Engine.IO session is a
 * waiter too, without a timeout of its own: session_poll.h. The loop thread's.
 */
#ifndef CMDB_WAIT_H
#define CMDB_WAIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event_struct.h>
#include <uthash.h>

struct body;
struct conn;
struct floors;
struct group;
struct hub;
struct reader_mail;
struct record;
struct session;
struct wire_frame;

TAILQ_HEAD(waiter_list, waiter);

enum waiter_state { WAITER_NEW, WAITER_PARKED, WAITER_PAGE, WAITER_AHEAD };

struct waiter {
	uint64_t ticket; /* key in conn->waiters */
	struct conn *conn;
	struct group *group;
	uint64_t cursor; /* all it wants up to here it has */
	int64_t deadline_ms;
	enum waiter_state state;
	struct waiter_list *list; /* the one it hangs in */
	TAILQ_ENTRY(waiter) entry;
	struct event timer;
	struct body *partial;    /* old events collected for it so far; NULL: none */
	struct session *session; /* whose GET it is; NULL: a request of /events */
	char *who, *address;     /* of a request of /events that is counted, else NULL */
	UT_hash_handle hh;
};

/* A WAIT frame. false: the frame is not acceptable (*why). */
bool wait_begin(struct conn *c, const struct wire_frame *f, const char **why);
/* A waiter in state WAITER_NEW, without timer; NULL: the connection has one with this ticket. */
struct waiter *wait_new(struct conn *c, uint64_t ticket, struct group *g);
/* Goes on from the cursor until there is an answer, or something to wait for. */
void wait_go_on(struct waiter *w);
void wait_ahead(struct waiter *w);  /* until the tail has come to its cursor */
void wait_answer(struct waiter *w); /* with what was collected for it, now */
/* With nothing: it comes again at once, for what came after its cursor. */
void wait_put_off(struct waiter *w);
void wait_recall(struct waiter *w); /* back to WAITER_NEW */
void wait_regroup(struct waiter *w, struct group *g);
void wait_park(struct waiter *w);
void wait_end(struct waiter *w); /* without an answer */

void wait_tail_moved(struct hub *hub); /* looks after the AHEAD ones */
/* An event that lies behind the tail is there now: pages are read again, and who is past it on its
 * way through them is told to read anew. */
void wait_came_late(struct hub *hub, const struct record *r);
void wait_page_came(struct hub *hub, struct reader_mail *m);
void wait_floors_raised(struct hub *hub, const struct floors *floors);
/* Is what the waiters of g want no longer complete behind this cursor? */
bool wait_has_expired(const struct hub *hub, const struct group *g, uint64_t cursor);

#endif
