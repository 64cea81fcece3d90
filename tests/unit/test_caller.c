/* Callers: kept, told apart, and written down. */
#include "unit.h"

#include "caller.h"
#include "clock.h"
#include "perm.h"

static struct caller_view ann(void)
{
	return (struct caller_view){.tenant_id = 3,
		.user_id = 1ULL << 40,
		.expires_s = 1900000000,
		.username = slice_of("ann"),
		.jti = slice_of("0123456789abcdef0123456789abcdef")};
}

static void assert_same(const struct caller_view *got, const struct caller_view *expected)
{
	assert_true(caller_is_same_token(got, expected));
	assert_true(got->expires_s == expected->expires_s);
	assert_true(slice_same(got->username, expected->username));
}

static void what_is_kept_is_what_was_given(void **state)
{
	struct caller_view v = ann(), out;
	struct caller *c = caller_new(&v), *nobody;

	assert_ptr_equal(caller_ref(c), c);
	caller_unref(c);
	out = caller_view(c);
	assert_same(&out, &v);
	caller_unref(c);
	out = caller_view(NULL);
	nobody = caller_new(&out);
	assert_string_equal(nobody->username, "");
	assert_string_equal(nobody->jti, "");
	caller_unref(nobody);
	caller_unref(NULL);
}

static void a_principal_is_a_caller_with_rights(void **state)
{
	char name[] = "apikey:x";
	const struct principal p = {.tenant_id = 2, .apikey_id = 9, .username = name};
	struct caller_view c = caller_of(&p);

	assert_int_equal(c.tenant_id, 2);
	assert_int_equal(c.user_id, 0);
	assert_int_equal(c.apikey_id, 9);
	assert_true(slice_is(c.username, "apikey:x"));
	assert_true(slice_is(c.jti, ""));
}

static void each_part_tells_callers_apart(void **state)
{
	struct caller_view a = ann(), others[] = {ann(), ann(), ann()}, b = ann();

	others[0].tenant_id++;
	others[1].user_id++;
	others[2].apikey_id++;
	for (size_t i = 0; i < ARRAY_N(others); i++) {
		assert_false(caller_is_same(&a, &others[i]));
		assert_false(caller_is_same_token(&a, &others[i]));
	}
	b.username = slice_of("another name");
	assert_true(caller_is_same_token(&a, &b));
	b.jti = slice_of("another token");
	assert_true(caller_is_same(&a, &b));
	assert_false(caller_is_same_token(&a, &b));
}

static void what_is_put_comes_out_whole_or_is_bad(void **state)
{
	struct caller_view v = ann(), out;
	struct str s = STR_INIT;
	struct bytes b;

	caller_put(&s, &v);
	b = bytes_of(s.p, s.len);
	out = caller_get(&b);
	assert_true(bytes_are_done(&b));
	assert_same(&out, &v);
	for (size_t len = 0; len < s.len; len++) {
		b = bytes_of(s.p, len);
		caller_get(&b);
		assert_true(b.is_bad);
	}
	str_clear(&s);
	v.expires_s = CLOCK_S_MAX + 1; /* in milliseconds it would be no number any more */
	caller_put(&s, &v);
	b = bytes_of(s.p, s.len);
	assert_int_equal(caller_get(&b).expires_s, 0);
	assert_true(b.is_bad);
	str_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_kept_is_what_was_given),
		cmocka_unit_test(a_principal_is_a_caller_with_rights),
		cmocka_unit_test(each_part_tells_callers_apart),
		cmocka_unit_test(what_is_put_comes_out_whole_or_is_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
