/*
 * Filters of logs: the table of tests/data/log_filters.json, which clients and GET /api/logs are
 * held to as well, and case folding.
 */
#include "unit.h"

#include "event.h"
#include "fold.h"
#include "json.h"
#include "log_filter.h"

static struct json_object *read_table(void)
{
	struct str text = STR_INIT;
	struct json_object *table;
	const char *why;
	size_t offset;

	unit_read_source("tests/data/log_filters.json", &text);
	table = json_parse(text.p, text.len, &why, &offset);
	assert_non_null(table);
	str_fini(&text);
	return table;
}

static struct str filter_of(struct json_object *ask)
{
	struct str filter = STR_INIT;
	const char *problem = NULL;

	if (!log_stream_filter.parse(ask, &filter, &problem))
		fail_msg("%s: %s", json_object_get_string(ask), problem);
	return filter;
}

static struct str digest_of_line(struct json_object *line)
{
	struct str text = STR_INIT, digest = STR_INIT;

	json_print(&text, line);
	log_stream_filter.digest(&digest, NULL, slice_str(&text));
	str_fini(&text);
	return digest;
}

/* ---- keys ---- */

struct seen_keys {
	struct strlist keys;
};

static void see_key(struct slice key, void *arg)
{
	struct seen_keys *seen = arg;
	struct str text = STR_INIT;

	for (size_t i = 0; i < key.len; i++)
		str_addf(&text, "%02x", (unsigned char)key.p[i]);
	strlist_add(&seen->keys, text.p, text.len);
	str_fini(&text);
}

/* Would the line be looked at for the filter? */
static bool is_found(struct slice filter, struct slice digest)
{
	struct seen_keys of_filter = {0}, of_line = {0};
	bool is_one = false;

	if (filter.len)
		log_stream_filter.keys(filter, see_key, &of_filter);
	log_stream_filter.entry_keys(digest, see_key, &of_line);
	for (size_t i = 0; i < of_filter.keys.n; i++)
		is_one = is_one || strlist_has(&of_line.keys, of_filter.keys.v[i]);
	is_one = is_one || !of_filter.keys.n;
	strlist_fini(&of_filter.keys);
	strlist_fini(&of_line.keys);
	return is_one;
}

/* ---- the table ---- */

static bool is_listed(struct json_object *numbers, size_t i)
{
	for (size_t k = 0; k < json_object_array_length(numbers); k++)
		if ((size_t)json_object_get_int64(json_object_array_get_idx(numbers, k)) == i)
			return true;
	return false;
}

static void test_the_table(void **state)
{
	struct json_object *table = read_table(), *lines = json_get(table, "lines"),
			   *cases = json_get(table, "cases");

	for (size_t c = 0; c < json_object_array_length(cases); c++) {
		struct json_object *one = json_object_array_get_idx(cases, c),
				   *ask = json_get(one, "filter");
		struct str filter = filter_of(ask);

		for (size_t i = 0; i < json_object_array_length(lines); i++) {
			struct str digest = digest_of_line(json_object_array_get_idx(lines, i));
			bool wanted = is_listed(json_get(one, "matches"), i);

			if (log_filter_matches(slice_str(&filter), slice_str(&digest)) != wanted)
				fail_msg("%s, line %zu: %s", json_object_get_string(ask), i,
					wanted ? "must match" : "must not match");
			assert_true(!wanted || is_found(slice_str(&filter), slice_str(&digest)));
			str_fini(&digest);
		}
		str_fini(&filter);
	}
	json_object_put(table);
}

/* The same, asked for in a query: has the same bytes, in whichever order. */
static void add_in_reverse(struct log_filter *f, struct json_object *ask, enum log_dimension d)
{
	struct json_object *values = json_get(ask, log_dimensions[d].field);
	const char *problem = NULL;

	for (size_t i = values ? json_object_array_length(values) : 0; i-- > 0;)
		assert_int_equal(
			log_filter_add_parameter(f, log_dimensions[d].parameter,
				json_object_get_string(json_object_array_get_idx(values, i)),
				&problem),
			1);
}

