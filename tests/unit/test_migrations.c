#define _GNU_SOURCE /* nftw */
#include "unit.h"

#include <ftw.h>
#include <unistd.h>

#include "migrations.h"
#include "secret.h"

static char dir[] = "/tmp/cmdb-migrations-XXXXXX";

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return ftw->level ? remove(path) : 0;
}

static int empty_dir(void **state)
{
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int make_dir(void **state)
{
	secret_init();
	return !mkdtemp(dir);
}

static int remove_dir(void **state)
{
	return rmdir(dir);
}

static void put(const char *name, const char *text)
{
	struct str path = STR_INIT;

	str_addf(&path, "%s/%s", dir, name);
	FILE *f = fopen(path.p, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	str_fini(&path);
}

/* Reads the directory; says "" for success, else why not. */
static void expect_read(struct migrations *m, const char *says)
{
	struct str why = STR_INIT;
	bool is_read = migrations_read(m, dir, &why);

	assert_int_equal(is_read, !*says);
	if (!strstr(str_c(&why), says))
		fail_msg("\"%s\" is not in \"%s\"", says, str_c(&why));
	str_fini(&why);
}

static void files(void **state)
{
	struct migrations m;

	expect_read(&m, "no migrations there");
	put("0002_more_tables2.sql", "SELECT 2;");
	expect_read(&m, "0001");
	put("0001_core.sql", "SELECT 1;");
	put("seed_demo.sql", "no migration");
	put("notes.txt", "nor this");
	put("0003_x.sql~", "nor this");
	expect_read(&m, "");
	assert_int_equal(m.n, 2);
	assert_int_equal(m.v[1].version, 2);
	assert_string_equal(m.v[1].name, "more_tables2");
	assert_string_equal(str_c(&m.v[1].sql), "SELECT 2;");
	assert_int_equal(strlen(m.v[0].checksum), 64);
	assert_string_not_equal(m.v[0].checksum, m.v[1].checksum);
	migrations_fini(&m);
	put("0004_later.sql", "SELECT 4;");
	expect_read(&m, "0003");
	put("0003_a.sql", "SELECT 3;");
	put("0003_b.sql", "SELECT 3;");
	expect_read(&m, "0003_b.sql");
}

static void names(void **state)
{
	static const char *const bad[] = {"1_core.sql", "00001_core.sql", "0001.sql", "0001_.sql",
		"0001-core.sql", "0001_Core.sql", "0001_a b.sql", "0001_a.b.sql",
		"0001_01234567890123456789012345678901234567890123456789012345678901234.sql"};

	for (size_t i = 0; i < ARRAY_N(bad); i++) {
		struct migrations m;

		put(bad[i], "SELECT 1;");
		expect_read(&m, "NNNN_name.sql");
		empty_dir(state);
	}
}

static void not_text(void **state)
{
	struct migrations m;

	put("0001_core.sql", "SELECT '\xff';");
	expect_read(&m, "not UTF-8");
}

static void expect_verdict(
	const struct migrations *m, const struct migrated *had, size_t n, const char *says)
{
	struct str why = STR_INIT;

	assert_int_equal(migrations_check(m, had, n, &why), !*says);
	if (!strstr(str_c(&why), says))
		fail_msg("\"%s\" is not in \"%s\"", says, str_c(&why));
	str_fini(&why);
}

static void check(void **state)
{
	struct migrated had[4] = {{0}};
	struct migrations m;

	put("0001_a.sql", "SELECT 1;");
	put("0002_b.sql", "SELECT 2;");
	put("0003_c.sql", "SELECT 3;");
	expect_read(&m, "");
	for (unsigned i = 0; i < 4; i++) {
		const struct migration *f = &m.v[i < 3 ? i : 2];

		had[i].version = i + 1;
		had[i].is_done = true;
		memcpy(had[i].name, f->name, sizeof(had[i].name));
		memcpy(had[i].checksum, f->checksum, sizeof(had[i].checksum));
		snprintf(had[i].when, sizeof(had[i].when), "2026-01-02");
	}
	for (size_t n = 0; n <= 3; n++)
		expect_verdict(&m, had, n, "");
	expect_verdict(&m, had, 4, "newer cmdb");
	assert_int_equal(migration_state(NULL, &had[3]), MIGRATION_UNKNOWN);
	assert_int_equal(migration_state(&m.v[0], NULL), MIGRATION_PENDING);
	assert_int_equal(migration_state(&m.v[0], &had[0]), MIGRATION_DONE);
	had[1].is_done = false;
	expect_verdict(&m, had, 2, "--redo 2");
	assert_int_equal(migration_state(&m.v[1], &had[1]), MIGRATION_STARTED);
	had[1].is_done = true;
	had[1].checksum[0] ^= 1;
	expect_verdict(&m, had, 2, "0002_b was applied at 2026-01-02, and");
	assert_int_equal(migration_state(&m.v[1], &had[1]), MIGRATION_CHANGED);
	had[1].checksum[0] ^= 1;
	had[1].name[0] = 'x';
	expect_verdict(&m, had, 2, "another now");
	expect_verdict(&m, had + 2, 1, "one before it was not");
	migrations_fini(&m);
}

#define T(f) cmocka_unit_test_teardown(f, empty_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {T(files), T(names), T(not_text), T(check)};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
