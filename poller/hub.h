/*
 * What the loop thread remembers, and what its modules share: how far the log is released, the
 * ring, and the roots of waiters, groups, pages, connections and sessions. All of it belongs to the
 * loop thread; nothing in it blocks.
 *
 *   clients.h   how many there are, and may be
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
#include <sys/queue.h>

#include <event2/event.h>
#include <event2/listener.h>

#include "config.h"
#include "clients.h"
#include "figure.h"
#include "floors.h"
#include "grave.h"
#include "mailbox.h"
#include "ring.h"
#include "shared.h"

struct binlog;
struct conn_handler;
struct body;
struct census;
struct channel;
struct chores;
struct doubts;
struct errands;
struct group;
struct late;
struct observers;
struct reader;
struct sessions;
struct shm;
struct tail;

/* Their members' headers have them. */
TAILQ_HEAD(conn_list, conn);
TAILQ_HEAD(page_list, page);
TAILQ_HEAD(waiter_list, waiter);

struct hub {
	const struct config *cfg;
	struct event_base *base;
	struct mailbox mailbox;
	struct shm *shm;
	struct tail *tail_thread;
	struct binlog *binlog;
	struct reader *reader;
	struct chores *chores;
	int64_t started_ms;

	bool is_started, is_ready, has_sessions;
	char epoch[33];
	char epoch_why[160]; /* it is not the one of before; "": it is */
	uint64_t tail;
	struct floors floors;
	struct ring ring;
	struct late *late;

	struct group *groups;      /* by interest */
	size_t memos_bytes;        /* of the groups' latest answers */
	struct channel *channels;  /* channel.h */
	uint64_t routed_n;         /* events that groups were looked up for */
	uint64_t entries_routed_n; /* entries, by their keys */
	uint16_t *channel_keys; /* channel.c's: how many channels of keys there may be for a key */
	size_t waiters_n;
	struct clients clients;
	struct waiter_list ahead;
	struct page *pages;
	struct page_list pages_lru; /* the kept ones, oldest use first */
	size_t pages_kept, pages_bytes;

	struct sessions *sessions;   /* sessions.h */
	struct errands *errands;     /* errand.h */
	struct doubts *doubts;       /* session_again.h */
	struct observers *observers; /* observer.h */
	struct census *census;       /* census.h */
	struct shared_pool pool;     /* what sessions are to get that many get */

	const struct conn_handler *handler;
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

/* The tail is known, and the sessions of before the start are here. */
static inline bool hub_is_open(const struct hub *hub)
{
	return hub->is_ready && hub->has_sessions;
}

/* Was this process held up a moment ago (stopped, starved), so that what clients sent may not have
 * been heard yet? */
#define HUB_STALL_MS 2000
static inline bool hub_has_stalled(const struct hub *hub, int64_t now)
{
	return now - hub->tick_ms > HUB_STALL_MS ||
	       (hub->stall_ms && now - hub->stall_ms < HUB_STALL_MS);
}

#endif
