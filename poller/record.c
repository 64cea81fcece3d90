#include "record.h"

#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "mem.h"
#include "str.h"

enum { COL_ID, COL_TENANT, COL_TOPIC, COL_TYPE, COL_PAYLOAD, COL_ROOM, COL_NAME, COL_CREATED };

static const char *text_or_empty(const struct db_val *v)
{
	const char *text = dbv_text(v);

	return text ? text : "";
}

uint64_t record_stamp(const struct db_val *date)
{
	uint64_t n = 0;

	for (const char *p = text_or_empty(date); *p; p++)
		if (*p >= '0' && *p <= '9')
			n = n * 10 + (uint64_t)(*p - '0');
	return n;
}

/* With room for these columns, one after the other. */
static struct record *new_with(const struct db_val *row)
{
	struct str text = STR_INIT;
	struct record *r;
	size_t room_at, name_at;

	event_add_text(&text, &row[COL_TOPIC]);
	str_addc(&text, '\0');
	room_at = text.len;
	event_add_text(&text, &row[COL_ROOM]);
	str_addc(&text, '\0');
	name_at = text.len;
	event_add_text(&text, &row[COL_NAME]);
	r = xcalloc(1, sizeof(*r) + text.len + 1);
	memcpy(r->text, text.p, text.len);
	r->topic = r->text;
	r->room = r->text + room_at;
	r->name = r->text + name_at;
	str_fini(&text);
	return r;
}

struct record *record_new(const struct db_val *row)
{
	struct record *r = new_with(row);
	int type = event_type_find(text_or_empty(&row[COL_TYPE]));
	struct str json = STR_INIT;
	struct event_place place;

	r->item.id = dbv_u(&row[COL_ID]);
	r->stamp = record_stamp(&row[COL_CREATED]);
	r->tenant_id = (uint32_t)dbv_u(&row[COL_TENANT]);
	r->type = type < 0 ? EVENT_UPDATE : (enum event_type)type;
	r->is_renamed = !record_is_internal(r) && event_is_named_badly(&row[COL_NAME]);
	if (record_is_internal(r)) {
		str_adds(&json, text_or_empty(&row[COL_PAYLOAD]));
	} else {
		struct event_row e = {
			.id = r->item.id,
			.tenant_id = r->tenant_id,
			.type = r->type,
			.topic = r->topic,
			.room = r->room,
			.name = r->name,
			.created_at = text_or_empty(&row[COL_CREATED]),
		};

		event_take_payload(&e, &row[COL_PAYLOAD]);
		event_render(&json, &e, &place);
		r->payload_at = (uint32_t)place.at;
		r->payload_len = (uint32_t)place.len;
	}
	r->json_len = (uint32_t)json.len;
	r->json = str_take(&json);
	return r;
}

struct record *record_dup(const struct record *r)
{
	size_t text_size = (size_t)(r->name - r->text) + strlen(r->name) + 1;
	struct record *d = xmalloc(sizeof(*d) + text_size);

	memcpy(d, r, sizeof(*d) + text_size);
	d->topic = d->text + (r->topic - r->text);
	d->room = d->text + (r->room - r->text);
	d->name = d->text + (r->name - r->text);
	d->json = xmalloc((size_t)r->json_len + 1);
	memcpy(d->json, r->json, (size_t)r->json_len + 1);
	return d;
}

void record_socket_args(const struct record *r, struct str *out)
{
	const struct event_row e = {.id = r->item.id,
		.type = r->type,
		.topic = r->topic,
		.name = r->name,
		.is_renamed = r->is_renamed};

	event_put_socket(out, &e, r->json + r->payload_at, r->payload_len);
}

void record_free(struct record *r)
{
	if (!r)
		return;
	free(r->json);
	free(r);
}

size_t record_size(const struct record *r)
{
	return sizeof(*r) + r->json_len + strlen(r->topic) + strlen(r->room) + strlen(r->name) + 64;
}

bool record_is_row(const struct record *r)
{
	return !r->room[0] && !r->name[0];
}

bool record_is_internal(const struct record *r)
{
	return r->topic[0] == '_';
}
