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
};

struct body *body_new(enum wire_format format, const char *epoch);
/* Is there room for one more event under the interest's limit? */
bool body_has_room(const struct body *b, size_t limit);
void body_add(struct body *b, const struct record *r);
/* is_more: the client should ask again at once. */
void body_finish(struct body *b, uint64_t cursor, bool is_more);
/* A reset: the client is to load a fresh snapshot and go on from `cursor`. reason: "expired",
 * "epoch" or "ahead". */
struct body *body_reset(
	enum wire_format format, const char *reason, uint64_t cursor, const char *epoch);
struct body *body_ref(struct body *b);
void body_put(struct body *b); /* takes NULL */

#endif