static void test_parameters_make_the_same_filters(void **state)
{
	struct json_object *table = read_table(), *cases = json_get(table, "cases");

	for (size_t c = 0; c < json_object_array_length(cases); c++) {
		struct json_object *ask = json_get(json_object_array_get_idx(cases, c), "filter");
		struct str filter = filter_of(ask), again = STR_INIT;
		struct log_filter f = {0};

		for (enum log_dimension d = LOG_DIMENSIONS_N; d-- > 0;)
			add_in_reverse(&f, ask, d);
		assert_true(log_filter_put(&f, &again));
		assert_true(slice_same(slice_str(&filter), slice_str(&again)));
		log_filter_fini(&f);
		str_fini(&filter);
		str_fini(&again);
	}
	json_object_put(table);
}

static void test_lists_in_parameters(void **state)
{
	struct log_filter f = {0};
	const char *problem = NULL;

	assert_int_equal(log_filter_add_parameter(&f, "device", "a,b", &problem), 1);
	assert_int_equal(log_filter_add_parameter(&f, "level", "info,WARN", &problem), 1);
	assert_int_equal(log_filter_add_parameter(&f, "keyword", "a,b", &problem), 1);
	assert_int_equal(f.devices.n, 2);
	assert_int_equal(f.levels, 1 << ENTRY_INFO | 1 << ENTRY_WARN);
	assert_int_equal(f.keywords.n, 1);
	assert_int_equal(log_filter_add_parameter(&f, "levels", "info", &problem), -1);
	assert_int_equal(log_filter_add_parameter(&f, "level", "info,", &problem), 0);
	assert_non_null(problem);
	log_filter_fini(&f);
}

/* ---- what no filter is, and lines that none made ---- */

static void test_bad_filters(void **state)
{
	static const char *const bad[] = {"[]", "1", "\"a\"", "{\"devices\":[\"a\"]}",
		"{\"deviceIds\":\"a\"}", "{\"deviceIds\":[1]}", "{\"deviceIds\":[null]}",
		"{\"levels\":[\"TRACE\"]}", "{\"levels\":[\"\"]}", "{\"keywords\":[\"\"]}",
		"{\"tags\":[[\"a\"]]}", "{\"deviceIds\":[\"a\"],\"x\":1}"};

	for (size_t i = 0; i < ARRAY_N(bad); i++) {
		struct str filter = STR_INIT;
		const char *why, *problem = NULL;
		size_t offset;
		struct json_object *o = json_parse(bad[i], strlen(bad[i]), &why, &offset);

		if (log_stream_filter.parse(o, &filter, &problem) || !problem)
			fail_msg("%s is taken", bad[i]);
		json_object_put(o);
		str_fini(&filter);
	}
}

static void test_too_much(void **state)
{
	struct log_filter f = {0};
	struct str filter = STR_INIT;
	const char *problem = NULL;
	char value[LOG_FILTER_VALUE_MAX + 2];

	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	assert_false(log_filter_add(&f, LOG_TAGS, slice_of(value), &problem));
	value[LOG_FILTER_VALUE_MAX] = '\0';
	for (int i = 0; i < 40; i++) {
		value[0] = (char)('A' + i);
		assert_true(log_filter_add(&f, LOG_TAGS, slice_of(value), &problem));
	}
	assert_false(log_filter_put(&f, &filter));
	log_filter_fini(&f);
	f = (struct log_filter){0};
	for (int i = 0; i < LOG_FILTER_VALUES_MAX; i++)
		assert_true(log_filter_add(&f, LOG_DEVICES, slice_of("a"), &problem));
	assert_false(log_filter_add(&f, LOG_DEVICES, slice_of("a"), &problem));
	for (int i = 0; i < LOG_FILTER_KEYWORDS_MAX; i++)
		assert_true(log_filter_add(&f, LOG_KEYWORDS, slice_of("a"), &problem));
	assert_false(log_filter_add(&f, LOG_KEYWORDS, slice_of("a"), &problem));
	log_filter_fini(&f);
	str_fini(&filter);
}

