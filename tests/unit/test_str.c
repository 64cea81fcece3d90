#include "unit.h"

#include <sys/wait.h>
#include <unistd.h>

#include "mem.h"

static void adds_grow_and_end_with_nul(void **state)
{
	struct str s = STR_INIT;

	assert_string_equal(str_c(&s), "");
	str_add(&s, NULL, 0);
	assert_string_equal(s.p, "");
	for (int i = 0; i < 1000; i++) {
		str_addc(&s, 'x');
		assert_int_equal(s.p[s.len], 0);
	}
	str_adds(&s, "end");
	assert_int_equal(s.len, 1003);
	assert_string_equal(s.p + 999, "xend");
	str_clear(&s);
	assert_string_equal(str_c(&s), "");
	assert_true(s.cap > 1003);
	str_fini(&s);
	str_fini(&s);
	assert_null(s.p);
}

static void numbers(void **state)
{
	struct str s = STR_INIT;

	str_addu(&s, 0);
	str_addc(&s, ' ');
	str_addu(&s, UINT64_MAX);
	str_addc(&s, ' ');
	str_addi(&s, INT64_MIN);
	str_addc(&s, ' ');
	str_addi(&s, 42);
	assert_string_equal(s.p, "0 18446744073709551615 -9223372036854775808 42");
	str_fini(&s);
}

/* Lengths around the first capacity: the text that just fits and the one that just does not. */
static void formats_of_any_length(void **state)
{
	for (int n = 0; n < 200; n++) {
		struct str s = STR_INIT;
		str_addf(&s, "%*s", n, "");
		assert_int_equal(s.len, n);
		assert_int_equal(strlen(s.p), n);
		str_addf(&s, "<%d>", n);
		assert_int_equal(strlen(s.p), s.len);
		str_fini(&s);
	}
}

static void json_escapes(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"", "\"\""},
		{"plain \xc3\xa4", "\"plain \xc3\xa4\""},
		{"\"\\/", "\"\\\"\\\\/\""},
		{"\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\""},
		{"\x01\x1f\x7f", "\"\\u0001\\u001f\x7f\""},
		{"a\nb", "\"a\\nb\""},
		{NULL, "null"},
	};
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct str s = STR_INIT;
		str_add_json(&s, rows[i].in);
		assert_string_equal(s.p, rows[i].out);
		str_fini(&s);
	}
	struct str s = STR_INIT;
	str_add_json_n(&s, "a\0b", 3);
	assert_string_equal(s.p, "\"a\\u0000b\"");
	str_fini(&s);
}

static void take_gives_the_bytes_away(void **state)
{
	struct str s = STR_INIT;

	char *p = str_take(&s);
	assert_string_equal(p, "");
	free(p);
	str_adds(&s, "mine");
	p = str_take(&s);
	assert_null(s.p);
	assert_int_equal(s.len, 0);
	assert_string_equal(p, "mine");
	free(p);
}

/* Runs f in a child, whose exit status it returns; what the child logs is thrown away. */
static int status_of(void (*f)(void))
{
	int status;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (!freopen("/dev/null", "w", stderr))
			_exit(99);
		f();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void product_overflow(void)
{
	volatile size_t n = SIZE_MAX / 2;
	free(xreallocarray(NULL, n, 3));
}

static void huge_growth(void)
{
	struct str s = STR_INIT;
	str_adds(&s, "x");
	str_reserve(&s, SIZE_MAX - 1);
}

static void what_cannot_be_had_ends_the_process(void **state)
{
	assert_int_equal(status_of(product_overflow), 1);
	assert_int_equal(status_of(huge_growth), 1);
}

static void copies(void **state)
{
	char *p = xstrndup("abc", 2);
	assert_string_equal(p, "ab");
	free(p);
	p = xstrndup("abc", 9);
	assert_string_equal(p, "abc");
	free(p);
	p = unit_exact("no end", 6);
	char *q = xstrndup(p, 6);
	assert_string_equal(q, "no end");
	free(p);
	free(q);
	free(xmalloc(0));
	free(xcalloc(0, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adds_grow_and_end_with_nul),
		cmocka_unit_test(numbers),
		cmocka_unit_test(formats_of_any_length),
		cmocka_unit_test(json_escapes),
		cmocka_unit_test(take_gives_the_bytes_away),
		cmocka_unit_test(what_cannot_be_had_ends_the_process),
		cmocka_unit_test(copies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
