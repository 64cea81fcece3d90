/*
 * A *group* is all waiters with the same interest (equal bytes); an event is matched once per group
 * and a body rendered once for all groups it comes out the same for (fanout.h). Channels
 * (channel.h) lead from what an event is of to the groups that may want it. A group that nobody is
 * in any more is swept. The loop thread's.
 */
#ifndef CMDB_GROUP_H
#define CMDB_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uthash.h>

#include "hub.h"
#include "view.h"
#include "wire.h"

struct body;
struct record;
struct session;

TAILQ_HEAD(member_list, session);

/* How a walk began: who begins alike comes out alike. */
struct start {
	uint64_t cursor; /* where it began */
	uint64_t plain;  /* up to there it has all of its views without a pace */
	uint64_t held;   /* the events of paced ones behind that are still to be shown */
	bool is_open;    /* their window is over */
	uint32_t budget; /* of entries that have a rate */
};

struct group {
	char *key; /* the interest's bytes */
	size_t key_len;
	struct wire_interest want;
	unsigned classes; /* of retention, whose floors count for it */
	struct waiter_list parked;
	size_t waiters_n;           /* in any state, and sessions; a group without any is swept */
	struct member_list members; /* sessions, in any state, that it is the group of */
	struct asked_view *views;   /* on asking */
	size_t views_n;
	bool is_costly;     /* one of them looks through texts (stream.h) */
	bool is_paced;      /* there are such with a pace; all of them: */
	uint32_t window_ms; /* the longest window */
	uint32_t per_s;     /* the lowest rate; 0: none has one */
	struct hits hits;   /* during a fan-out: what it is shown of the batch */
	uint64_t looked;    /* the last event that it was asked about then, by fanout.c's count */
	uint64_t looked_entry; /* the last entry of one, likewise */
	struct group *next_hit;
	/* The latest answer out of the ring: a crowd that returns with one cursor gets one body. */
	struct body *memo;
	struct start memo_start;
	uint64_t memo_tail;
	UT_hash_handle hh;
};

/* The group of an interest, made if there is none; NULL if the bytes are no interest. */
struct group *group_get(struct hub *hub, const void *key, size_t len);
/* Is it shown the event, by any of its views? By right, or for its room? */
bool group_wants(const struct group *g, const struct record *r);
bool group_wants_by_right(const struct group *g, const struct record *r);
/* Adds what it is shown of the event, a hit for each view. */
void group_match(const struct group *g, const struct record *r, struct hits *h);
/* The same of one entry of an event without a room, of a group that hangs in channels of keys
 * alone: entries are asked about in their order. */
void group_match_entry(const struct group *g, const struct record *r, uint32_t i, struct hits *h);
/* The groups that want what comes to a room of the tenant, by number; NULL: no more. */
struct group *group_of_room(struct hub *hub, uint32_t tenant_id, const char *room, size_t i);
/* Keeps b, an answer out of the ring to who began there, for those who ask the same. */
void group_keep(struct hub *hub, struct group *g, struct body *b, const struct start *start);
/* Frees those without waiters, and answers that nobody will get any more. */
void groups_sweep(struct hub *hub);
void groups_free(struct hub *hub);
void groups_forget(struct hub *hub); /* what was answered before */

#endif
