/*
 * What the loop thread remembers: the ring, who waits for what, and the connections of the
 * cmdb-fcgi processes. All of it belongs to the loop thread; nothing in it blocks.
 *
 * A *waiter* is one blocked request: a ticket on a connection and a cursor. It is in exactly one
 * state, which is the list it hangs in, and waiter_move() alone changes that:
 *
 *   PARKED   in its group: everything up to the tail has been looked through for it
 *   PAGE     on a page of old events that is being read
 *   AHEAD    its cursor lies beyond the tail: another host may have released more than this one
 *
 * A *group* is all waiters with the same interest (equal bytes); an event is matched once per group
 * and a body rendered once for all groups it comes out the same for. A *channel* leads from a topic
 * or room of a tenant to the groups that may want it.
 *
 *   WAIT -> wait_begin() -> wait_go_on() -> PARKED | PAGE | AHEAD | answered
 *   released events -> fanout() -> answers for the PARKED of every group that wants one
 *   page read -> wait_go_on() for each of its waiters
 *   timer -> an answer without events, cursor moved to where it has looked
 *
 * Every answer goes through answer_add() and ends its waiters; it is sent with the next one that is
 * not the same, or at the safe point. A held GET of an
 * Engine.IO session is a waiter too, without a timeout of its own: session.h.
 *
 * Whoever goes through a list calls what may end any of its members, so: what ends leaves its lists
 * at once and is freed at the safe point (grave.h); a connection is closed there, too, never
 * in the middle of an answer; and a walk takes the first of a list until it is empty (the waiters,
 * moved to a list of the walk's own), or goes by number (the sessions), and keeps no next one.
 */
#ifndef CMDB_HUB_H
#define CMDB_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/listener.h>
#include <uthash.h>

#include "binlog.h"
#include "body.h"
#include "config.h"
#include "grave.h"
#include "late.h"
#include "mailbox.h"
#include "reader.h"
#include "record.h"
#include "ring.h"
#include "shared.h"
#include "shm.h"
#include "tail.h"
#include "wire.h"

TAILQ_HEAD(waiter_list, waiter);
TAILQ_HEAD(member_list, session);

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

struct group {
	char *key; /* the interest's bytes */
	size_t key_len;
	struct wire_interest want;
	struct waiter_list parked;
	size_t waiters_n;           /* in any state, and sessions; a group without any is swept */
	struct member_list members; /* sessions, in any state, that it is the group of */
	struct record **hits;       /* during a fan-out: what it wants of the batch */
	size_t hits_n, hits_cap;
	struct group *next_hit;
	/* The latest answer out of the ring: a crowd that returns with one cursor gets one body. */
	struct body *memo;
	uint64_t memo_since, memo_tail;
	UT_hash_handle hh;
};

struct channel {
	char *key;
	struct group **groups;
	size_t n, cap;
	UT_hash_handle hh;
};

struct conn {
	struct hub *hub;
	struct bufferevent *bev;
	enum wire_role role;
	uint32_t pid;
	uint64_t process; /* the same in all connections of one process */
	bool is_welcome;  /* HELLO was answered; until then only HELLO is taken */
	bool is_closing;  /* it is closed at the safe point; nothing more is read or written */
	bool wants_refreshed;
	struct waiter *waiters; /* by ticket */
	struct shared **given;  /* bodies that the next APPLY may name; loans */
	size_t given_n, given_bytes;
	uint64_t *tickets; /* scratch of one answer */
	size_t tickets_n, tickets_cap;
	TAILQ_ENTRY(conn) entry;
	TAILQ_ENTRY(conn) touched;
};
TAILQ_HEAD(conn_list, conn);

/* Old events between page boundaries, shared by all who catch up there. */
struct page {
	uint64_t after, upto;
	bool is_loading, is_kept;
	bool is_whole; /* all there will ever be between after and upto is on it */
	bool is_stale; /* loading, and what came meanwhile may not be in it */
	uint64_t next_id;
	size_t n;
	struct record **records;
	struct waiter_list waiters; /* while loading */
	TAILQ_ENTRY(page) lru;
	UT_hash_handle hh; /* by after */
};
TAILQ_HEAD(page_list, page);

struct hub_stats {
	uint64_t delivered_events, answers, bodies, timeouts, cancels, page_reads, page_hits;
	uint64_t resets_expired, resets_epoch, resets_ahead, protocol_errors, conns_dropped;
};

struct hub {
	const struct config *cfg;
	struct event_base *base;
	struct mailbox mailbox;
	struct shm *shm;
	struct tail *tail_thread;
	struct binlog *binlog;
	struct reader *reader;
	int64_t started_ms;

	bool is_started, is_ready;
	char epoch[33];
	char epoch_why[160]; /* it is not the one of before; "": it is */
	uint64_t tail, floor;
	struct ring ring;
	struct late late;

	struct group *groups;     /* by interest */
	size_t memos_bytes;       /* of the groups' latest answers */
	struct channel *channels; /* by tenant, kind and name */
	size_t waiters_n;
	size_t held_n; /* of these, requests of /events */
	struct waiter_list ahead;
	struct page *pages;
	struct page_list pages_lru; /* the kept ones, oldest use first */
	size_t pages_kept, pages_bytes;

	struct sessions *sessions; /* session.h */
	struct errands *errands;   /* errand.h */
	struct shared_pool pool;   /* what sessions are to get that many get */

