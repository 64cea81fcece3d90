/* What of a post is an entry: a table of texts, and the entry or the problems they give. */
#include "unit.h"

#include <string.h>

#include "json.h"
#include "log_parse.h"

#define GOOD "\"deviceId\":\"d\",\"level\":\"INFO\",\"message\":\"m\""

static void note(void *arg, const char *field, const char *problem)
{
	struct str *s = arg;

	assert_true(*problem != '\0');
	str_addf(s, "%s%s", s->len ? " " : "", *field ? field : "-");
}

static size_t parse(struct log_batch *b, const char *text, struct str *problems)
{
	const char *why;
	size_t offset, n;
	struct json_object *o = json_parse(text, strlen(text), &why, &offset);

	assert_non_null(o);
	n = log_parse_json(b, o, note, problems);
	json_object_put(o);
	return n;
}

static void problems_name_entry_and_field(void **state)
{
	static const struct {
		const char *json, *problems;
	} rows[] = {
		{"{" GOOD "}", ""},
		{"[{" GOOD "}]", ""},
		{"{" GOOD ",\"tags\":null,\"source\":null,\"meta\":null,\"timestamp\":null}", ""},
		{"{" GOOD ",\"tags\":[],\"source\":\"\",\"meta\":{},\"timestamp\":0}", ""},
		{"{" GOOD ",\"timestamp\":253402300799999}", ""},
		{"{" GOOD ",\"timestamp\":253402300800000}", "timestamp"},
		{"{" GOOD ",\"timestamp\":-1}", "timestamp"},
		{"{" GOOD ",\"timestamp\":1.0}", "timestamp"},
		{"{" GOOD ",\"timestamp\":\"2026-11-22T19:35:00\"}", "timestamp"},
		{"{" GOOD ",\"timestamp\":\"2026-11-22T19:35:00Z\"}", ""},
		{"{" GOOD ",\"tags\":[\"a\",1]}", "tags"},
		{"{" GOOD ",\"tags\":{}}", "tags"},
		{"{" GOOD ",\"meta\":[]}", "meta"},
		{"{" GOOD ",\"source\":1}", "source"},
		{"{" GOOD ",\"unknown\":1}", "unknown"},
		{"{" GOOD ",\"deviceid\":1}", "deviceid"},
		{"{}", "deviceId level message"},
		{"[]", "-"},
		{"[[]]", "[0]"},
		{"[null]", "[0]"},
		{"[{" GOOD "},{},{" GOOD "},7]", "[1].deviceId [1].level [1].message [3]"},
		{"{\"deviceId\":\"a/b\",\"level\":\"LOUD\",\"message\":\"\"}",
			"deviceId level message"},
		{"{\"deviceId\":null,\"level\":null,\"message\":null}", "deviceId level message"},
		{"{\"deviceId\":\".\",\"level\":\"info\",\"message\":\"m\"}", "deviceId"},
		{"{\"deviceId\":\"..\",\"level\":\"Info\",\"message\":\"m\"}", "deviceId"},
		{"{\"deviceId\":\"...\",\"level\":\"iNFO\",\"message\":\"m\"}", ""},
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct log_batch b = {0};
		struct str problems = STR_INIT;

		parse(&b, rows[i].json, &problems);
		if (strcmp(str_c(&problems), rows[i].problems) != 0)
			fail_msg("%s: %s", rows[i].json, str_c(&problems));
		str_fini(&problems);
		log_batch_fini(&b);
	}
}

static void an_entry_has_what_was_said(void **state)
{
	struct log_batch b = {0};
	struct str problems = STR_INIT;
	const struct log_entry *e;

	parse(&b,
		"[{\"deviceId\":\"edge-7.a_b~c@d:e+f\",\"timestamp\":\"2026-11-22T21:05:00.1239+01:"
		"30\","
		"\"level\":\"fatal\",\"message\":\"\xc3\xa4\\n\",\"tags\":[\"b\",\"a\",\"b\",\"a\"]"
		","
		"\"source\":\"s\",\"meta\":{\"n\": 1.50,\"s\":\"a/b\"}},{" GOOD "}]",
		&problems);
	assert_int_equal(problems.len, 0);
	assert_int_equal(b.n, 2);
	e = &b.v[0];
	assert_true(slice_is(e->device, "edge-7.a_b~c@d:e+f"));
	assert_int_equal(e->logged_ms, 1795376100123);
	assert_int_equal(e->level, ENTRY_FATAL);
	assert_true(slice_is(e->message, "\xc3\xa4\n"));
	assert_true(slice_is(e->tags, "[\"b\",\"a\"]"));
	assert_true(slice_is(e->source, "s"));
	assert_true(slice_is(e->meta, "{\"n\":1.50,\"s\":\"a/b\"}"));
	e = &b.v[1];
	assert_int_equal(e->logged_ms, LOG_NO_TIME);
	assert_null(e->tags.p);
	assert_null(e->source.p);
	assert_null(e->meta.p);
	log_batch_fini(&b);
	str_fini(&problems);
}

