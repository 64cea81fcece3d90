#include "unit.h"

#include "json.h"

/* Parses a copy that ends where the text ends. */
static struct json_object *parse(const char *text, size_t len, const char **why, size_t *offset)
{
	char *copy = unit_exact(text, len);
	struct json_object *o = json_parse(copy, len, why, offset);
	assert_true(o == NULL || *why == NULL);
	assert_true(*offset <= len);
	free(copy);
	return o;
}

static void accepted(void **state)
{
	static const struct {
		const char *text, *printed;
	} rows[] = {
		{"{}", "{}"},
		{" [ ] \r\n\t", "[]"},
		{"0", "0"},
		{"-0", "0"},
		{"7", "7"},
		{" 7 ", "7"},
		{"true", "true"},
		{"false", "false"},
		{"\"\"", "\"\""},
		{"9223372036854775807", "9223372036854775807"},
		{"-9223372036854775808", "-9223372036854775808"},
		{"1.50", "1.50"},
		{"1e5", "1e5"},
		{"1E+5", "1E+5"},
		{"-0.1e-7", "-0.1e-7"},
		{"12345678901234567890.5", "12345678901234567890.5"},
		{"12345678901234567890e0", "12345678901234567890e0"},
		{"\"\\u0041\\n\\/\\\\\\\"\"", "\"A\\n/\\\\\\\"\""},
		{"\"\\ud834\\udd1e\"", "\"\xf0\x9d\x84\x9e\""},
		{"\"\\uD834\\uDD1E\"", "\"\xf0\x9d\x84\x9e\""},
		{"\"\\uffff\x7f\"", "\"\xef\xbf\xbf\x7f\""},
		{"\"a:b:NaN,Infinity\"", "\"a:b:NaN,Infinity\""},
		{"{\"a\":{\"a\":[{\"a\":1},{\"a\":2}]}}", "{\"a\":{\"a\":[{\"a\":1},{\"a\":2}]}}"},
		{"{\"a\":null,\"A\":[null]}", "{\"a\":null,\"A\":[null]}"},
		{"{\"\":0}", "{\"\":0}"},
	};
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct str s = STR_INIT;
		const char *why;
		size_t offset;
		struct json_object *o = parse(rows[i].text, strlen(rows[i].text), &why, &offset);
		if (!o)
			fail_msg("%s: %s", rows[i].text, why);
		json_print(&s, o);
		assert_string_equal(s.p, rows[i].printed);
		json_object_put(o);
		str_fini(&s);
	}
}

#define LITERAL(text) text, sizeof(text) - 1

