/*
 * A *waiter* is one blocked request: a ticket on a connection and a cursor. It is in exactly one
 * state, which is the list it hangs in, and one function alone changes that:
 *
 *   PARKED   in its group: everything up to the tail has been looked through for it
 *   PAGE     on a page of old events that is being read
 *   AHEAD    its cursor lies beyond the tail: another host may have released more than this one
 *
 *   wait_new() -> wait_go_on() -> PARKED | PAGE | AHEAD | answered
 *   released events -> fanout() -> answers for the PARKED of every group that wants one
 *   page read -> wait_go_on() for each of its waiters
 *   timer -> an answer without events, cursor moved to where it has looked
 *
 * It ends by its answer, by wait_end(), or with its connection; its memory goes at the safe point
 * (grave.h). A walk through waiters takes the first of a list, moved to one of the walk's own,
 * until it is empty, and keeps no next one. The loop thread's.
 *
 * To add a kind of waiter: a struct waiter_kind. There are requests of /events (wait_events.h), and
 * held GETs of Engine.IO sessions (session_poll.h).
 */
#ifndef CMDB_WAIT_H
#define CMDB_WAIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event_struct.h>
#include <uthash.h>

#include "figure.h"
#include "group.h"

struct body;
struct conn;
struct floors;
struct group;
struct pace;
struct hub;
struct reader_mail;
struct record;
struct wire_frame;

struct waiter;

/* Any may be NULL. */
struct waiter_kind {
	bool has_timeout;  /* or its owner's own timer ends its wait */
	bool is_told_late; /* is told of what comes behind its cursor by other means */
	void (*answered)(struct waiter *w, const struct body *b); /* it ends now */
	void (*ended)(
		struct waiter *w); /* answered or not; it may be gone from its owner already */
	/* It cannot be given all behind its cursor. NULL: a reset is its answer. */
	void (*is_reset)(struct waiter *w);
	void (*hung_up)(struct waiter *w);  /* its client did, and it is to end */
	void (*released)(struct waiter *w); /* its process asks for an answer now */
	/* Something of paced views was held, and their window is over: wait_window_over(). */
	void (*window_over)(struct waiter *w);
	bool (*is_choosy)(const struct waiter *w); /* does it skip anything its group wants? */
	/* Does it, of what it is shown by right or for its room, or by a view? */
	bool (*skips)(const struct waiter *w, const struct record *r, bool by_view);
};

enum waiter_state { WAITER_NEW, WAITER_PARKED, WAITER_PAGE, WAITER_AHEAD };

/* A session's paced views (pace.h) are looked through from a cursor of their own, which may lie
 * behind. A walk begins at the lower one if their window is over, and then takes of each event what
 * its views have not been shown; else at that of the others, and what comes of paced views is held:
 * the waiter waits for their window then, too, and walks from there. */
#define WAIT_HOLDS_NOTHING UINT64_MAX

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
	struct body *partial; /* old events collected for it so far; NULL: none */
	const struct waiter_kind *kind;
	void *owner;         /* its kind's */
	char *who, *address; /* of a request of /events that is counted, else NULL */
	bool is_costly;      /* counted as such, too */
	struct pace *pace;   /* of its session; NULL: it has no paced views */
	uint64_t held;       /* as in start, by now */
	size_t work;         /* bytes that filters looked through since it went on */
	struct start start;
	UT_hash_handle hh;
};

/* A waiter in state WAITER_NEW, without timer, owned by owner; NULL: the connection has one with
 * this ticket. */
struct waiter *wait_new(struct conn *c, uint64_t ticket, struct group *g,
	const struct waiter_kind *kind, void *owner);
struct waiter *wait_find(const struct conn *c, uint64_t ticket);
/* Goes on from the cursor until there is an answer, or something to wait for. */
void wait_go_on(struct waiter *w);
void wait_start(struct waiter *w); /* the same; a walk begins, at what is due by now */
/* May it be given b, with what is in it of paced views, now? If not, that is held: the waiter is
 * parked again, and goes on from `before` when it is time. */
bool wait_may_have(const struct waiter *w, const struct body *b);
void wait_hold(struct waiter *w, uint64_t before);
void wait_window_over(struct waiter *w); /* what is held is due */
/* Up to where it has all but its paced views, on its way there. */
uint64_t wait_seen(const struct waiter *w);
/* Up to where it has been shown its paced views, if it has the others up to `cursor`. */
uint64_t wait_shown(const struct waiter *w, uint64_t cursor);
/* To a list of a walk's own, in their states. */
void wait_take_all(struct waiter_list *from, struct waiter_list *to);
void wait_ahead(struct waiter *w); /* until the tail has come to its cursor */
/* Answers it, which ends, with b, which is finished. */
void wait_give(struct waiter *w, struct body *b);
void wait_give_one(struct waiter *w, struct body *b); /* the same; takes the reference to b */
void wait_answer(struct waiter *w);                   /* with what was collected for it, now */
/* With nothing: it comes again at once, for what came after its cursor. */
void wait_put_off(struct waiter *w);
/* With a reset, which is counted; or as its kind has it. */
void wait_reset(struct waiter *w, const char *reason, enum figure counter);
void wait_arm(struct waiter *w);    /* its timer, if its kind has a timeout */
void wait_recall(struct waiter *w); /* back to WAITER_NEW */
void wait_regroup(struct waiter *w, struct group *g);
void wait_park(struct waiter *w);
void wait_end(struct waiter *w);     /* without an answer */
void wait_conn_gone(struct conn *c); /* all of its */

void wait_tail_moved(struct hub *hub); /* looks after the AHEAD ones */
/* An event that lies behind the tail is there now: pages are read again, and who is past it on its
 * way through them is told to read anew. */
void wait_came_late(struct hub *hub, const struct record *r);
void wait_page_came(struct hub *hub, struct reader_mail *m);
void wait_floors_raised(struct hub *hub, const struct floors *floors);
/* Is what the waiters of g want no longer complete behind this cursor? */
bool wait_has_expired(const struct hub *hub, const struct group *g, uint64_t cursor);

#endif
