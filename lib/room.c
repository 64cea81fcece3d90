#include "room.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "stream.h"

/* ---- the kinds that are no stream's ---- */

static void room_add(struct strlist *rooms, const char *kind, const char *id)
{
	struct str room = STR_INIT;

	str_addf(&room, "%s:%s", kind, id);
	strlist_add(rooms, room.p, room.len);
	str_fini(&room);
}

/* An API key has no number here: its own room would be some user's. */
static bool user_id(const struct principal *who, char text[24])
{
	snprintf(text, 24, "%llu", (unsigned long long)who->user_id);
	return who->user_id != 0;
}

static void add_own_user(const struct principal *who, struct strlist *rooms)
{
	char id[24];

	if (user_id(who, id))
		room_add(rooms, "user", id);
}

static bool may_user(const struct principal *who, const char *id)
{
	char own[24];

	return user_id(who, own) && strcmp(own, id) == 0;
}

static void add_own_roles(const struct principal *who, struct strlist *rooms)
{
	for (size_t i = 0; i < who->roles.n; i++)
		room_add(rooms, "role", who->roles.v[i]);
}

static bool may_role(const struct principal *who, const char *id)
{
	return strlist_has(&who->roles, id);
}

static void add_own_departments(const struct principal *who, struct strlist *rooms)
{
	for (size_t i = 0; i < who->departments.n; i++)
		room_add(rooms, "department", who->departments.v[i]);
}

static bool may_department(const struct principal *who, const char *id)
{
	return strlist_has(&who->departments, id);
}

static const struct room_kind kinds[] = {
	{.name = "user", .add_own = add_own_user, .may = may_user},
	{.name = "role", .add_own = add_own_roles, .may = may_role},
	{.name = "department", .add_own = add_own_departments, .may = may_department},
	{0},
};

/* ---- the table ---- */

/* The kind of a stream that no stream before it has, too; else NULL. */
static const struct room_kind *room_kind_of(const struct stream *st)
{
	for (const struct stream *other = streams; other != st; other++)
		if (other->room == st->room)
			return NULL;
	return st->room;
}

static bool is_kind(const struct room_kind *kind, const char *name, size_t len)
{
	return strlen(kind->name) == len && memcmp(kind->name, name, len) == 0;
}

const struct room_kind *room_kind_find(const char *room)
{
	const char *colon = strchr(room, ':');
	size_t len = colon ? (size_t)(colon - room) : 0;

	for (const struct room_kind *kind = kinds; colon && kind->name; kind++)
		if (is_kind(kind, room, len))
			return kind;
	for (const struct stream *st = streams; colon && st->topic; st++)
		if (st->room && is_kind(st->room, room, len))
			return st->room;
	return NULL;
}

/* May one read a stream whose rooms are of this kind? */
static bool may_read_of(const struct principal *who, const struct room_kind *kind)
{
	for (const struct stream *st = streams; st->topic; st++)
		if (st->room == kind && stream_may_read(who, st->topic))
			return true;
	return false;
}

bool room_may(const struct principal *who, const char *room)
{
	const struct room_kind *kind = room_kind_find(room);

	if (perm_is_all(who) || !kind)
		return perm_is_all(who);
	return kind->may ? kind->may(who, room + strlen(kind->name) + 1) : may_read_of(who, kind);
}

void room_add_own(const struct principal *who, struct strlist *rooms)
{
	const struct room_kind *kind;

	for (kind = kinds; kind->name; kind++)
		kind->add_own(who, rooms);
	for (const struct stream *st = streams; st->topic; st++)
		if ((kind = room_kind_of(st)) && kind->add_own)
			kind->add_own(who, rooms);
}

bool room_is_name(const char *name, size_t len)
{
	if (len == 0 || len > EVENT_ROOM_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)name[i] < ' ' || name[i] == 0x7f || name[i] == ',')
			return false;
	return true;
}

const char *room_next(const char *list, char name[EVENT_ROOM_MAX + 1])
{
	size_t len;

	for (; *list; list += len + (list[len] == ',')) {
		len = strcspn(list, ",");
		if (!room_is_name(list, len))
			continue;
		memcpy(name, list, len);
		name[len] = '\0';
		return list + len + (list[len] == ',');
	}
	return NULL;
}

bool room_is_list(const char *list)
{
	size_t len;

	for (;; list += len + 1) {
		len = strcspn(list, ",");
		if (!room_is_name(list, len))
			return false;
		if (!list[len])
			return true;
	}
}

bool room_is_among(const struct strlist *rooms, const char *list)
{
	char name[EVENT_ROOM_MAX + 1];

	while ((list = room_next(list, name)))
		if (strlist_has(rooms, name))
			return true;
	return false;
}
