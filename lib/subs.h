/*
 * Subscriptions: what a socket is shown beyond what it is by right, kept with its session. A room
 * was asked for by the client or is there by an operator's command (the Admin UI); a view of a
 * stream was asked for, with a filter if it has one.
 *
 * What authority does not back is no subscription: subs_judge() takes out, whenever it is known
 * what the socket's principal may, what that may not have (any more). It does not come back with
 * the right. One case has no authority but the operator's: a room whose kind has no row, in which a
 * command puts a socket, lasts as long as the session.
 *
 * Bounded: SUBS_MAX of them, and SUBS_FILTERS_MAX bytes of filters, in a session. Any thread that
 * owns the struct; nothing blocks.
 */
#ifndef CMDB_SUBS_H
#define CMDB_SUBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "perm.h"
#include "str.h"

#define SUBS_MAX 64
#define SUBS_FILTERS_MAX (16u * 1024)

enum sub_type { SUB_ROOM = 1, SUB_VIEW };

struct sub {
	enum sub_type type;
	bool is_command;     /* ROOM: by an operator's */
	uint8_t view;        /* VIEW: which one of the stream's */
	struct slice name;   /* the room, or the topic; never with a NUL in it */
	struct slice filter; /* VIEW: as stream_filter has it; empty: none */
	/* VIEW: nothing of it is shown. It was, up to event `since`, when `mark` was the name of
	 * the newest entry (stream.h); what came after that is for whoever resumes it. */
	bool is_paused;
	uint64_t since, mark;
};

/* Of each room or view there is one. */
struct subs {
	struct sub *v; /* name (followed by a NUL) and filter belong to it */
	size_t n;
};

/* Adds a copy, in place of the one there was; what is there by command stays so. false: there is no
 * room for it. */
bool subs_add(struct subs *subs, const struct sub *s);
/* Takes out the one of that type, view and name. What is there by command goes by command alone.
 * false: there is none. */
bool subs_drop(struct subs *subs, const struct sub *s);
struct sub *subs_find(const struct subs *subs, const struct sub *s); /* the same; or NULL */
/* What came after that event has not arrived: paused views begin no later. */
void subs_rewind(struct subs *subs, uint64_t event_id);
/* May the principal have it? */
bool sub_may(const struct sub *s, const struct principal *who);
/* Takes out all that who may not have, and adds them to gone. */
void subs_judge(struct subs *subs, const struct principal *who, struct subs *gone);
void subs_fini(struct subs *subs);

/* As bytes, for records and operations. They begin with a version; none at all are none. */
void subs_put(struct str *out, const struct subs *subs);
/* false: these are none of ours, and nothing is there. */
bool subs_get(struct bytes *b, struct subs *subs);

#endif