static void refused(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		size_t offset;
	} rows[] = {
		/* not JSON at all */
		{LITERAL(""), 0},
		{LITERAL("  "), 2},
		{LITERAL("{"), 1},
		{LITERAL("]"), 0},
		{LITERAL("[1"), 2},
		{LITERAL("[1,"), 3},
		{LITERAL("{\"a\""), 4},
		{LITERAL("{\"a\":"), 5},
		{LITERAL("tru"), 3},
		{LITERAL("nul"), 3},
		{LITERAL("True"), 0},
		{LITERAL("NULL"), 0},
		{LITERAL("[1,]"), 3},
		{LITERAL("[,1]"), 1},
		{LITERAL("[1 2]"), 3},
		{LITERAL("{\"a\":1,}"), 7},
		{LITERAL("{,}"), 1},
		{LITERAL("{\"a\":}"), 5},
		{LITERAL("{\"a\":1 \"b\":2}"), 7},
		{LITERAL("{a:1}"), 1},
		{LITERAL("{1:1}"), 1},
		{LITERAL("'a'"), 0},
		{LITERAL("/**/1"), 0},
		{LITERAL("1 // x"), 2},
		/* bytes behind the value */
		{LITERAL("1 x"), 2},
		{LITERAL("{} {}"), 3},
		{LITERAL("[]]"), 2},
		{LITERAL("truefalse"), 4},
		/* numbers */
		{LITERAL("01"), 0},
		{LITERAL("-01"), 0},
		{LITERAL("[00]"), 1},
		{LITERAL("+1"), 0},
		{LITERAL(".5"), 0},
		{LITERAL("1."), 0},
		{LITERAL("2.e3"), 0},
		{LITERAL("1e"), 0},
		{LITERAL("1e+"), 0},
		{LITERAL("-"), 0},
		{LITERAL("--1"), 0},
		{LITERAL("0x10"), 1},
		{LITERAL("1.5.5"), 3},
		{LITERAL("1e5e5"), 3},
		{LITERAL("1-2"), 1},
		{LITERAL("NaN"), 0},
		{LITERAL("[nan]"), 2},
		{LITERAL("[Infinity]"), 1},
		{LITERAL("-Infinity"), 0},
		{LITERAL("1e999"), 0},
		{LITERAL("[-1e999]"), 0},
		{LITERAL("9223372036854775808"), 0},
		{LITERAL("[-9223372036854775809]"), 1},
		{LITERAL("18446744073709551616"), 0},
		{LITERAL("100000000000000000000000000"), 0},
		/* strings */
		{LITERAL("\"a"), 0},
		{LITERAL("\"a\\"), 0},
		{LITERAL("\"a\\\""), 0},
		{LITERAL("\"\\x41\""), 2},
		{LITERAL("\"\\u12\""), 1},
		{LITERAL("\"\\u12g4\""), 1},
		{LITERAL("\"\\u"), 1},
		{LITERAL("\"a\tb\""), 2},
		{LITERAL("\"a\nb\""), 2},
		{LITERAL("\"\x1f\""), 1},
		{LITERAL("\"\\u0000\""), 1},
		{LITERAL("{\"\\u0000\":1}"), 2},
		{LITERAL("\"\\ud800\""), 1},
		{LITERAL("\"\\udc00\""), 1},
		{LITERAL("\"\\ud800x\""), 1},
		{LITERAL("\"\\ud800\\n\""), 1},
		{LITERAL("\"\\ud800\\ud800\""), 1},
		{LITERAL("\"\\ud800\\u"), 1},
		{LITERAL("\"\\udc00\\udc00\""), 1},
		/* bytes that are no text */
		{LITERAL("\0"), 0},
		{LITERAL("1\0"), 1},
		{LITERAL("\"a\0b\""), 2},
		{LITERAL("\xef\xbb\xbf{}"), 0},
		{LITERAL("\"\xff\""), 1},
		{LITERAL("\"\xc0\x80\""), 1},
		{LITERAL("\"\xed\xa0\x80\""), 1},
		{LITERAL("\"\xf4\x90\x80\x80\""), 1},
		{LITERAL("\v1"), 0},
		{LITERAL("\f1"), 0},
		{LITERAL("\xc2\xa0"
			 "1"),
			0},
		/* keys given twice, also when they are spelled differently */
		{LITERAL("{\"a\":1,\"a\":1}"), 0},
		{LITERAL("[{\"a\":1,\"b\":0,\"\\u0061\":2}]"), 0},
		{LITERAL("{\"b\":{\"a\":1},\"b\":{\"c\":[]}}"), 0},
	};
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		const char *why;
		size_t offset;
		struct json_object *o = parse(rows[i].text, rows[i].len, &why, &offset);
		if (o || !why)
			fail_msg("accepted: %s", rows[i].text);
		if (offset != rows[i].offset)
			fail_msg("%s: %s at %zu", rows[i].text, why, offset);
	}
}

static void null_is_a_value(void **state)
{
	const char *why = "not set";
	size_t offset;
	assert_null(parse(" null ", 6, &why, &offset));
	assert_null(why);
}

