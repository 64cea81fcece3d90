#include "interest.h"

#include <string.h>

#include "str.h"
#include "stream.h"

static bool is_by_right(const struct stream *st)
{
	for (size_t i = 0; i < STREAM_VIEWS_MAX; i++)
		if (st->views[i].grant == STREAM_BY_RIGHT)
			return true;
	return false;
}

static void add_rooms(struct strlist *rooms, const char *kind, const struct strlist *names)
{
	struct str room = STR_INIT;

	for (size_t i = 0; i < names->n; i++) {
		str_clear(&room);
		str_addf(&room, "%s:%s", kind, names->v[i]);
		strlist_add(rooms, room.p, room.len);
	}
	str_fini(&room);
}

void interest_add_own_rooms(const struct principal *who, struct strlist *rooms)
{
	struct str room = STR_INIT;

	if (who->user_id) {
		str_addf(&room, "user:%llu", (unsigned long long)who->user_id);
		strlist_add(rooms, room.p, room.len);
	}
	str_fini(&room);
	add_rooms(rooms, "role", &who->roles);
	add_rooms(rooms, "department", &who->departments);
}

void interest_of_socket(const struct principal *who, uint16_t limit, struct wire_interest *out)
{
	*out = (struct wire_interest){.tenant_id = who->tenant_id,
		.format = WIRE_SOCKET,
		.limit = limit,
		.rooms_any_topic = true};
	for (const struct stream *st = streams; st->topic; st++)
		if (is_by_right(st) && stream_may_read(who, st->topic))
			strlist_add(&out->topics, st->topic, strlen(st->topic));
	interest_add_own_rooms(who, &out->rooms);
}
