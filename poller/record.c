#include "record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "json_walk.h"
#include "mem.h"
#include "str.h"
#include "stream.h"

#define ENTRIES_MAX 10000 /* of one event */

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

/* ---- entries ---- */

static void record_add_entry(struct record *r, const char *json, struct slice entry)
{
	if ((r->entries_n & (r->entries_n - 1)) == 0)
		r->entries = xreallocarray(
			r->entries, r->entries_n ? r->entries_n * 2 : 1, sizeof(*r->entries));
	r->entries[r->entries_n++] =
		(struct entry){.at = (uint32_t)(entry.p - json), .len = (uint32_t)entry.len};
}

static void find_entries(struct record *r, const char *json)
{
	struct slice payload = {json + r->payload_at, r->payload_len}, entry;
	struct json_walk walk;

	r->entries_n = 1;
	if (!r->stream || !(r->stream->has_entries || stream_filter(r->stream)))
		return;
	r->entries_n = 0;
	if (r->stream->has_entries && json_walk_into(&walk, payload, '['))
		while (r->entries_n <= ENTRIES_MAX && json_walk_element(&walk, &entry))
			record_add_entry(r, json, entry);
	else
		record_add_entry(r, json, payload);
	if (r->entries_n <= ENTRIES_MAX)
		return;
	/* Nobody of ours publishes that; it is one, of which no filter knows anything. */
	r->entries_n = 0;
	record_add_entry(r, json, payload);
}

static void make_digests(struct record *r, const struct event_row *e, const char *json)
{
	const struct stream_filter *f = r->stream ? stream_filter(r->stream) : NULL;
	struct str digests = STR_INIT;

	for (uint32_t i = 0; f && i < r->entries_n; i++) {
		struct entry *entry = &r->entries[i];

		entry->digest_at = (uint32_t)digests.len;
		f->digest(&digests, e, (struct slice){json + entry->at, entry->len});
		entry->digest_len = (uint32_t)digests.len - entry->digest_at;
	}
	r->digests_len = (uint32_t)digests.len;
	r->digests = str_take(&digests);
}

struct slice record_entry(const struct record *r, uint32_t i)
{
	if (!r->entries)
		return (struct slice){r->json + r->payload_at, r->payload_len};
	return (struct slice){r->json + r->entries[i].at, r->entries[i].len};
}

struct slice record_digest(const struct record *r, uint32_t i)
{
	return (struct slice){r->digests + r->entries[i].digest_at, r->entries[i].digest_len};
}

/* ---- records ---- */

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
		r->stream = stream_find(r->topic);
		find_entries(r, json.p);
		if (r->entries)
			make_digests(r, &e, json.p);
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
	if (!r->entries)
		return d;
	d->entries = xreallocarray(NULL, r->entries_n, sizeof(*d->entries));
	memcpy(d->entries, r->entries, r->entries_n * sizeof(*d->entries));
	d->digests = xmalloc((size_t)r->digests_len + 1);
	memcpy(d->digests, r->digests, (size_t)r->digests_len);
	return d;
}

/* The digits of a stamp, as a date again. */
static void put_date(uint64_t stamp, char date[RECORD_DATE_SIZE])
{
	unsigned long long s = stamp / 1000;

	snprintf(date, RECORD_DATE_SIZE, "%04llu-%02llu-%02llu %02llu:%02llu:%02llu.%03llu",
		s / 10000000000 % 10000, s / 100000000 % 100, s / 1000000 % 100, s / 10000 % 100,
		s / 100 % 100, s % 100, (unsigned long long)(stamp % 1000));
}

static struct event_row record_row_of(const struct record *r)
{
	return (struct event_row){.id = r->item.id,
		.tenant_id = r->tenant_id,
		.type = r->type,
		.topic = r->topic,
		.room = r->room,
		.name = r->name,
		.is_renamed = r->is_renamed};
}

struct event_row record_row(const struct record *r, char date[RECORD_DATE_SIZE])
{
	struct event_row e = record_row_of(r);

	put_date(r->stamp, date);
	e.created_at = date;
	return e;
}

void record_socket_args(const struct record *r, struct str *out)
{
	const struct event_row e = record_row_of(r);

	event_put_socket(out, &e, r->json + r->payload_at, r->payload_len);
}

void record_free(struct record *r)
{
	if (!r)
		return;
	free(r->json);
	free(r->entries);
	free(r->digests);
	free(r);
}

size_t record_size(const struct record *r)
{
	size_t entries = r->entries ? r->entries_n * sizeof(*r->entries) + r->digests_len : 0;

	return sizeof(*r) + entries + r->json_len + strlen(r->topic) + strlen(r->room) +
	       strlen(r->name) + 64;
}

bool record_is_row(const struct record *r)
{
	return !r->room[0] && !r->name[0];
}

bool record_is_internal(const struct record *r)
{
	return r->topic[0] == '_';
}
