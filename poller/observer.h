/*
 * Observers of sessions: who wants to know that sockets join and leave, hear and are sent
 * something, and which rooms they are in. Each is a struct observer, a row of the table in
 * observers.c; whatever happens to a session is told here, and by nobody to an observer directly.
 *
 * An observer is called in the middle of things, of a fan-out, too. It may queue something, within
 * session_has_room(), but answer or close a session only from its tick. What it is told of each
 * event (heard, sent, answered) costs nothing while nobody watches: observers_watch().
 *
 * To add one: a struct observer, and its row. The loop thread's.
 */
#ifndef CMDB_OBSERVER_H
#define CMDB_OBSERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "session.h"

struct body;
struct group;
struct observers;

/* start() makes what the others are given as `me`; but for start and stop any may be NULL. */
struct observer {
	void *(*start)(struct hub *hub);
	void (*stop)(void *me);
	void (*tick)(void *me, int64_t now);
	void (*adopted)(void *me, struct session *s); /* it was there before the start */
	void (*joined)(void *me, struct session *s, struct sock *k);
	void (*left)(void *me, struct session *s, struct sock *k, enum session_end how);
	/* Its socket in "/" is in the room now, or is not any more, by a change of what it wants.
	 */
	void (*room)(void *me, struct session *s, struct sock *k, const char *room, bool is_in);
	void (*regrouped)(void *me, struct session *s, const struct group *was);
	/* While anybody watches: */
	void (*heard)(void *me, struct session *s, struct sock *k, struct slice args);
	void (*sent)(
		void *me, struct session *s, struct sock *k, struct slice args); /* to k alone */
	void (*answered)(void *me, struct session *s, const struct body *b); /* with b's events */
};

/* A table of them, which ends with NULL. */
struct observers *observers_new(struct hub *hub, const struct observer *const *table);
void observers_free(struct observers *os); /* takes NULL */

/* For an observer: one more watches it, or one less. */
void observers_watch(struct observers *os);
void observers_unwatch(struct observers *os);
/* Does anybody watch, so that it is worth telling what sockets say? */
bool observers_are_watched(const struct observers *os);

void observers_tick(struct observers *os, int64_t now);
void observe_adopted(struct session *s);
void observe_joined(struct session *s, struct sock *k);
void observe_left(struct session *s, struct sock *k, enum session_end how); /* is leaving */
void observe_regrouped(struct session *s, const struct group *was); /* it wants something else */
void observe_heard(struct session *s, struct sock *k, struct slice args);
void observe_sent(struct session *s, struct sock *k, struct slice args);
void observe_answered(struct session *s, const struct body *b);

#endif
