/*
 * Rooms: where an event goes that is not for all who may read its topic. A room is named
 * `<kind>:<id>`; the table of kinds says which ones one is in by right, by being who one is, and
 * who may be in one on asking. Who has the permission `*` may be in any room of his tenant, also in
 * one whose kind has no row. An event is for one room or several (ws_events.room: names joined by
 * commas) and reaches a socket once, in however many of them it is and for whichever reason.
 *
 * To add a kind, have the row of its stream name it (stream.h), or add it to the table in room.c.
 * All of it is const and pure: any thread, nothing blocks.
 */
#ifndef CMDB_ROOM_H
#define CMDB_ROOM_H

#include <stdbool.h>
#include <stddef.h>

#include "event.h"
#include "perm.h"

struct room_kind {
	const char *name; /* what stands before the colon; NULL ends the table */
	/* Adds the rooms of this kind that one is in by right. NULL: there are none. */
	void (*add_own)(const struct principal *who, struct strlist *rooms);
	/* May one be in the room with this id? True of those by right, too. NULL: who may read a
	 * stream that has rooms of this kind. */
	bool (*may)(const struct principal *who, const char *id);
};

/* NULL: no kind has that name, or it is none with a colon. */
const struct room_kind *room_kind_find(const char *room);
/* May the principal be in the room? It is one of its own tenant. */
bool room_may(const struct principal *who, const char *room);
/* Adds all rooms that one is in by right. */
void room_add_own(const struct principal *who, struct strlist *rooms);
/* Can it be a room's name? 1 to 128 bytes, none of them a comma or a control character. */
bool room_is_name(const char *name, size_t len);
/* The first name of a list of rooms, and what of the list is behind it; what can be no name is
 * passed over. NULL: there is none. */
const char *room_next(const char *list, char name[EVENT_ROOM_MAX + 1]);
/* Are all of a list names? */
bool room_is_list(const char *list);
/* Is one of the list among the rooms? */
bool room_is_among(const struct strlist *rooms, const char *list);

#endif
