#include "unit.h"

#include "event.h"
#include "json.h"

static void expect(const struct event_row *e, const char *json)
{
	struct str s = STR_INIT;

	str_adds(&s, ">");
	event_render(&s, e, NULL);
	assert_string_equal(s.p + 1, json);
	assert_true(json_is_valid(s.p + 1, s.len - 1));
	str_fini(&s);
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
		str_fini(&want);
		free(payload);
	}
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
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(render), cmocka_unit_test(payloads), cmocka_unit_test(types)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
