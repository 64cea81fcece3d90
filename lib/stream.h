/*
 * Streams: what there is to a topic, one row each, read by both programs. Nothing else lists
 * topics. A row says who may read the topic, how a Socket.IO socket comes to be sent it and in
 * which form, how fast, filtered by what, and how long its events are kept. Topics that have no row
 * can be published by SQL, too: they are read with the permission <topic>:read, by /events alone,
 * and kept as lasting.
 *
 * A *view* is one way in which sockets are shown a stream: an event reaches a socket once for each
 * of its views that it matches. A socket has a view by right, by being who it is, or on asking, as
 * long as it has the permission. A *shape* makes a Socket.IO event of a row of ws_events.
 *
 * A row of ws_events may carry many entries, if its stream has such: then a payload that is an
 * array is that of one event, and its elements are what a filter chooses among and what a pace
 * counts. Any other payload is one entry.
 *
 * To add a topic, add its row in streams.c, and the pure functions of a shape or a filter if it has
 * one that is new. All of it is const and pure: any thread, nothing blocks, nothing is owned.
 */
#ifndef CMDB_STREAM_H
#define CMDB_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "perm.h"
#include "str.h"

struct config;
struct event_row;
struct json_object;
struct room_kind;

/* How long events stay in the log; each class has a floor of its own (retention in docs/http.md).
 */
enum retention { RETENTION_LASTING, RETENTION_BRIEF, RETENTION_N };

enum stream_grant {
	STREAM_NO_VIEW,   /* ends the views of a row */
	STREAM_BY_RIGHT,  /* every socket of "/" that may read it has the view */
	STREAM_ON_ASKING, /* sockets that have subscribed to it, and may */
	STREAM_BY_EVENT,  /* the same, but by an event of its own, as log:subscribe */
	STREAM_IN_EVENTS  /* GET /events that asks for it with a filter; it has no shape */
};

/* How an event looks on a socket: the inside of its packet's array, the event's name first.
 * payload is JSON. */
struct stream_shape {
	const char *name;
	void (*put)(struct str *out, const struct event_row *e, struct slice payload);
	/* For paced views, else NULL: an entry as one of a batch; the batch of n of them, joined by
	 * commas (one alone is no batch: it is as from put); and what tells that n entries with ids
	 * from `from` to `to` are not sent. */
	void (*put_entry)(struct str *out, const struct event_row *e, struct slice entry);
	void (*put_batch)(struct str *out, struct slice entries, size_t n);
	void (*put_dropped)(struct str *out, uint64_t n, uint64_t from, uint64_t to);
};

/* How fast a view on asking is shown. What comes first after a quiet spell goes at once. The paced
 * views of a socket have one window, the longest of theirs, and one rate, the lowest. */
struct stream_pace {
	uint32_t window_ms; /* what comes within that after an answer is one batch */
	uint16_t batch_max; /* entries of one batch; more make several */
	uint16_t newest_n;  /* of a window, no more than the newest so many; 0: all */
	uint32_t per_s;     /* entries a second and socket, past which they are dropped; 0: any */
	int64_t (*per_s_set)(
		const struct config *cfg); /* what is configured instead; may be NULL */
};

/* Which entries of a stream a view on asking shows. A filter is its canonical bytes: equal wishes
 * have equal ones, and none at all is all entries. The views of a stream that have filters have the
 * same kind. */
struct stream_filter {
	/* From what a client asks for. false: *problem says what is wrong, for the client. */
	bool (*parse)(struct json_object *ask, struct str *filter, const char **problem);
	/* What filters look at in an entry, in a form of the filter's own: made once, when the
	 * event is read, and kept with it. */
	void (*digest)(struct str *out, const struct event_row *e, struct slice entry);
	bool (*matches)(struct slice filter, struct slice digest);
	/* Visits the keys that the filter is found by: it matches no entry that has none of them.
	 * None visited: it is looked at for every event. */
	void (*keys)(struct slice filter, void (*visit)(struct slice key, void *arg), void *arg);
	/* The same of an entry. */
	void (*entry_keys)(
		struct slice digest, void (*visit)(struct slice key, void *arg), void *arg);
	/* How often it may look through an entry, at most. NULL: once. Of filters that do so more
	 * often one user may have so many: logs.max_keyword_views. */
	unsigned (*looks)(struct slice filter);
	/* As JSON, for people. Not of an empty one. */
	void (*show)(struct slice filter, struct str *out);
	/* By what clients name an entry, in put_dropped(). NULL: by its event's id. */
	uint64_t (*entry_id)(struct slice digest);
};

struct stream_view {
	enum stream_grant grant;
	const struct stream_shape *shape;
	const struct stream_pace *pace;     /* NULL: each event at once */
	const struct stream_filter *filter; /* NULL: all of them */
};

#define STREAM_VIEWS_MAX 3

struct stream {
	const char *topic; /* NULL ends the table */
	const char *perm;  /* to read it; NULL: "<topic>:read" */
	enum retention retention;
	bool has_rows;    /* a resource: `request:<topic>` brings a client's copy up to date */
	bool has_entries; /* a payload that is an array is one of entries */
	bool is_console;  /* in what a plain GET of the console's WebSocket address is shown */
	struct stream_view views[STREAM_VIEWS_MAX];
	/* Its events go to rooms of this kind, too. NULL: to rooms of others, or none. */
	const struct room_kind *room;
};

/* streams.c */
extern const struct stream streams[];
/* <topic>:update {"eventId","type","data"}, or a row's own name and payload. */
extern const struct stream_shape stream_shape_update;
/* log:new, log:batch, log:dropped; log_shape.c. */
extern const struct stream_shape stream_shape_log;

const struct stream *stream_find(const char *topic); /* NULL: it has no row */
bool stream_is_asked(const struct stream *st);       /* are there views of it that are asked for? */
/* Which of its views is granted like that; -1: none. */
int stream_view_by(const struct stream *st, enum stream_grant grant);
/* Is it a view that sockets ask for? */
bool stream_view_is_asked(const struct stream *st, size_t view);
/* How its entries are filtered; NULL: they are not. */
const struct stream_filter *stream_filter(const struct stream *st);
/* May the principal read the topic, of which there need be no row? Internal ones nobody. */
bool stream_may_read(const struct principal *who, const char *topic);
/* Adds the name of the permission to read it. */
void stream_put_perm(struct str *out, const struct stream *st);
/* Every topic that the principal may read by a permission of its own; who has "*" may read all, and
 * these are those that have a row. */
void stream_add_readable(const struct principal *who, struct strlist *topics);
enum retention stream_retention(const char *topic);
/* The shape that the topic's events have on sockets that are shown it without having asked. */
const struct stream_shape *stream_shape(const char *topic);

const char *retention_name(enum retention r); /* "lasting", "brief" */
int retention_find(const char *name);         /* -1: none */

#endif
