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
		{1026, ERR_DB_FULL}, {1197, ERR_DB_FULL}, {1705, ERR_DB_FULL},
		{1290, ERR_DB_READONLY}, {1836, ERR_DB_READONLY}, {1792, ERR_DB_READONLY},
		{1036, ERR_DB_READONLY}, {1874, ERR_DB_READONLY}, {1881, ERR_DB_READONLY},
		{1223, ERR_DB_READONLY}, {1598, ERR_DB_READONLY}, {1661, ERR_DB_READONLY},
		{1662, ERR_DB_READONLY}, {1663, ERR_DB_READONLY}, {1664, ERR_DB_READONLY},
		{1665, ERR_DB_READONLY}, {1969, ERR_DB_STOPPED}, {3024, ERR_DB_STOPPED},
		{1317, ERR_DB_STOPPED}, {1028, ERR_DB_STOPPED}, {1206, ERR_DB_STOPPED},
		{1637, ERR_DB_STOPPED}, {1037, ERR_DB_STOPPED}, {1038, ERR_DB_STOPPED},
		{1041, ERR_DB_STOPPED}, {1180, ERR_DB_STOPPED}, {1412, ERR_DB_RETRY},
		{1461, ERR_DB_LOST}, {1203, ERR_DB_LOST}, {1226, ERR_DB_LOST}, {1135, ERR_DB_LOST},
		{1153, ERR_DB_TOO_LARGE}, {1156, ERR_DB_LOST}, {1157, ERR_DB_LOST},
		{2001, ERR_DB_LOST}, {2020, ERR_DB_TOO_LARGE}, {1820, ERR_DB_DENIED},
		{1862, ERR_DB_DENIED}, {4150, ERR_DB_DENIED}, {4151, ERR_DB_DENIED},
		{1044, ERR_DB_DENIED}, {1045, ERR_DB_DENIED}, {1698, ERR_DB_DENIED},
		{1142, ERR_DB_DENIED}, {1227, ERR_DB_DENIED}, {2002, ERR_DB_LOST},
		{2003, ERR_DB_LOST}, {2005, ERR_DB_LOST}, {2006, ERR_DB_LOST}, {2013, ERR_DB_LOST},
		{2014, ERR_DB_LOST}, {2026, ERR_DB_LOST}, {1927, ERR_DB_LOST}, {1053, ERR_DB_LOST},
		{1040, ERR_DB_LOST}, {1047, ERR_DB_LOST}, {1064, ERR_DB}, {1146, ERR_DB},
		{1048, ERR_DB}, {1406, ERR_DB}, {4025, ERR_DB}, {1243, ERR_DB}, {1615, ERR_DB},
		{1, ERR_DB}, {99999, ERR_DB}};

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

/* What passes by itself, or when the server is set right, must not look like a fault of ours. */
static void what_passes_is_503(void **state)
{
	static const unsigned codes[] = {1021, 1114, 1026, 1290, 1665, 1792, 1836, 1969, 3024, 1317,
		1205, 1213, 1040, 1203, 1226, 1461, 2006, 2013, 2002, 1180};

	for (size_t i = 0; i < ARRAY_N(codes); i++)
		if (err_status(db_error_map(codes[i])) != 503)
			fail_msg("%u", codes[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(numbers), cmocka_unit_test(keys),
		cmocka_unit_test(what_passes_is_503)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
