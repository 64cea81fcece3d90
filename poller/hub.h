/*
 * What the loop thread remembers, and what its modules share: how far the log is released, the
 * ring, and the roots of waiters, groups, pages, connections and sessions. All of it belongs to the
 * loop thread; nothing in it blocks.
 *
 *   conn.h      connections of the cmdb-fcgi processes
 *   wait.h      blocked requests, and their states
 *   group.h     who wants the same, and the fan-out
 *   page.h      old events, on their way from the table
 *   answer.h    what waiters get
 *   late.h      what came behind the tail
 *   session.h   Engine.IO sessions
 *
 * Whoever goes through a list calls what may end any of its members, so: what ends leaves its lists
 * at once and is freed at the safe point (grave.h); a connection is closed there, too; and a walk
 * takes the first of a list until it is empty, or goes by number (the sessions), and keeps no next
 * one.
 */
#ifndef CMDB_HUB_H
#define CMDB_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>
#include <event2/listener.h>

#include "config.h"
#include "conn.h"
#include "figure.h"
#include "floors.h"
#include "grave.h"
#include "late.h"
#include "mailbox.h"
#include "page.h"
#include "ring.h"
#include "shared.h"
#include "wait.h"

struct binlog;
struct body;
struct channel;
struct errands;
struct group;
struct observers;
struct reader;
struct sessions;
struct shm;
struct tail;

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
	uint64_t tail;
	struct floors floors;
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

	struct sessions *sessions;   /* sessions.h */
	struct errands *errands;     /* errand.h */
	struct observers *observers; /* observer.h */
	struct shared_pool pool;     /* what sessions are to get that many get */

	struct evconnlistener *listener;
	int64_t files_ms;                /* the last look whether socket and page are there */
	bool is_file_lost;               /* one is not, and cannot be made */
	struct conn_list conns, touched; /* touched: has tickets of the answer being made */
	struct grave grave;
	size_t conns_n;
	struct body *answer;    /* being made: of the tickets of those in touched; NULL: none */
	int64_t out_of_turn_ms; /* the last "_auth" event that was not where it is looked for */
	struct event *tick;
	int64_t saved_ms, floors_ms;
	int64_t tick_ms, stall_ms; /* the last tick, and the last that came far too late */
	uint64_t saved_tail;
	_Atomic uint64_t figures[FIGURE_N]; /* lib/figure.h */
};

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

#endif
