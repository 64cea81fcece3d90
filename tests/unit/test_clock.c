#include "unit.h"

#include <string.h>

#include "clock.h"

static void rfc3339(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = {
		{0, "1970-01-01T00:00:00.000Z"},
		{1, "1970-01-01T00:00:00.001Z"},
		{951782400999, "2000-02-29T00:00:00.999Z"},
		{1795376100123, "2026-11-22T19:35:00.123Z"},
		{253402300799999, "9999-12-31T23:59:59.999Z"},
		{INT64_MAX, "9999-12-31T23:59:59.999Z"},
		{-1, "1970-01-01T00:00:00.000Z"},
	};
	char out[CLOCK_RFC3339_SIZE];
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		clock_rfc3339(rows[i].ms, out);
		assert_string_equal(out, rows[i].text);
	}
}

static void from_sql(void **state)
{
	static const struct {
		const char *sql, *text;
	} rows[] = {
		{"2026-11-22 19:35:00.123", "2026-11-22T19:35:00.123Z"},
		{"2026-11-22 19:35:00.123456", "2026-11-22T19:35:00.123Z"},
		{"2026-11-22 19:35:00", ""},
		{"", ""},
		{NULL, ""},
	};
	char out[CLOCK_RFC3339_SIZE];
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		clock_from_sql(rows[i].sql, out);
		assert_string_equal(out, rows[i].text);
	}
}

static void parses_rfc3339(void **state)
{
	static const struct {
		const char *text;
		int64_t ms; /* -1: it is none */
	} rows[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"1970-01-01T00:00:00.001Z", 1},
		{"1970-01-01t00:00:00.1z", 100},
		{"1970-01-01 00:00:00.12Z", 120},
		{"2026-11-22T19:35:00.123Z", 1795376100123},
		{"2026-11-22T19:35:00.123999999999Z", 1795376100123},
		{"2026-11-22T21:05:00.123+01:30", 1795376100123},
		{"2026-11-22T09:35:00.123-10:00", 1795376100123},
		{"2026-11-22T19:35:00.123-00:00", 1795376100123},
		{"1970-01-01T23:59:00+23:59", 0},
		{"1969-12-31T23:00:00-01:00", 0},
		{"1969-12-31T23:59:60Z", 0},
		{"2000-02-29T00:00:00.999Z", 951782400999},
		{"2024-02-29T12:00:00Z", 1709208000000},
		{"2024-03-01T00:00:00Z", 1709251200000},
		{"2025-12-31T00:00:00Z", 1767139200000},
		{"2016-12-31T23:59:60Z", 1483228800000},
		{"2106-02-07T06:28:16Z", 4294967296000},
		{"2100-03-01T00:00:00Z", 4107542400000},
		{"9999-12-31T23:59:59.999Z", 253402300799999},
		{"9999-12-31T23:59:59.999-00:01", -1},
		{"1970-01-01T00:00:00+00:01", -1},
		{"1969-12-31T23:59:59.999Z", -1},
		{"0000-01-01T00:00:00Z", -1},
		{"2023-02-29T00:00:00Z", -1},
		{"2100-02-29T00:00:00Z", -1},
		{"2026-04-31T00:00:00Z", -1},
		{"2026-00-01T00:00:00Z", -1},
		{"2026-13-01T00:00:00Z", -1},
		{"2026-01-00T00:00:00Z", -1},
		{"2026-11-22T24:00:00Z", -1},
		{"2026-11-22T19:60:00Z", -1},
		{"2026-11-22T19:35:61Z", -1},
		{"2026-11-22T19:35:00", -1},
		{"2026-11-22T19:35:00.Z", -1},
		{"2026-11-22T19:35:00,5Z", -1},
		{"2026-11-22T19:35Z", -1},
		{"2026-11-22", -1},
		{"20261122T193500Z", -1},
		{"2026-11-22T19:35:00+0100", -1},
		{"2026-11-22T19:35:00+01", -1},
		{"2026-11-22T19:35:00+24:00", -1},
		{"2026-11-22T19:35:00+01:60", -1},
		{"2026-11-22T19:35:00ZZ", -1},
		{" 2026-11-22T19:35:00Z", -1},
		{"2026-1-22T19:35:00Z", -1},
		{"+2026-11-22T19:35:00Z", -1},
		{"12026-11-22T19:35:00Z", -1},
		{"", -1},
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		int64_t ms;
		bool is_good = clock_parse_rfc3339(rows[i].text, strlen(rows[i].text), &ms);

		if (is_good != (rows[i].ms >= 0) || (is_good && ms != rows[i].ms))
			fail_msg("%s: %s %lld", rows[i].text, is_good ? "taken as" : "refused",
				(long long)ms);
	}
	assert_false(clock_parse_rfc3339("2026-11-22T19:35:00Z\0Z", 22, &(int64_t){0}));
	assert_false(clock_parse_rfc3339("2026-11-22T19:35:00\0", 20, &(int64_t){0}));
}

/* Each day of four centuries and a little, and back. */
static void days_come_back(void **state)
{
	char text[CLOCK_RFC3339_SIZE], sql[CLOCK_RFC3339_SIZE], again[CLOCK_RFC3339_SIZE];

	for (int64_t day = 0; day < 160000; day++) {
		int64_t ms = day * 86400000 + day % 86400000, back;

		clock_rfc3339(ms, text);
		assert_true(clock_parse_rfc3339(text, strlen(text), &back));
		assert_int_equal(back, ms);
		clock_sql(ms, sql);
		clock_from_sql(sql, again);
		assert_string_equal(again, text);
	}
}

static void clocks_agree_and_run_forward(void **state)
{
	int64_t us = clock_us(), ms = clock_ms();
	assert_true(ms >= us / 1000);
	assert_true(clock_us() / 1000 >= ms);
	assert_true(clock_wall_ms() > 1700000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc3339),
		cmocka_unit_test(from_sql),
		cmocka_unit_test(parses_rfc3339),
		cmocka_unit_test(days_come_back),
		cmocka_unit_test(clocks_agree_and_run_forward),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