/* What is published by SQL is any JSON. */
static void test_strange_lines(void **state)
{
	static const char *const lines[] = {"null", "1", "\"text\"", "[]", "{}", "[{}]",
		"{\"deviceId\":1,\"level\":\"NO\",\"message\":{\"a\":[1,\"}\"]},\"tags\":\"x\"}",
		"{ \"message\" : \"\\\"in\\u0020web-1\\\\\" , \"tags\" : [ 1 , [ ] , \"t\" ] }"};
	const char *problem = NULL;
	struct log_filter f = {0};
	struct str filter = STR_INIT;

	assert_true(log_filter_add(&f, LOG_KEYWORDS, slice_of("\"IN WEB-1\\"), &problem));
	assert_true(log_filter_add(&f, LOG_TAGS, slice_of("t"), &problem));
	assert_true(log_filter_put(&f, &filter));
	for (size_t i = 0; i < ARRAY_N(lines); i++) {
		char *exact = unit_exact(lines[i], strlen(lines[i]));
		struct str digest = STR_INIT;

		log_stream_filter.digest(&digest, NULL, (struct slice){exact, strlen(lines[i])});
		assert_int_equal(log_filter_matches(slice_str(&filter), slice_str(&digest)),
			i == ARRAY_N(lines) - 1);
		assert_true(log_filter_matches((struct slice){"", 0}, slice_str(&digest)));
		str_fini(&digest);
		free(exact);
	}
	str_fini(&filter);
	log_filter_fini(&f);
}

static void test_showing(void **state)
{
	const char *problem = NULL;
	struct log_filter f = {0};
	struct str filter = STR_INIT, shown = STR_INIT;

	assert_true(log_filter_add(&f, LOG_LEVELS, slice_of("fatal"), &problem));
	assert_true(log_filter_add(&f, LOG_LEVELS, slice_of("debug"), &problem));
	assert_true(log_filter_add(&f, LOG_DEVICES, slice_of("b"), &problem));
	assert_true(log_filter_add(&f, LOG_DEVICES, slice_of("a"), &problem));
	assert_true(log_filter_add(&f, LOG_KEYWORDS, slice_of("Q\""), &problem));
	assert_true(log_filter_put(&f, &filter));
	log_stream_filter.show(slice_str(&filter), &shown);
	assert_string_equal(shown.p,
		"{\"levels\":[\"DEBUG\",\"FATAL\"],\"deviceIds\":[\"a\",\"b\"],"
		"\"tags\":[],\"keywords\":[\"q\\\"\"]}");
	assert_int_equal(log_stream_filter.looks(slice_str(&filter)), 2);
	log_filter_fini(&f);
	str_fini(&filter);
	str_fini(&shown);
}

static void test_ids(void **state)
{
	const char line[] = "{\"id\":18446744073709551615,\"message\":\"x\"}";
	struct str digest = STR_INIT;

	log_stream_filter.digest(&digest, NULL, slice_of(line));
	assert_true(log_stream_filter.entry_id(slice_str(&digest)) == UINT64_MAX);
	str_fini(&digest);
}

/* ---- folding ---- */

static void test_folding_bytes_that_are_no_utf8(void **state)
{
	static const char text[] = "A\xff\xc3"
				   "B\xc3\x84\xe2\x82";
	struct str folded = STR_INIT;
	char *exact = unit_exact(text, sizeof(text) - 1);

	fold_add(&folded, (struct slice){exact, sizeof(text) - 1});
	assert_string_equal(folded.p, "a\xff\xc3"
				      "b\xc3\xa4\xe2\x82");
	str_fini(&folded);
	free(exact);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_table),
		cmocka_unit_test(test_parameters_make_the_same_filters),
		cmocka_unit_test(test_lists_in_parameters),
		cmocka_unit_test(test_bad_filters),
		cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_strange_lines),
		cmocka_unit_test(test_showing),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_folding_bytes_that_are_no_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
