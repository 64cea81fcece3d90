/*
 * What an HTTP client gets: rendered once, shared by reference by all who get the same. Built up
 * event by event, then finished; unchanged afterwards. The loop thread's.
 */
#ifndef CMDB_BODY_H
#define CMDB_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/buffer.h>

#include "record.h"
#include "view.h"
#include "wire.h"

#define BODY_BYTES_MAX                                                            \
	(4u * 1024 * 1024) /* with that much in it, a body takes no further event \
			    */

struct body {
	enum wire_format format;
	const char *epoch; /* borrowed */
	struct evbuffer *buf;
	size_t refs;
	size_t n;
	size_t packets_n; /* others in it, as far as its waiter's limit is for them, too */
	uint64_t last_id; /* of the last event in it */
	uint64_t cursor;  /* set by body_finish() */

	/* Of paced views (stream.h), which only an answer to a session may have. */
	struct batch *batches; /* until it is finished */
	bool is_paced;         /* there is something of them in it */
	bool has_dropped;      /* ... that was left out, as there were more than budget */
	uint32_t budget;       /* entries of views with a rate that it may have; PACE_ANY */
	uint32_t rated_n;      /* entries of such in it */
	uint64_t offset;       /* the highest that its client knows by then */
	uint64_t held;         /* what of paced views it leaves to later ones: wait.h */
};

struct body *body_new(enum wire_format format, const char *epoch);
/* Is there room for one more event of so many packets under the interest's limit? */
bool body_has_room(const struct body *b, size_t limit, size_t packets_n);
void body_add(struct body *b, const struct record *r);
/* The same of what a view shows of an event. */
void body_add_hit(struct body *b, const struct hits *h, const struct hit *hit);
/* What there is of paced views, as packets: before body_finish(). */
void body_add_batches(struct body *b, size_t limit);
/* is_more: the client should ask again at once. */
void body_finish(struct body *b, uint64_t cursor, bool is_more);
/* A reset: the client is to load a fresh snapshot and go on from `cursor`. reason: "expired",
 * "epoch" or "ahead". */
struct body *body_reset(
	enum wire_format format, const char *reason, uint64_t cursor, const char *epoch);
struct body *body_ref(struct body *b);
void body_put(struct body *b); /* takes NULL */

#endif