	struct evconnlistener *listener;
	int64_t files_ms;                /* the last look whether socket and page are there */
	bool is_file_lost;               /* one is not, and cannot be made */
	struct conn_list conns, touched; /* touched: has tickets of the answer being made */
	struct grave grave;
	size_t conns_n;
	struct body *answer;    /* being made: of the tickets of those in touched; NULL: none */
	int64_t out_of_turn_ms; /* the last "_auth" event that was not where it is looked for */
	struct event *tick;
	int64_t saved_ms, floor_ms;
	int64_t tick_ms, stall_ms; /* the last tick, and the last that came far too late */
	uint64_t saved_tail;
	struct hub_stats stats;
};

/* ---- hub.c ---- */
struct hub *hub_new(const struct config *cfg, struct event_base *base);
void hub_free(struct hub *hub);
/* Ends a start with the cure when the socket cannot be made. */
void hub_listen(struct hub *hub);
/* From now on the loop thread goes by cfg, which is borrowed; the other threads keep the one that
 * they were started with. */
void hub_reload(struct hub *hub, const struct config *cfg);
void hub_stop(struct hub *hub);          /* threads joined, tail noted, connections closed */
bool hub_is_open(const struct hub *hub); /* the tail is known, and the sessions of before */
/* Was this process held up a moment ago (stopped, starved), so that what clients sent may not have
 * been heard yet? */
bool hub_has_stalled(const struct hub *hub, int64_t now);
/* May there be one client more, a waiting request or a session (poller.max_clients)? Who has not
 * shown who he is keeps out nobody: sessions without a namespace go for it, the oldest first. */
bool hub_make_room(struct hub *hub);
bool hub_is_following(const struct hub *hub); /* has the table been read lately? */

/* ---- conn.c ---- */
void conn_accept(struct hub *hub, evutil_socket_t fd);
/* At the safe point: its waiters end unanswered, the other side asks again. */
void conn_close(struct conn *c);
/* Keeps b, if it is not NULL, with what BODY gave, until the APPLY at hand is done. */
void conn_borrow(struct conn *c, struct shared *b);
void conn_return(struct conn *c);
/* Does it leave so much unread that it is given no more events, and asked for nothing? */
bool conn_is_clogged(const struct conn *c);
/* Is the process there? Not if the other end of its connection is closed, noticed or not. */
bool conn_has_process(const struct hub *hub, uint64_t process);
void conn_let_in(struct hub *hub);    /* if it is open: who said HELLO before it was */
void conn_refreshed(struct hub *hub); /* who asked for it is told the floor */
/* An "_auth" event: tells all. Out of turn: who is not there now will not find it in the ring where
 * it looks, and is told that there was something. */
void conn_revoke(struct hub *hub, const struct record *r, bool is_out_of_turn);

/* ---- answer.c ---- */
/* Answers the waiter, which ends, with b, which is finished. Those who get one body in one turn of
 * the loop, one after the other, get it in one frame a connection. */
void answer_add(struct hub *hub, struct waiter *w, struct body *b);
void answer_one(struct waiter *w, struct body *b); /* the same; takes the reference to b */
void answer_send(struct hub *hub);                 /* what was added */

/* ---- wait.c ---- */
/* A WAIT frame. false: the frame is not acceptable (*why). */
bool wait_begin(struct conn *c, const struct wire_frame *f, const char **why);
/* A waiter in state WAITER_NEW, without timer; NULL: the connection has one with this ticket. */
struct waiter *wait_new(struct conn *c, uint64_t ticket, struct group *g);
void wait_go_on(struct waiter *w);
void wait_ahead(struct waiter *w);  /* until the tail has come to its cursor */
void wait_answer(struct waiter *w); /* with what was collected for it, now */
/* With nothing: it comes again at once, for what came after its cursor. */
void wait_put_off(struct waiter *w);
void wait_recall(struct waiter *w); /* back to WAITER_NEW */
void wait_regroup(struct waiter *w, struct group *g);
void wait_end(struct waiter *w); /* frees it */
void wait_park(struct waiter *w);
void wait_tail_moved(struct hub *hub); /* looks after the AHEAD ones */
/* An event that lies behind the tail is there now: pages are read again, and who is past it on its
 * way through them is told to read anew. */
void wait_came_late(struct hub *hub, const struct record *r);
void wait_page_came(struct hub *hub, struct reader_mail *m);
void wait_floor_raised(struct hub *hub, uint64_t floor);

/* ---- group.c ---- */
/* The group of an interest, made if there is none; NULL if the bytes are no interest. */
struct group *group_get(struct hub *hub, const void *key, size_t len);
bool group_wants(const struct group *g, const struct record *r);
/* The groups that want what comes to a room of the tenant, by number; NULL: no more. */
struct group *group_of_room(struct hub *hub, uint32_t tenant_id, const char *room, size_t i);
/* Keeps b, an answer out of the ring to who asked from `since`, for those who ask the same. */
void group_keep(struct hub *hub, struct group *g, struct body *b, uint64_t since);
/* Frees those without waiters, and answers that nobody will get any more. */
void groups_sweep(struct hub *hub);
void groups_free(struct hub *hub);
void groups_forget(struct hub *hub); /* what was answered before */
/* Answers all parked waiters that want one of the records. cursor: where that brings them. is_late:
 * the records lie behind it. */
void fanout(
	struct hub *hub, struct record *const *records, size_t n, uint64_t cursor, bool is_late);

/* ---- status.c ---- */
void status_render(struct hub *hub, struct str *json);
void status_publish(struct hub *hub); /* into the shared page, for /metrics */

#endif