static void depth(void **state)
{
	static const struct {
		const char *open, *inside, *close;
	} rows[] = {{"[", "", "]"}, {"[", "1", "]"}, {"{\"a\":", "[]", "}"}, {"[", "{}", "]"}};
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		for (int n = 1; n<200; n += n> 40 ? 50 : 1) {
			struct str s = STR_INIT;
			const char *why;
			size_t offset;
			for (int k = 0; k < n; k++)
				str_adds(&s, rows[i].open);
			str_adds(&s, rows[i].inside);
			for (int k = 0; k < n; k++)
				str_adds(&s, rows[i].close);
			int deep = n + (strpbrk(rows[i].inside, "[{") != NULL);
			struct json_object *o = parse(s.p, s.len, &why, &offset);
			assert_int_equal(o != NULL, deep <= JSON_DEPTH_MAX);
			json_object_put(o);
			str_fini(&s);
		}
	}
}

static void utf8(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		bool is_utf8;
	} rows[] = {
		{LITERAL(""), true},
		{LITERAL("a\x7f"), true},
		{LITERAL("\xc2\x80\xdf\xbf"), true},
		{LITERAL("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"), true},
		{LITERAL("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"), true},
		{LITERAL("a\0"), false},
		{LITERAL("\x80"), false},
		{LITERAL("\xc1\xbf"), false},
		{LITERAL("\xc2"), false},
		{LITERAL("\xc2\x41"), false},
		{LITERAL("\xe0\x9f\xbf"), false},
		{LITERAL("\xe2\x82"), false},
		{LITERAL("\xed\xa0\x80"), false},
		{LITERAL("\xf0\x8f\xbf\xbf"), false},
		{LITERAL("\xf0\x90\x80"), false},
		{LITERAL("\xf4\x90\x80\x80"), false},
		{LITERAL("\xf5\x80\x80\x80"), false},
		{LITERAL("\xff"), false},
	};
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		char *copy = unit_exact(rows[i].text, rows[i].len);
		if (json_is_utf8(copy, rows[i].len) != rows[i].is_utf8)
			fail_msg("row %zu", i);
		free(copy);
	}
}

static void members(void **state)
{
	const char *text = "{\"s\":\"x\",\"n\":1,\"z\":null}", *why;
	size_t offset;
	struct json_object *o = parse(text, strlen(text), &why, &offset);

	assert_string_equal(json_get_str(o, "s"), "x");
	assert_null(json_get_str(o, "n"));
	assert_null(json_get_str(o, "z"));
	assert_null(json_get_str(o, "none"));
	assert_int_equal(json_object_get_int64(json_get(o, "n")), 1);
	assert_null(json_get(o, "z"));
	assert_null(json_get(json_get(o, "n"), "x"));
	assert_null(json_get(NULL, "x"));
	json_object_put(o);
}

/* Ids go further than int64_t, and a status that has one is no bad status. */
static void what_our_own_programs_say_is_unsigned(void **state)
{
	static const char *const good[] = {
		"9223372036854775808", "18446744073709551615", "-9223372036854775808", "0"};
	static const char *const bad[] = {
		"18446744073709551616", "100000000000000000000", "-9223372036854775809"};
	const char *why;
	size_t offset;

	for (size_t i = 0; i < ARRAY_N(good); i++) {
		struct str out = STR_INIT;
		struct json_object *o = json_parse_own(good[i], strlen(good[i]), &why, &offset);

		assert_null(why);
		json_print(&out, o);
		assert_string_equal(str_c(&out), good[i]);
		json_object_put(o);
		str_fini(&out);
	}
	for (size_t i = 0; i < ARRAY_N(bad); i++) {
		assert_null(json_parse_own(bad[i], strlen(bad[i]), &why, &offset));
		assert_non_null(why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepted),
		cmocka_unit_test(refused),
		cmocka_unit_test(null_is_a_value),
		cmocka_unit_test(depth),
		cmocka_unit_test(utf8),
		cmocka_unit_test(members),
		cmocka_unit_test(what_our_own_programs_say_is_unsigned),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
