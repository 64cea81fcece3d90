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

static void depth(void **state)
{
	char text[4 * JSON_VALID_DEPTH_MAX + 8];

	for (size_t n = JSON_VALID_DEPTH_MAX; n <= JSON_VALID_DEPTH_MAX + 1; n++) {
		memset(text, '[', n);
		memset(text + n, ']', n);
		assert_int_equal(is_valid(text, 2 * n), n == JSON_VALID_DEPTH_MAX);
	}
	/* Kinds of brackets are told apart at every depth. */
	for (size_t i = 0; i < JSON_VALID_DEPTH_MAX; i++) {
		memset(text, '[', JSON_VALID_DEPTH_MAX);
		memset(text + JSON_VALID_DEPTH_MAX, ']', JSON_VALID_DEPTH_MAX);
		text[JSON_VALID_DEPTH_MAX + i] = '}';
		assert_false(is_valid(text, 2 * JSON_VALID_DEPTH_MAX));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes), cmocka_unit_test(refuses), cmocka_unit_test(depth)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
