/*
 * A *group* is all waiters with the same interest (equal bytes); an event is matched once per group
 * and a body rendered once for all groups it comes out the same for. Channels, which are group.c's
 * own, lead from a topic or room of a tenant to the groups that may want it. A group that nobody is
 * in any more is swept. The loop thread's.
 */
#ifndef CMDB_GROUP_H
#define CMDB_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uthash.h>

#include "hub.h"
#include "wire.h"

struct body;
struct record;
struct session;

TAILQ_HEAD(member_list, session);

struct group {
	char *key; /* the interest's bytes */
	size_t key_len;
	struct wire_interest want;
	unsigned classes; /* of retention, whose floors count for it */
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

#endif
