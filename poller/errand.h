/*
 * Errands: what has to look at every session, as a question about all of them or a cast. They are
 * done one after the other, a few sessions a turn of the loop, so that however many sessions there
 * are nobody waits for one. All of it belongs to the loop thread.
 *
 * Its life: errand_new() -> errand_add() -> start(), if it has that -> visit() for each session
 * that has a sid -> finish() -> ANSWER -> freed. Sessions come and go meanwhile: it sees each one
 * that is there all the while. A question ends when nobody waits for its answer any more; what
 * goes_on is done all the same.
 *
 * To add a kind: a struct that begins with a struct errand, and its struct errand_kind.
 */
#ifndef CMDB_ERRAND_H
#define CMDB_ERRAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "str.h"
#include "wire.h"

struct abroad;
struct conn;
struct errand;
struct hub;
struct session;

struct errand_kind {
	/* Asks elsewhere for what it needs first; true: it waits until errand_go(). May be NULL. */
	bool (*start)(struct errand *e);
	void (*take)(struct errand *e, struct abroad *a);   /* what it waited for; takes it */
	void (*visit)(struct errand *e, struct session *s); /* which it may close */
	/* The answer: OK with json, or NONE. */
	enum wire_answer (*finish)(struct errand *e, struct str *json);
	void (*fini)(struct errand *e); /* frees its own members; may be NULL */
	bool goes_on;
};

struct errand {
	const struct errand_kind *kind;
	struct hub *hub;
	struct conn *conn; /* who is answered; NULL: nobody */
	uint64_t ticket;
	uint64_t id; /* once it is added */
	bool is_waiting;
	uint32_t num; /* sessions_next() */
	TAILQ_ENTRY(errand) entry;
};

struct errands;
struct errands *errands_new(struct hub *hub);
void errands_free(struct errands *es); /* takes NULL */

/* Zeroed memory of `size` bytes that begins with a struct errand. */
struct errand *errand_new(struct hub *hub, const struct errand_kind *kind, size_t size);
void errand_free(struct errand *e); /* of one that was not added; takes NULL */
/* Takes e, if true; false: too many wait already. c NULL: nobody is answered. */
bool errand_add(struct errand *e, struct conn *c, uint64_t ticket);
/* The one with this id, if it waits for errand_go(); NULL: it has ended. */
struct errand *errand_waiting(struct errands *es, uint64_t id);
void errand_go(struct errand *e);
/* Nobody waits for this answer any more, or for any on this connection. Not while one is done. */
void errands_cancel(struct errands *es, struct conn *c, uint64_t ticket);
void errands_conn_gone(struct errands *es, struct conn *c);

#endif
