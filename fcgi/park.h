/*
 * Parked requests: a request that waits for the poller. A struct park is made by a worker, given to
 * the loop once, and from then on belongs to the loop thread (but for PARK_WORKING, see there).
 *
 * What all of them have in common is here and in park.c: the lists, the watching, the sending, and
 * the ways to end. What is different is a struct park_kind: park_events.c (GET /events),
 * park_engine.c (Engine.IO), park_question.c (what the poller is asked). A kind's own members come
 * after a struct park at the beginning of its struct. To add a kind: its rows of struct park_kind
 * in a file of its own, its frames in wire.h.
 *
 * Its life: PARK_UNRESOLVED (it cannot ask the poller yet) -> PARK_WAITING (while the link is up
 * the poller has its question) -> PARK_ANSWERING (bytes are on their way out) -> freed, or for a
 * stream PARK_WAITING again. PARK_WORKING: a job thread has it (jobs.h) and gives it back; nothing
 * is watched then, and no one else touches it. Each is in the list of its state, and only
 * park_set_state() moves it, so a count is a list's length. Its ticket names one question to the
 * poller, so that an answer to an earlier one cannot be taken for this one's.
 */
#ifndef CMDB_PARK_H
#define CMDB_PARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/queue.h>
#include <uthash.h>

#include "err.h"
#include "jobs.h"
#include "perm.h"
#include "revoked.h"
#include "sink.h"
#include "wire.h"

#define PARK_SAYS_MAX 5 /* as often a question is said again to a poller that goes away over it */
#define PARK_WRITE_STALL_MS 30000 /* a client that reads nothing for so long is dropped */

enum park_state {
	PARK_NEW, /* in no list: before the first state and after the last */
	PARK_UNRESOLVED,
	PARK_WAITING,
	PARK_WORKING,
	PARK_ANSWERING,
	PARK_STATES
};

struct park;
struct worker;

struct park_kind {
	/* It has come to the loop: asks the poller (park_ask()) or answers. */
	void (*start)(struct park *p);
	/* When something is due, monotonic, while it is held. Comes before token_ends_ms. */
	int64_t (*deadline)(const struct park *p);
	void (*on_deadline)(struct park *p);
	/* Is it worth the two calls it takes to watch for a hang-up? NULL: never. */
	bool (*is_watched)(const struct park *p);
	void (*on_hang_up)(struct park *p);
	/* What was sent is written, and was not the last. */
	void (*on_written)(struct park *p);
	/* The link has come up: what waits says its question again, as it was; what could not ask
	 * may do so now. old_epoch: parks_on_up(). */
	void (*on_up)(struct park *p, const char *old_epoch);
	/* The answer to its ticket: DELIVER (with body), SESSION, DONE or ANSWER. */
	void (*on_reply)(struct park *p, const struct wire_frame *f, struct body *body);
	/* The client is to come again, now or when what is being written is written. While the
	 * process stops this is said again and again. */
	void (*release)(struct park *p);
	/* It has been said to PARK_SAYS_MAX pollers or links that then went away, and may be why:
	 * the client is to come again, or told that it cannot be served. */
	void (*give_up)(struct park *p);
	/* Ends it for a reason that is told: that its caller's token is no good any more. NULL: the
	 * poller looks after tokens. */
	void (*refuse)(struct park *p, enum err e);
	/* What a job thread does for it, which may block, and the loop's thread after that. NULL
	 * for a kind that is never PARK_WORKING.
	 * false: it needs a thread that may hash passwords, and is to be done again there. */
	bool (*work)(struct park *p, struct worker *w);
	void (*on_worked)(struct park *p);
	void (*fini)(struct park *p); /* frees its own members; may be NULL */
};

