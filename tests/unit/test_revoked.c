#include "unit.h"

#include "revoked.h"

static const struct caller_view user = {.user_id = 5, .jti = {"aa", 2}}, key = {.apikey_id = 5};
static const struct revoked of_user = {.what = WIRE_REVOKE_USER, .id = 5},
			    of_another = {.what = WIRE_REVOKE_USER, .id = 6};

static void each_kind_means_its_own(void **state)
{
	static const struct {
		struct revoked r;
		bool user, key;
	} cases[] = {
		{{WIRE_REVOKE_USER, 5, "", 0}, true, false},
		{{WIRE_REVOKE_USER, 6, "", 0}, false, false},
		{{WIRE_REVOKE_USER, 0, "", 0}, false, false},
		{{WIRE_MORE_USER, 5, "", 0}, true, false},
		{{WIRE_REVOKE_APIKEY, 5, "", 0}, false, true},
		{{WIRE_REVOKE_APIKEY, 0, "", 0}, false, false},
		{{WIRE_MORE_APIKEY, 5, "", 0}, false, true},
		{{WIRE_REVOKE_JTI, 0, "aa", 0}, true, false},
		{{WIRE_REVOKE_JTI, 0, "aab", 0}, false, false},
		{{WIRE_REVOKE_JTI, 0, "", 0}, false, false},
		{{WIRE_REVOKE_ALL, 5, "aa", 0}, false, false},
	};

	for (size_t i = 0; i < ARRAY_N(cases); i++)
		if (revoked_concerns(&cases[i].r, &user) != cases[i].user ||
			revoked_concerns(&cases[i].r, &key) != cases[i].key)
			fail_msg("case %zu", i);
}

#define JTI "0123456789abcdef0123456789abcdef"

static void each_payload_is_read(void **state)
{
	static const struct {
		const char *json;
		enum wire_revoke what; /* 0: it tells of nothing */
		uint64_t id;
		const char *jti;
	} cases[] = {
		{"{\"revoke\":\"jti\",\"jti\":\"" JTI "\"}", WIRE_REVOKE_JTI, 0, JTI},
		{"{\"jti\": \"a\", \"revoke\": \"jti\"}", WIRE_REVOKE_JTI, 0, "a"},
		{"{\"revoke\":\"user\",\"user_id\":7}", WIRE_REVOKE_USER, 7, ""},
		{"{\"revoke\":\"user\",\"user_id\":\"7\"}", WIRE_REVOKE_USER, 7, ""},
		{"{\"revoke\":\"apikey\",\"apikey_id\":7}", WIRE_REVOKE_APIKEY, 7, ""},
		{"{\"changed\":\"user\",\"user_id\":7}", WIRE_MORE_USER, 7, ""},
		{"{\"changed\":\"apikey\",\"apikey_id\":7}", WIRE_MORE_APIKEY, 7, ""},
		/* What anybody may insert. */
		{"{\"revoke\":\"jti\"}", 0, 0, ""},
		{"{\"revoke\":\"jti\",\"jti\":\"\"}", 0, 0, ""},
		{"{\"revoke\":\"jti\",\"jti\":7}", 0, 0, ""},
		{"{\"revoke\":\"jti\",\"jti\":\"" JTI "0\"}", 0, 0, ""},
		{"{\"changed\":\"jti\",\"jti\":\"" JTI "\"}", 0, 0, ""},
		{"{\"revoke\":\"user\"}", 0, 0, ""},
		{"{\"revoke\":\"user\",\"user_id\":0}", 0, 0, ""},
		{"{\"revoke\":\"user\",\"user_id\":-7}", 0, 0, ""},
		{"{\"revoke\":\"user\",\"apikey_id\":7}", 0, 0, ""},
		{"{\"revoke\":\"everything\"}", 0, 0, ""},
		{"{\"revoke\":{}}", 0, 0, ""},
		{"[]", 0, 0, ""},
		{"null", 0, 0, ""},
		{"\"revoke\"", 0, 0, ""},
		{"{", 0, 0, ""},
		{"", 0, 0, ""},
	};

	for (size_t i = 0; i < ARRAY_N(cases); i++) {
		struct revoked r;
		bool is_told = revoked_parse(&r, cases[i].json, strlen(cases[i].json));

		if (is_told != (cases[i].what != 0))
			fail_msg("%s", cases[i].json);
		if (is_told && (r.what != cases[i].what || r.id != cases[i].id ||
				       strcmp(r.jti, cases[i].jti) != 0))
			fail_msg("%s is read as kind %d, %llu, \"%s\"", cases[i].json, (int)r.what,
				(unsigned long long)r.id, r.jti);
	}
}

static void only_those_since_then_count(void **state)
{
	struct revocations rs = {.n = 0};

	assert_int_equal(revocations_find(&rs, &user, 0), REVOKED_NO);
	revocations_add(&rs, &of_user, 100);
	revocations_add(&rs, &of_another, 200);
	assert_int_equal(revocations_find(&rs, &user, 100), REVOKED_YES);
	assert_int_equal(revocations_find(&rs, &user, 99), REVOKED_YES);
	assert_int_equal(revocations_find(&rs, &user, 101), REVOKED_NO);
	assert_int_equal(revocations_find(&rs, &key, 0), REVOKED_NO);
}

static void what_is_forgotten_is_not_called_good(void **state)
{
	struct revocations rs = {.n = 0};

	revocations_add(&rs, &of_user, 100);
	for (int i = 0; i < REVOKED_N; i++)
		revocations_add(&rs, &of_another, 100);
	assert_int_equal(revocations_find(&rs, &user, 100), REVOKED_UNKNOWN);
	assert_int_equal(revocations_find(&rs, &user, 101), REVOKED_NO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_means_its_own),
		cmocka_unit_test(each_payload_is_read),
		cmocka_unit_test(only_those_since_then_count),
		cmocka_unit_test(what_is_forgotten_is_not_called_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
