/*
 * Channels: from what an event is of to the groups that may want it. A channel is only where to
 * look: a group in it is asked, so one that has too many groups costs time, and nothing else. A
 * group with filters hangs in the channels of their keys, so that an event costs as many groups as
 * have one of its keys, however many have filters. The loop thread's.
 */
#ifndef CMDB_CHANNEL_H
#define CMDB_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"

struct channel;
struct group;
struct hub;

enum channel_kind {
	CHANNEL_TOPIC = 'T',
	CHANNEL_ANY_TOPIC = 't',
	CHANNEL_ROOM = 'R',
	CHANNEL_ANY_ROOM = 'r',
	CHANNEL_VIEW = 'V', /* of a topic, on asking, with no key to look it up by */
	CHANNEL_KEY = 'K'   /* of a topic's entries with this key */
};

struct channel_name {
	uint32_t tenant_id;
	enum channel_kind kind;
	const char *name; /* a topic or a room */
	struct slice key; /* KEY; else empty */
};

/* A group may join one twice, and then has to leave it twice. */
void channel_join(struct hub *hub, struct group *g, const struct channel_name *name);
void channel_leave(struct hub *hub, struct group *g, const struct channel_name *name);
/* Was it found for that entry, by its number of all, before? Keys come several times. */
bool channel_was_found(struct channel *ch, uint64_t entry);
/* Its groups, by number; NULL: no more. */
struct channel *channel_find(struct hub *hub, const struct channel_name *name); /* NULL: none */
void channels_free(struct hub *hub);                          /* there are none any more */
struct group *channel_at(const struct channel *ch, size_t i); /* NULL: no more; takes NULL */

#endif
