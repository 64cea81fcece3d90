/* The table of questions: whom the poller answers what. */
#include "unit.h"

#include "perm.h"
#include "question.h"

static const struct question *find(const char *name)
{
	return question_find((struct slice){name, strlen(name)});
}

static void rows_are_whole(void **state)
{
	static const char *const names[] = {
		"status", "connections", "connection", "connection-stats", "disconnect"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_non_null(find(names[i]));
		assert_string_equal(find(names[i])->name, names[i]);
		assert_true(perm_is_valid(find(names[i])->perm));
		assert_true(find(names[i])->roles);
	}
	assert_null(find("stat"));
	assert_null(find(""));
}

static void all_tenants_are_for_cmdbctl(void **state)
{
	static const struct {
		const char *name;
		enum wire_role role;
		uint32_t tenant_id;
		bool is_for;
	} table[] = {
		{"connections", WIRE_ROLE_FCGI, 1, true},
		{"connections", WIRE_ROLE_CGI, 1, true},
		{"connections", WIRE_ROLE_CLI, 1, true},
		{"connections", WIRE_ROLE_CLI, 0, true},
		{"connections", WIRE_ROLE_FCGI, 0, false},
		{"connections", WIRE_ROLE_CGI, 0, false},
		{"disconnect", WIRE_ROLE_FCGI, 1, true},
		{"disconnect", WIRE_ROLE_FCGI, 0, false},
		{"connection-stats", WIRE_ROLE_CGI, 0, false},
		{"status", WIRE_ROLE_CLI, 0, true},
		{"status", WIRE_ROLE_FCGI, 1, false},
		{"status", WIRE_ROLE_FCGI, 0, false},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(
			question_is_for(find(table[i].name), table[i].role, table[i].tenant_id),
			table[i].is_for);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_whole),
		cmocka_unit_test(all_tenants_are_for_cmdbctl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
