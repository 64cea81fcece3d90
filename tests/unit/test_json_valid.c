/* What passes is JSON to every client, by the letter of RFC 8259. */
#include "unit.h"

#include "json.h"

static bool is_valid(const char *text, size_t len)
{
	char *copy = unit_exact(text, len);
	bool valid = json_is_valid(copy, len);

	free(copy);
	return valid;
}

static void takes(void **state)
{
	static const char *const texts[] = {"{}", "[]", " [ ] ", "null", "true", "false", "0", "-0",
		"12", "-1.50", "1e5", "1E+5", "2.0e-10", "\"\"",
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"", "{\"a\":1}",
		"{\"a\":{\"b\":[{},[],\"]}\"]}}", "\t\r\n[1 , 2,{\"a\" : null}]\n",
		"12345678901234567890123", "{\"a\":1,\"a\":2}", "\"\\ud800\"", "\"\\u0000\"",
		"\"caf\xc3\xa9\""};

	for (size_t i = 0; i < ARRAY_N(texts); i++)
		if (!is_valid(texts[i], strlen(texts[i])))
			fail_msg("refused: %s", texts[i]);
}

static void refuses(void **state)
{
	static const char *const texts[] = {"", " ", "nul", "nulll", "True", "NaN", "-", "+1", "01",
		"-01", "1.", ".5", "1e", "1e+", "1.e3", "0x1", "\"", "\"a", "\"\\", "\"\\x\"",
		"\"\\u12\"", "\"\\u12g4\"", "\"\n\"", "\"\x1f\"", "'a'", "[", "]", "[1", "[1,]",
		"[,1]", "[1 2]", "{", "}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,}", "{a:1}",
		"{1:1}", "{\"a\" 1}", "[}", "{]", "[1}", "{\"a\":1]", "{} {}", "[]]", "1,2", "//",
		"\v1", "{\"a\":1 \"b\":2}"};

	for (size_t i = 0; i < ARRAY_N(texts); i++)
		if (is_valid(texts[i], strlen(texts[i])))
			fail_msg("taken: %s", texts[i]);
	assert_false(is_valid("[\0]", 3));
	assert_false(is_valid("\"\\\0\"", 4));
	assert_false(is_valid("\"\\u12\0"
			      "4\"",
		8));
}

#define LEVELS 5000

static void depth(void **state)
{
	static char text[2 * LEVELS];

	memset(text, '[', LEVELS);
	memset(text + LEVELS, ']', LEVELS);
	assert_true(is_valid(text, sizeof(text)));
	assert_false(is_valid(text, sizeof(text) - 1));
	/* Kinds of brackets are told apart at every depth. */
	for (size_t i = 0; i < LEVELS; i += 61) {
		text[LEVELS + i] = '}';
		assert_false(is_valid(text, sizeof(text)));
		text[LEVELS + i] = ']';
	}
}

static unsigned look(const char *text, size_t len)
{
	char *copy = unit_exact(text, len);
	unsigned found = json_look(copy, len);

	free(copy);
	return found;
}

/* What some client's parser falls over. */
static void looks(void **state)
{
	static const struct {
		const char *text;
		unsigned found;
	} rows[] = {
		{"{\"a\":[1,\"2\",{\"a\":{\"a\":null}},{\"a\":1}],\"b\":{\"a\":1}}", 0},
		{"\"caf\xc3\xa9 \\ud83d\\ude00\"", 0},
		{"\"\\u0000\"", 0},
		{"1.7976931348623157e308", 0},
		{"-1e-400", 0},
		{"[1,2", JSON_IS_BAD},
		{"\"\xff\"", JSON_IS_BAD},
		{"\"\xed\xa0\x80\"", JSON_IS_BAD},
		{"\"\\ud800\"", JSON_HAS_HALF},
		{"\"\\uDFFFx\"", JSON_HAS_HALF},
		{"\"\\ud83d\\ud83d\\ude00\"", JSON_HAS_HALF},
		{"\"\\ud83d\\n\"", JSON_HAS_HALF},
		{"{\"a\":1,\"b\":2,\"a\":3}", JSON_HAS_TWICE},
		{"[{\"x\":{\"a\":1,\"\\u0061\":2}}]", JSON_HAS_TWICE},
		{"{\"\xc3\xa9\":1,\"\\u00e9\":2}", JSON_HAS_TWICE},
		{"{\"\xf0\x9f\x98\x80\":1,\"\\ud83d\\ude00\":2}", JSON_HAS_TWICE},
		{"{\"\":1,\"b\":{\"\":1},\"\":2}", JSON_HAS_TWICE},
		{"{\"\\n\":1,\"\\u000a\":2}", JSON_HAS_TWICE},
		{"1e309", JSON_HAS_HUGE},
		{"[-1.8e308,{\"a\":1,\"a\":\"\\udc00\"}]",
			JSON_HAS_HUGE | JSON_HAS_TWICE | JSON_HAS_HALF},
	};
	struct str s = STR_INIT;

	for (size_t i = 0; i < ARRAY_N(rows); i++)
		if (look(rows[i].text, strlen(rows[i].text)) != rows[i].found)
			fail_msg("%s", rows[i].text);
	for (int n = 308; n <= 310; n++) { /* that many digits */
		str_clear(&s);
		for (int i = 0; i < n; i++)
			str_addc(&s, '1');
		assert_int_equal(look(s.p, s.len), n == 310 ? JSON_HAS_HUGE : 0);
	}
	for (size_t n = JSON_LOOK_DEPTH_MAX; n <= JSON_LOOK_DEPTH_MAX + 1; n++) {
		str_clear(&s);
		for (size_t i = 0; i < 2 * n; i++)
			str_addc(&s, i < n ? '[' : ']');
		assert_int_equal(look(s.p, s.len), n > JSON_LOOK_DEPTH_MAX ? JSON_HAS_DEEP : 0);
	}
	str_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(takes), cmocka_unit_test(refuses),
		cmocka_unit_test(depth), cmocka_unit_test(looks)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
