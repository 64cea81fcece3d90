#include "unit.h"

#include "event.h"
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
		cmocka_unit_test(socket_args), cmocka_unit_test(types)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
