#include "unit.h"
#include <stdlib.h>

#include "event.h"
#include "event_name.h"
#include "json.h"

static void expect(const struct event_row *e, const char *json)
{
	struct event_place place;
	struct str s = STR_INIT;

	str_adds(&s, ">");
	event_render(&s, e, &place);
	assert_string_equal(s.p + 1, json);
	assert_true(json_is_valid(s.p + 1, s.len - 1));
	assert_memory_equal(s.p + place.at - 7, "\"data\":", 7);
	assert_memory_equal(s.p + place.at + place.len, ",\"room\":", 8);
	str_fini(&s);
}

/* Made of the row, and of the payload in what event_render() made of it: the same bytes. */
static void expect_socket(const struct event_row *e, const char *args)
{
	struct str json = STR_INIT, direct = STR_INIT, array = STR_INIT;
	struct event_place place;
	struct event_row bare = *e;

	str_adds(&direct, "[");
	event_render_socket(&direct, e);
	assert_string_equal(direct.p + 1, args);
	str_adds(&json, "before");
	event_render(&json, e, &place);
	bare.payload = NULL;
	str_adds(&array, "[");
	event_put_socket(&array, &bare, json.p + place.at, place.len);
	assert_string_equal(array.p, direct.p);
	str_adds(&array, "]");
	assert_true(json_is_valid(array.p, array.len));
	str_fini(&json);
	str_fini(&direct);
	str_fini(&array);
}

static void render(void **state)
{
	struct event_row e = {.id = UINT64_MAX,
		.tenant_id = 3,
		.type = EVENT_ADD,
		.topic = "websites",
		.room = "",
		.name = "",
		.payload = "{\"id\":7}XX",
		.payload_len = 8,
		.created_at = "2026-11-22 19:35:00.123"};

	expect(&e, "{\"id\":18446744073709551615,\"topic\":\"websites\",\"type\":\"add\","
		   "\"data\":{\"id\":7},\"room\":null,\"name\":null,"
		   "\"created_at\":\"2026-11-22T19:35:00.123Z\"}");
	e.id = 1;
	e.type = EVENT_DELETE;
	e.room = "user:\"7\"";
	e.name = "caf\xc3\xa9\n";
	e.payload = "null";
	e.payload_len = 4;
	expect(&e, "{\"id\":1,\"topic\":\"websites\",\"type\":\"delete\",\"data\":null,"
		   "\"room\":\"user:\\\"7\\\"\",\"name\":\"caf\xc3\xa9\\n\","
		   "\"created_at\":\"2026-11-22T19:35:00.123Z\"}");
}

/* The payload as a client gets it, for one that any SQL client may have put there. */
static void payloads(void **state)
{
	static const struct {
		const char *payload, *data;
	} rows[] = {
		{"[1,\r\n2]\n", "[1,  2] "},
		{"\t{ }", "\t{ }"},
		{"\"\\n\"", "\"\\n\""},
		{"{\"path\":\"C:\\x\"}", "\"{\\\"path\\\":\\\"C:\\\\x\\\"}\""},
		{"1.", "\"1.\""},
		{"", "\"\""},
		{"{},{}", "\"{},{}\""},
		{"{\"a\":\"\n\"}", "\"{\\\"a\\\":\\\"\\n\\\"}\""},
		{"[\"\\ud800\\ud83d\\ude00\\udc00\\\\ud800\"]",
			"[\"\\ufffd\\ud83d\\ude00\\ufffd\\\\ud800\"]"},
		{"{\"a\":1.50,\"b\":\"\\ud800\",\"a\":[2.50]}",
			"{\"a\":[2.50],\"b\":\"\xef\xbf\xbd\"}"},
		{"{\"a\":1,\"a\":99999999999999999999}",
			"\"{\\\"a\\\":1,\\\"a\\\":99999999999999999999}\""},
		{"99999999999999999999", "99999999999999999999"},
		{"[1e400]", "\"[1e400]\""},
		{"\"\xed\xa0\x80\"", "\"\\\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\\\"\""},
		{"\"\x1e\"", "\"\\\"\\u001e\\\"\""},
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		size_t len = strlen(rows[i].payload);
		char *payload = unit_exact(rows[i].payload, len);
		struct event_row e = {.id = 5,
			.type = EVENT_UPDATE,
			.topic = "t",
			.room = "",
			.name = "",
			.payload = payload,
			.payload_len = len,
			.created_at = "2026-01-02 03:04:05.006"};
		struct str want = STR_INIT;

		str_addf(&want,
			"{\"id\":5,\"topic\":\"t\",\"type\":\"update\",\"data\":%s,"
			"\"room\":null,\"name\":null,"
			"\"created_at\":\"2026-01-02T03:04:05.006Z\"}",
			rows[i].data);
		expect(&e, want.p);
		str_clear(&want);
		str_addf(&want, "\"t:update\",{\"eventId\":5,\"type\":\"update\",\"data\":%s}",
			rows[i].data);
		expect_socket(&e, want.p);
		e.name = "ring";
		str_clear(&want);
		str_addf(&want, "\"ring\",%s", rows[i].data);
		expect_socket(&e, want.p);
		str_fini(&want);
		free(payload);
	}
}

