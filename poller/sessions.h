/*
 * All sessions: the lists that are their states, how they are found, and what is theirs together.
 * The loop thread's. Whoever walks through them and may close one goes by number.
 */
#ifndef CMDB_SESSIONS_H
#define CMDB_SESSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "revoked.h"
#include "rights.h"
#include "session.h"

struct group;
struct hub;
struct journal;
struct over;
struct saver;

struct sessions {
	struct hub *hub;
	struct session *by_key, *by_pid;
	struct session_list lists[SESSION_STATES], dirty;
	struct session_list holders; /* who has fetched nothing for longest comes first */
	size_t held_bytes;           /* what they hold of their own; what they share: hub->pool */
	size_t n[SESSION_STATES];
	struct session **slots;     /* by num */
	size_t slots_n, slots_free; /* slots_free: where to look for a free one */
	struct revocations lately;
	struct over *overs;       /* session_over.h */
	uint64_t boot;            /* clock_boot() */
	struct rights_set rights; /* of all of them */
	struct group *nothing;    /* the group of those that want no events */
	struct journal *journal;
	struct saver *saver;
	int64_t saved_ms, refreshed_ms;
};

struct sessions *sessions_new(struct hub *hub);
void sessions_free(struct sessions *ss);
/* hub->epoch, tail and floors are those of another log: no cursor of before means anything in it.
 * Sessions that follow it end, and none is recovered from before. */
void sessions_epoch_changed(struct sessions *ss);
void sessions_stop(struct sessions *ss);
void sessions_tick(struct sessions *ss, int64_t now);
size_t sessions_live_n(const struct sessions *ss);
/* Ends the session that has been without a namespace for longest; false: there is none. */
bool sessions_evict(struct sessions *ss);

struct session *session_find(struct sessions *ss, struct slice sid);
struct session *session_find_pid(struct sessions *ss, const unsigned char pid[SESSION_KEY_SIZE]);
struct session *sessions_at(const struct sessions *ss, uint32_t num); /* NULL: none */
/* A walk through all that have a sid, by number, so that any may end or be made in the middle of
 * it: begin with *num = 0; NULL at the end. */
struct session *sessions_next(const struct sessions *ss, uint32_t *num);

#endif