/* At the limit and one past it. */
static void lengths(void **state)
{
	static const struct {
		const char *before, *after;
		size_t most;
		const char *problem;
	} rows[] = {
		{"{\"level\":\"INFO\",\"message\":\"m\",\"deviceId\":\"", "\"}", 64, "deviceId"},
		{"{\"level\":\"INFO\",\"deviceId\":\"d\",\"message\":\"", "\"}", 65536, "message"},
		{"{" GOOD ",\"source\":\"", "\"}", 255, "source"},
		{"{" GOOD ",\"tags\":[\"", "\"]}", 64, "tags"},
		{"{" GOOD ",\"meta\":{\"k\":\"", "\"}}", 16384 - 8, "meta"},
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++)
		for (size_t more = 0; more < 2; more++) {
			struct log_batch b = {0};
			struct str json = STR_INIT, problems = STR_INIT;

			str_adds(&json, rows[i].before);
			for (size_t k = 0; k < rows[i].most + more; k++)
				str_addc(&json, 'x');
			str_adds(&json, rows[i].after);
			parse(&b, str_c(&json), &problems);
			assert_string_equal(str_c(&problems), more ? rows[i].problem : "");
			str_fini(&json);
			str_fini(&problems);
			log_batch_fini(&b);
		}
}

static void levels(void **state)
{
	for (int n = LOG_META_DEPTH_MAX; n <= LOG_META_DEPTH_MAX + 1; n++) {
		struct log_batch b = {0};
		struct str json = STR_INIT, problems = STR_INIT;

		str_adds(&json, "{" GOOD ",\"meta\":");
		for (int i = 0; i < n; i++)
			str_adds(&json, i % 2 ? "[1," : "{\"a\":1,\"b\":");
		str_adds(&json, "null");
		for (int i = n; i-- > 0;)
			str_addc(&json, i % 2 ? ']' : '}');
		str_addc(&json, '}');
		parse(&b, str_c(&json), &problems);
		assert_string_equal(str_c(&problems), n > LOG_META_DEPTH_MAX ? "meta" : "");
		str_fini(&json);
		str_fini(&problems);
		log_batch_fini(&b);
	}
}

static void lines(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		const char *problems;
	} rows[] = {
		{"{" GOOD "}", 1, ""},
		{"{" GOOD "}\n", 1, ""},
		{"\n \t\r\n{" GOOD "}\r\n\n{" GOOD "}", 2, ""},
		{"", 0, "-"},
		{"\n\n", 0, "-"},
		{"{" GOOD "}\n{\"dev", 1, "[1]"},
		{"{" GOOD "} {" GOOD "}", 0, "[0]"},
		{"{" GOOD "}\n\nx\n{}", 2, "[1] [2].deviceId [2].level [2].message"},
		{"null\n1\n[]", 3, "[0] [1] [2]"},
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct log_batch b = {0};
		struct str problems = STR_INIT;

		log_parse_lines(&b, rows[i].text, strlen(rows[i].text), note, &problems);
		if (b.n != rows[i].n || strcmp(str_c(&problems), rows[i].problems) != 0)
			fail_msg("%s: %zu %s", rows[i].text, b.n, str_c(&problems));
		str_fini(&problems);
		log_batch_fini(&b);
	}
}

static void as_many_as_there_may_be(void **state)
{
	for (size_t n = LOG_ENTRIES_MAX; n <= LOG_ENTRIES_MAX + 1; n++) {
		struct log_batch b = {0};
		struct str text = STR_INIT, problems = STR_INIT;

		for (size_t i = 0; i < n; i++)
			str_adds(&text, "{" GOOD "}\n");
		log_parse_lines(&b, text.p, text.len, note, &problems);
		assert_string_equal(str_c(&problems), n > LOG_ENTRIES_MAX ? "-" : "");
		log_batch_fini(&b);
		str_clear(&problems);
		str_clear(&text);
		for (size_t i = 0; i < n; i++)
			str_adds(&text, i ? ",{" GOOD "}" : "[{" GOOD "}");
		str_addc(&text, ']');
		parse(&b, str_c(&text), &problems);
		assert_string_equal(str_c(&problems), n > LOG_ENTRIES_MAX ? "-" : "");
		log_batch_fini(&b);
		str_fini(&text);
		str_fini(&problems);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(problems_name_entry_and_field),
		cmocka_unit_test(an_entry_has_what_was_said),
		cmocka_unit_test(lengths),
		cmocka_unit_test(levels),
		cmocka_unit_test(lines),
		cmocka_unit_test(as_many_as_there_may_be),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
