/* Rights of sessions: the same ones are kept once. */
#include "unit.h"

#include "rights.h"

static struct str bytes_of_role(const char *role)
{
	struct principal p = {0};
	struct str bytes = STR_INIT;

	strlist_add(&p.roles, role, strlen(role));
	strlist_add(&p.perms, "nodes:read", 10);
	perm_rights_put(&bytes, &p);
	perm_rights_fini(&p);
	return bytes;
}

static struct slice slice(const struct str *s)
{
	return (struct slice){str_c(s), s->len};
}

static void the_same_are_kept_once(void **state)
{
	struct str a = bytes_of_role("editor"), b = bytes_of_role("viewer");
	struct rights_set set = {0};
	struct rights *one = rights_get(&set, slice(&a)), *two = rights_get(&set, slice(&b));

	assert_non_null(one);
	assert_ptr_not_equal(one, two);
	assert_ptr_equal(rights_get(&set, slice(&a)), one);
	rights_put(&set, one);
	assert_memory_equal(rights_bytes(one).p, a.p, a.len);
	rights_put(&set, one);
	rights_put(&set, two);
	rights_put(&set, NULL);
	assert_null(set.all);
	assert_int_equal(rights_bytes(NULL).len, 0);
	str_fini(&a);
	str_fini(&b);
}

static void they_are_the_callers(void **state)
{
	const struct caller_view ann = {.tenant_id = 3, .user_id = 7};
	struct str bytes = bytes_of_role("editor");
	struct rights_set set = {0};
	struct rights *r = rights_get(&set, slice(&bytes));
	struct principal who = rights_of(r, &ann);

	assert_int_equal(who.tenant_id, 3);
	assert_true(who.user_id == 7);
	assert_true(strlist_has(&who.roles, "editor") && perm_has(&who, "nodes:read"));
	rights_put(&set, r);
	str_fini(&bytes);
}

static void what_is_cut_off_is_none(void **state)
{
	struct str bytes = bytes_of_role("editor");
	struct rights_set set = {0};

	for (size_t len = 0; len < bytes.len; len++)
		assert_null(rights_get(&set, (struct slice){bytes.p, len}));
	str_addc(&bytes, 'x');
	assert_null(rights_get(&set, slice(&bytes)));
	assert_null(set.all);
	str_fini(&bytes);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_are_kept_once),
		cmocka_unit_test(they_are_the_callers),
		cmocka_unit_test(what_is_cut_off_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
