#include "event.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "clock.h"
#include "event_name.h"
#include "json.h"
#include "mem.h"
#include "stream.h"

#define COLUMNS_N 6

static const struct db_stmt sql_insert = {"event.insert",
	"INSERT INTO ws_events (topic, event_type, payload, tenant_id, room, name)"
	" VALUES (?, ?, ?, ?, ?, ?)",
	COLUMNS_N, 0};

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

static enum err take_columns(const struct event_out *e, struct db_val in[COLUMNS_N])
{
	if (e->name && *e->name && event_name_fault(e->name, strlen(e->name)))
		return ERR_VALIDATION;
	in[0] = dbv_s(e->topic);
	in[1] = dbv_s(event_type_name(e->type));
	in[2] = dbv_s(e->payload);
	in[3] = DBV_U(e->tenant_id);
	in[4] = dbv_s(e->room ? e->room : "");
	in[5] = dbv_s(e->name ? e->name : "");
	return ERR_OK;
}

enum err event_insert(struct db *db, const struct event_out *e, uint64_t *id)
{
	struct db_val in[COLUMNS_N];
	enum err bad = take_columns(e, in);

	return bad == ERR_OK ? db_exec(db, &sql_insert, in, COLUMNS_N, NULL, id) : bad;
}

enum err event_insert_all(struct db *db, const struct event_out *events, size_t n)
{
	struct db_val *in = xcalloc(n * COLUMNS_N + 1, sizeof(*in));
	enum err e = ERR_OK;

	for (size_t i = 0; i < n && e == ERR_OK; i++)
		e = take_columns(&events[i], in + i * COLUMNS_N);
	if (e == ERR_OK)
		e = db_exec_rows(db, &sql_insert, in, n);
	free(in);
	return e;
}

void event_add_text(struct str *s, const struct db_val *column)
{
	struct slice text = dbv_slice(column);
	const char *nul;

	while ((nul = memchr(text.p, '\0', text.len))) {
		json_add_utf8(s, text.p, (size_t)(nul - text.p));
		str_adds(s, "\xef\xbf\xbd");
		text.len -= (size_t)(nul + 1 - text.p);
		text.p = nul + 1;
	}
	json_add_utf8(s, text.p, text.len);
}

bool event_is_named_badly(const struct db_val *name)
{
	struct slice text = dbv_slice(name);

	return text.len && event_name_fault(text.p, text.len);
}

void event_take_payload(struct event_row *e, const struct db_val *payload)
{
	struct slice text = dbv_slice(payload);
	bool is_there = payload->type != DB_NULL;

	e->payload = is_there ? text.p : "null";
	e->payload_len = is_there ? text.len : 4;
	if (e->payload_len <= EVENT_PAYLOAD_MAX)
		return;
	e->payload = EVENT_PAYLOAD_TOO_LARGE;
	e->payload_len = strlen(EVENT_PAYLOAD_TOO_LARGE);
}

/* ---- payloads ---- */

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

static void add_as_string(struct str *s, const char *text, size_t len)
{
	struct str utf8 = STR_INIT;

	json_add_utf8(&utf8, text, len);
	str_add_json_n(s, str_c(&utf8), utf8.len);
	str_fini(&utf8);
}

/* Behind the escape at p, the first of a pair if is_low: is it one of these halves? */
static bool event_is_half(const char *p, const char *end, bool is_low)
{
	return end - p >= 6 && p[0] == '\\' && p[1] == 'u' && (p[2] | 0x20) == 'd' &&
	       strchr(is_low ? "cdefCDEF" : "89abAB", p[3]);
}

/* Valid JSON, with \ufffd for each half of a pair that has no other. */
static void mend_halves(char *p, const char *end)
{
	while ((p = memchr(p, '\\', (size_t)(end - p)))) {
		if (event_is_half(p, end, false) && event_is_half(p + 6, end, true)) {
			p += 12;
		} else if (event_is_half(p, end, false) || event_is_half(p, end, true)) {
			memcpy(p + 2, "fffd", 4);
			p += 6;
		} else {
			p += 2;
		}
	}
}

/* Valid JSON that some parser falls over. */
static void add_mended(struct str *s, const char *payload, size_t len, unsigned found)
{
	struct str text = STR_INIT;
	struct json_object *o = NULL;
	const char *why;

	add_one_line(&text, payload, len);
	mend_halves(text.p, text.p + text.len);
	if (found & JSON_HAS_TWICE)
		o = json_parse_js(text.p, text.len, &why);
	if (o)
		json_print(s, o);
	else if (found & JSON_HAS_TWICE)
		add_as_string(s, payload, len);
	else
		str_add(s, text.p, text.len);
	json_object_put(o);
	str_fini(&text);
}

void event_put_payload(struct str *s, struct slice text)
{
	const char *payload = text.p;
	size_t len = text.len;
	unsigned found = json_look(payload, len);

	if (!found)
		add_one_line(s, payload, len);
	else if (found & (JSON_IS_BAD | JSON_HAS_HUGE | JSON_HAS_DEEP))
		add_as_string(s, payload, len);
	else
		add_mended(s, payload, len, found);
}

/* ---- rows ---- */

void event_render_socket(struct str *s, const struct event_row *e)
{
	struct str payload = STR_INIT;

	event_put_payload(&payload, (struct slice){e->payload, e->payload_len});
	event_put_socket(s, e, str_c(&payload), payload.len);
	str_fini(&payload);
}

void event_put_socket(struct str *s, const struct event_row *e, const char *payload, size_t len)
{
	stream_shape(e->topic)->put(s, e, (struct slice){payload, len});
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
	event_put_payload(s, (struct slice){e->payload, e->payload_len});
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
