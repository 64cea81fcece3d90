/* What MariaDB's error numbers and messages mean; no database needed. */
#include "unit.h"

#include "db_internal.h"

static void numbers(void **state)
{
	static const struct {
		unsigned code;
		enum err err;
	} rows[] = {{0, ERR_OK}, {1062, ERR_DB_DUP}, {1586, ERR_DB_DUP}, {1451, ERR_DB_REF_USED},
		{1452, ERR_DB_REF_NONE}, {1213, ERR_DB_RETRY}, {1205, ERR_DB_RETRY},
		{1020, ERR_DB_RETRY}, {1021, ERR_DB_FULL}, {1114, ERR_DB_FULL}, {28, ERR_DB_FULL},
		{1290, ERR_DB_READONLY}, {1836, ERR_DB_READONLY}, {1044, ERR_DB_DENIED},
		{1045, ERR_DB_DENIED}, {1698, ERR_DB_DENIED}, {1142, ERR_DB_DENIED},
		{1227, ERR_DB_DENIED}, {2002, ERR_DB_LOST}, {2003, ERR_DB_LOST},
		{2005, ERR_DB_LOST}, {2006, ERR_DB_LOST}, {2013, ERR_DB_LOST}, {2014, ERR_DB_LOST},
		{2026, ERR_DB_LOST}, {1927, ERR_DB_LOST}, {1053, ERR_DB_LOST}, {1040, ERR_DB_LOST},
		{1047, ERR_DB_LOST}, {1064, ERR_DB}, {1146, ERR_DB}, {1048, ERR_DB}, {1406, ERR_DB},
		{4025, ERR_DB}, {1243, ERR_DB}, {1615, ERR_DB}, {1, ERR_DB}, {99999, ERR_DB}};

	for (size_t i = 0; i < ARRAY_N(rows); i++)
		if (db_error_map(rows[i].code) != rows[i].err)
			fail_msg("%u", rows[i].code);
	assert_true(db_error_is_stale_stmt(1243) && db_error_is_stale_stmt(1615));
	assert_false(db_error_is_stale_stmt(1064));
}

static void keys(void **state)
{
	char key[DB_KEY_SIZE], longest[160];
	static const struct {
		const char *message, *key;
	} rows[] = {
		{"Duplicate entry 'x' for key 'uq_users_username'", "uq_users_username"},
		{"Duplicate entry 'x' for key 'users.uq_users_username'", "uq_users_username"},
		{"Duplicate entry 'it's for key 'a.b'' for key 'PRIMARY'", "PRIMARY"},
		{"Duplicate entry 'a.b' for key 2", ""},
		{"'", ""},
		{"", ""},
		{"''", ""},
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		db_error_key(rows[i].message, key);
		assert_string_equal(key, rows[i].key);
	}
	for (int n = DB_KEY_SIZE - 2; n <= DB_KEY_SIZE; n++) {
		snprintf(longest, sizeof(longest), "for key 't.%0*d'", n, 0);
		db_error_key(longest, key);
		assert_int_equal(strlen(key), n < DB_KEY_SIZE ? n : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(numbers), cmocka_unit_test(keys)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