/* As a Socket.IO client gets it. Anybody who can INSERT chooses topic and name. */
static void socket_args(void **state)
{
	struct event_row e = {.id = UINT64_MAX,
		.type = EVENT_DELETE,
		.topic = "line-groups",
		.room = "user:7",
		.name = "",
		.payload = "{\"id\":7}",
		.payload_len = 8,
		.created_at = "2026-11-22 19:35:00.123"};

	expect_socket(&e, "\"line-groups:update\",{\"eventId\":18446744073709551615,"
			  "\"type\":\"delete\",\"data\":{\"id\":7}}");
	e.topic = "a\"b\\";
	expect_socket(&e, "\"a\\\"b\\\\:update\",{\"eventId\":18446744073709551615,"
			  "\"type\":\"delete\",\"data\":{\"id\":7}}");
	e.name = "n\"\n";
	expect_socket(&e, "\"n\\\"\\n\",{\"id\":7}");
}

/* A name that no event may have. */
static void renamed(void **state)
{
	struct event_row e = {.id = 5,
		.topic = "t",
		.room = "",
		.name = "disconnect",
		.is_renamed = true,
		.payload = "[1]",
		.payload_len = 3,
		.created_at = "2026-01-02 03:04:05.006"};

	expect_socket(&e, "\"event\",{\"name\":\"disconnect\",\"data\":[1]}");
	expect(&e, "{\"id\":5,\"topic\":\"t\",\"type\":\"add\",\"data\":[1],"
		   "\"room\":null,\"name\":\"disconnect\","
		   "\"created_at\":\"2026-01-02T03:04:05.006Z\"}");
}

#define RESERVED "cannot be one of Socket.IO's own: a client would drop its connection"

static void names(void **state)
{
	static const struct {
		const char *name;
		size_t len;
		const char *fault;
	} rows[] = {
		{"tick", 4, NULL},
		{"Connect", 7, NULL},
		{"caf\xc3\xa9 \xf0\x9f\x98\x80:update", 17, NULL},
		{"", 0, "cannot be empty"},
		{"connect", 7, RESERVED},
		{"connect_error", 13, RESERVED},
		{"disconnect", 10, RESERVED},
		{"disconnecting", 13, RESERVED},
		{"newListener", 11, RESERVED},
		{"removeListener", 14, RESERVED},
		{"a\x1e", 2, "cannot have control characters"},
		{"a\0b", 3, "cannot have control characters"},
		{"disconnect\0", 11, "cannot have control characters"},
		{"\0", 1, "cannot have control characters"},
		{"a\x7f", 2, "cannot have control characters"},
		{"a\xc2\x9b", 3, "cannot have control characters"},
		{"a\xff", 2, "must be UTF-8"},
		{"\xed\xa0\x80", 3, "must be UTF-8"},
		{"1234567890123456789012345678901234567890123456789012345678901234", 64, NULL},
		{"12345678901234567890123456789012345678901234567890123456789012345", 65,
			"cannot be longer than 64 characters"},
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		const char *fault = event_name_fault(rows[i].name, rows[i].len);

		if (!fault != !rows[i].fault || (fault && strcmp(fault, rows[i].fault) != 0))
			fail_msg("%s: %s", rows[i].name, fault ? fault : "is good");
	}
}

/* Columns as they may be in the table, and how they leave. */
static void columns(void **state)
{
	static const struct {
		struct db_val column;
		const char *text;
		bool is_named_badly;
	} rows[] = {
		{{.type = DB_NULL}, "", false},
		{{.type = DB_TEXT, .s = {"", 0}}, "", false},
		{{.type = DB_TEXT, .s = {"caf\xc3\xa9", 5}}, "caf\xc3\xa9", false},
		{{.type = DB_TEXT, .s = {"a\0b\0", 4}},
			"a\xef\xbf\xbd"
			"b\xef\xbf\xbd",
			true},
		{{.type = DB_TEXT, .s = {"\0_auth", 6}}, "\xef\xbf\xbd_auth", true},
		{{.type = DB_TEXT, .s = {"a\xff", 2}}, "a\xef\xbf\xbd", true},
		{{.type = DB_TEXT, .s = {"connect", 7}}, "connect", true},
	};
	struct event_row e;

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct str s = STR_INIT;

		event_add_text(&s, &rows[i].column);
		assert_string_equal(str_c(&s), rows[i].text);
		assert_int_equal(event_is_named_badly(&rows[i].column), rows[i].is_named_badly);
		str_fini(&s);
	}
	event_take_payload(&e, &rows[0].column);
	assert_string_equal(e.payload, "null");
	assert_int_equal(e.payload_len, 4);
}

static void large_payloads(void **state)
{
	char *large = calloc(1, EVENT_PAYLOAD_MAX + 1);
	struct db_val column = dbv_b(large, EVENT_PAYLOAD_MAX);
	struct event_row e = {.payload = NULL};

	event_take_payload(&e, &column);
	assert_ptr_equal(e.payload, large);
	assert_int_equal(e.payload_len, EVENT_PAYLOAD_MAX);
	column = dbv_b(large, EVENT_PAYLOAD_MAX + 1);
	event_take_payload(&e, &column);
	assert_string_equal(e.payload, "{\"error\":\"payload_too_large\"}");
	assert_int_equal(e.payload_len, strlen(e.payload));
	free(large);
}

static void types(void **state)
{
	for (int t = 0; t < EVENT_TYPE_N; t++)
		assert_int_equal(event_type_find(event_type_name((enum event_type)t)), t);
	assert_int_equal(event_type_find("remove"), -1);
	assert_int_equal(event_type_find(""), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(render), cmocka_unit_test(payloads),
		cmocka_unit_test(socket_args), cmocka_unit_test(renamed), cmocka_unit_test(names),
		cmocka_unit_test(columns), cmocka_unit_test(large_payloads),
		cmocka_unit_test(types)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
