#include "unit.h"

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
		cmocka_unit_test(clocks_agree_and_run_forward),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
