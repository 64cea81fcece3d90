#include "unit.h"

#include "mem.h"
#include "perm.h"

static void syntax(void **state)
{
	static const struct {
		const char *perm;
		bool is_valid;
	} rows[] = {
		{"*", true},
		{"websites:write", true},
		{"line-groups:read", true},
		{"line_groups:*", true},
		{"a.b2:read", true},
		{"", false},
		{"*:*", false},
		{"*:read", false},
		{"**", false},
		{"websites", false},
		{"websites:", false},
		{":read", false},
		{"websites:read:all", false},
		{"websites:read ", false},
		{"Websites:read", false},
		{"websites:re*", false},
		{"web*:read", false},
		{"2x:read", false},
		{"_auth:read", false},
		{"x:\xc3\xa4", false},
		{"a234567890123456789012345678901234567890123456789012345678901:bcd", false},
		{"a23456789012345678901234567890123456789012345678901234567890:bcd", true},
	};
	for (size_t i = 0; i < ARRAY_N(rows); i++)
		if (perm_is_valid(rows[i].perm) != rows[i].is_valid)
			fail_msg("%s", rows[i].perm);
}

static void grants(void **state)
{
	static const struct {
		const char *granted, *resource, *verb;
		bool has;
	} rows[] = {
		{"*", "websites", "write", true},
		{"websites:*", "websites", "write", true},
		{"websites:write", "websites", "write", true},
		{"websites:write", "websites", "read", false},
		{"websites:write", "websites", "writ", false},
		{"websites:writ", "websites", "write", false},
		{"websites:*", "website", "write", false},
		{"website:*", "websites", "write", false},
		{"websites", "websites", "write", false},
		{"logs:read", "websites", "read", false},
	};
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct principal *p = principal_new();
		char perm[64];
		strlist_add(&p->perms, "other:read", 10);
		strlist_add(&p->perms, rows[i].granted, strlen(rows[i].granted));
		snprintf(perm, sizeof(perm), "%s:%s", rows[i].resource, rows[i].verb);
		if (perm_has2(p, rows[i].resource, rows[i].verb) != rows[i].has ||
			perm_has(p, perm) != rows[i].has)
			fail_msg("%s with %s", perm, rows[i].granted);
		assert_int_equal(perm_is_all(p), strcmp(rows[i].granted, "*") == 0);
		assert_int_equal(perm_has(p, "*"), perm_is_all(p));
		principal_unref(p);
	}
}

static void who_has_nothing_may_nothing(void **state)
{
	struct principal none = {0};
	assert_false(perm_has(&none, "websites:read"));
	assert_false(perm_has2(&none, "", ""));
	assert_false(perm_is_all(&none));
	principal_unref(NULL);
}

static void lists(void **state)
{
	struct strlist l = {0};
	assert_false(strlist_has(&l, ""));
	strlist_add(&l, "abc", 2);
	strlist_add(&l, "", 0);
	assert_int_equal(l.n, 2);
	assert_true(strlist_has(&l, "ab"));
	assert_true(strlist_has(&l, ""));
	assert_false(strlist_has(&l, "abc"));
	strlist_fini(&l);
	strlist_fini(&l);
	assert_int_equal(l.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(syntax),
		cmocka_unit_test(grants),
		cmocka_unit_test(who_has_nothing_may_nothing),
		cmocka_unit_test(lists),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
