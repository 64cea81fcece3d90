#include "unit.h"

#include "revoked.h"

static const struct slice no_jti = {.p = "", .len = 0};
static const struct caller_view user = {.user_id = 5, .jti = {"aa", 2}}, key = {.apikey_id = 5};

static void each_kind_means_its_own(void **state)
{
	static const struct {
		enum wire_revoke what;
		uint64_t id;
		const char *jti;
		bool user, key;
	} cases[] = {
		{WIRE_REVOKE_USER, 5, "", true, false},
		{WIRE_REVOKE_USER, 6, "", false, false},
		{WIRE_REVOKE_USER, 0, "", false, false},
		{WIRE_REVOKE_APIKEY, 5, "", false, true},
		{WIRE_REVOKE_APIKEY, 0, "", false, false},
		{WIRE_REVOKE_JTI, 0, "aa", true, false},
		{WIRE_REVOKE_JTI, 0, "aab", false, false},
		{WIRE_REVOKE_JTI, 0, "", false, false},
		{WIRE_REVOKE_JTI, 5, "0123456789012345678901234567890123456789", false, false},
	};

	for (size_t i = 0; i < ARRAY_N(cases); i++) {
		struct revocations rs = {.n = 0};
		struct slice jti = {.p = cases[i].jti, .len = strlen(cases[i].jti)};
		const struct revoked *r = revocations_add(&rs, cases[i].what, cases[i].id, jti, 1);

		if (revoked_is(r, &user) != cases[i].user || revoked_is(r, &key) != cases[i].key)
			fail_msg("case %zu", i);
	}
}

static void only_those_since_then_count(void **state)
{
	struct revocations rs = {.n = 0};

	assert_int_equal(revocations_find(&rs, &user, 0), REVOKED_NO);
	revocations_add(&rs, WIRE_REVOKE_USER, 5, no_jti, 100);
	revocations_add(&rs, WIRE_REVOKE_USER, 6, no_jti, 200);
	assert_int_equal(revocations_find(&rs, &user, 100), REVOKED_YES);
	assert_int_equal(revocations_find(&rs, &user, 99), REVOKED_YES);
	assert_int_equal(revocations_find(&rs, &user, 101), REVOKED_NO);
	assert_int_equal(revocations_find(&rs, &key, 0), REVOKED_NO);
}

static void what_is_forgotten_is_not_called_good(void **state)
{
	struct revocations rs = {.n = 0};

	revocations_add(&rs, WIRE_REVOKE_USER, 5, no_jti, 100);
	for (int i = 0; i < REVOKED_N; i++)
		revocations_add(&rs, WIRE_REVOKE_USER, 6, no_jti, 100);
	assert_int_equal(revocations_find(&rs, &user, 100), REVOKED_UNKNOWN);
	assert_int_equal(revocations_find(&rs, &user, 101), REVOKED_NO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_means_its_own),
		cmocka_unit_test(only_those_since_then_count),
		cmocka_unit_test(what_is_forgotten_is_not_called_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
