#include "interest.h"

#include <string.h>

#include "room.h"
#include "stream.h"

static bool is_by_right(const struct stream *st)
{
	for (size_t i = 0; i < STREAM_VIEWS_MAX; i++)
		if (st->views[i].grant == STREAM_BY_RIGHT)
			return true;
	return false;
}

static void add_sub(struct wire_interest *out, const struct sub *s)
{
	if (s->type == SUB_ROOM)
		strlist_add(&out->rooms, s->name.p, s->name.len);
	else
		wire_interest_add_view(out, s->name, s->view, s->filter);
}

void interest_make(const struct principal *who, const struct subs *subs, uint16_t limit,
	struct wire_interest *out)
{
	*out = (struct wire_interest){.tenant_id = who->tenant_id,
		.format = WIRE_SOCKET,
		.limit = limit,
		.rooms_any_topic = true};
	for (const struct stream *st = streams; st->topic; st++)
		if (is_by_right(st) && stream_may_read(who, st->topic))
			strlist_add(&out->topics, st->topic, strlen(st->topic));
	room_add_own(who, &out->rooms);
	for (size_t i = 0; i < subs->n; i++)
		if (sub_may(&subs->v[i], who) && !subs->v[i].is_paused)
			add_sub(out, &subs->v[i]);
}