struct park {
	const struct park_kind *kind;
	/* What the worker fills in. */
	struct sink sink;
	struct caller *caller; /* NULL: the poller knows */
	int64_t checked_ms;    /* when the request came: its caller was good after that */
	int64_t token_ends_ms; /* monotonic; INT64_MAX: never */
	char request_id[33];
	char *origin; /* allowed one for CORS, or NULL */

	/* The loop's. */
	struct parks *parks;
	enum park_state state;
	TAILQ_ENTRY(park) entry;
	uint64_t walk; /* the last one that has seen it, or that it came in during: park.c */
	struct job job;
	TAILQ_ENTRY(park) job_entry; /* of the loop's list of those that come back */
	uint64_t ticket;
	unsigned says_n; /* how often this question was said again */
	UT_hash_handle hh;
	struct event io; /* hang-up or writability, and the deadline */
	int64_t parked_ms, stalled_ms;
	enum err token_end; /* what a client is told when its token's time is over */
	bool is_last;       /* PARK_ANSWERING: free it when all is written */
};

/* Zeroed memory of `size` bytes that begins with a struct park. */
struct park *park_new(const struct park_kind *kind, size_t size);
/* Whose it is, and until when: who was found good at checked_ms. */
void park_set_caller(struct park *p, const struct principal *who, int64_t checked_ms);
void park_free(struct park *p); /* of one that was never given to the loop, or that has left its
				   list; takes NULL */

struct app;
struct link;
struct parks;
struct parks *parks_new(struct app *app, struct event_base *base);
void parks_free(struct parks *ps);
void parks_set_link(struct parks *ps, struct link *link);
size_t parks_total(const struct parks *ps); /* all that are held */

/* Takes p. */
void parks_add(struct parks *ps, struct park *p);
/* What a job thread had is back. */
void parks_on_worked(struct parks *ps, struct park *p);
/* The stop: each is answered as soon as it can be. */
void parks_release(struct parks *ps);

/* What the link tells. */
/* old_epoch: what it was before, if the poller is now one of another log; else NULL. */
void parks_on_up(struct parks *ps, const char *old_epoch);
void parks_on_deliver(struct parks *ps, const struct wire_frame *f, struct body *body);
void parks_on_reply(struct parks *ps, uint64_t ticket, const struct wire_frame *f);
void parks_on_revoked(struct parks *ps, enum wire_revoke what, uint64_t user_id, struct slice jti);

/* ---- for kinds; the loop thread alone ---- */

struct app *park_app(const struct park *p);
struct link *park_link(const struct park *p);
bool park_is_stopping(const struct park *p);
void park_set_state(struct park *p, enum park_state state);
/* Gives p a new ticket and the state, for a question to be put to the poller now or, if the link is
 * down, when it is up. */
void park_ask(struct park *p, enum park_state state);
/* Has a job thread do the kind's work. */
void park_work(struct park *p);
/* Watches for what comes next in p's state: hang-up or room to write, and its deadline. */
void park_watch(struct park *p);
/* Frees p; tells the poller if it waits. */
void park_end(struct park *p);
void park_refuse(struct park *p, enum err e); /* counts, and has the kind do it */
/* Why p is to be refused by now: nobody is told so while it is PARK_WORKING. ERR_OK: it is not. */
enum err park_refused(struct park *p);
/* After something was sent: p is freed, has more to write, or goes on (kind->on_written). */
void park_sent(struct park *p, enum sink_state state);
/* The head of an answer of p. length -1: not known. headers may be NULL. */
void park_put_head(struct park *p, struct str *head, int status, const char *type,
	const char *headers, int64_t length);
/* Sends a whole answer; p is freed when it is written. */
void park_answer(
	struct park *p, int status, const char *type, const char *headers, struct body *body);
/* The same with the failure body for e (http_put_error()). */
void park_fail(struct park *p, enum err e, const char *message, const char *details);
/* As park_answer(), without what follows from it: for whoever ends p at once. */
enum sink_state park_put_answer(
	struct park *p, int status, const char *type, const char *headers, struct body *body);

#endif
