#include "event.h"

#include <assert.h>
#include <string.h>

#include "clock.h"
#include "json.h"

static const struct db_stmt sql_insert = {"event.insert",
	"INSERT INTO ws_events (topic, event_type, payload, tenant_id, room, name)"
	" VALUES (?, ?, ?, ?, ?, ?)",
	6, 0};

const struct db_set event_sql = {
	.name = "event", .stmts = (const struct db_stmt *const[]){&sql_insert, NULL}};

static const char *const type_names[EVENT_TYPE_N] = {
	[EVENT_ADD] = "add", [EVENT_UPDATE] = "update", [EVENT_DELETE] = "delete"};

const char *event_type_name(enum event_type t)
{
	assert((unsigned)t < EVENT_TYPE_N);
	return type_names[t];
}

int event_type_find(const char *name)
{
	for (int t = 0; t < EVENT_TYPE_N; t++)
		if (strcmp(type_names[t], name) == 0)
			return t;
	return -1;
}

enum err event_insert(struct db *db, const struct event_out *e, uint64_t *id)
{
	const struct db_val in[] = {dbv_s(e->topic), dbv_s(event_type_name(e->type)),
		dbv_s(e->payload), DBV_U(e->tenant_id), dbv_s(e->room ? e->room : ""),
		dbv_s(e->name ? e->name : "")};

	return db_exec(db, &sql_insert, in, sizeof(in) / sizeof(in[0]), NULL, id);
}

static void add_one_line(struct str *s, const char *text, size_t len)
{
	size_t from = s->len;

	str_add(s, text, len);
	for (char *p = s->p + from, *end = s->p + s->len; p < end; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
}

static void add_or_null(struct str *s, const char *text)
{
	str_add_json(s, *text ? text : NULL);
}

static void add_payload(struct str *s, const char *payload, size_t len)
{
	if (json_is_valid(payload, len))
		add_one_line(s, payload, len);
	else
		str_add_json_n(s, payload, len);
}

void event_render_socket(struct str *s, const struct event_row *e)
{
	struct str payload = STR_INIT;

	add_payload(&payload, e->payload, e->payload_len);
	event_put_socket(s, e, str_c(&payload), payload.len);
	str_fini(&payload);
}

void event_put_socket(struct str *s, const struct event_row *e, const char *payload, size_t len)
{
	if (*e->name) {
		str_add_json(s, e->name);
		str_addc(s, ',');
		str_add(s, payload, len);
		return;
	}
	str_add_json(s, e->topic);
	s->len--; /* its closing quote */
	str_adds(s, ":update\"");
	str_addf(s, ",{\"eventId\":%llu,\"type\":\"%s\",\"data\":", (unsigned long long)e->id,
		event_type_name(e->type));
	str_add(s, payload, len);
	str_addc(s, '}');
}

void event_render(struct str *s, const struct event_row *e, struct event_place *place)
{
	char created_at[CLOCK_RFC3339_SIZE];
	size_t from;

	clock_from_sql(e->created_at, created_at);
	str_adds(s, "{\"id\":");
	str_addu(s, e->id);
	str_adds(s, ",\"topic\":");
	str_add_json(s, e->topic);
	str_adds(s, ",\"type\":\"");
	str_adds(s, event_type_name(e->type));
	str_adds(s, "\",\"data\":");
	from = s->len;
	add_payload(s, e->payload, e->payload_len);
	if (place)
		*place = (struct event_place){.at = from, .len = s->len - from};
	str_adds(s, ",\"room\":");
	add_or_null(s, e->room);
	str_adds(s, ",\"name\":");
	add_or_null(s, e->name);
	str_adds(s, ",\"created_at\":");
	str_add_json(s, created_at);
	str_addc(s, '}');
}
