/* lib/db against a MariaDB of its own. */
#include "unit.h"

#include <pthread.h>

#include "clock.h"
#include "db_internal.h"
#include "event.h"
#include "mariadb.h"
#include "mem.h"

static struct mariadb server;

#define STMT(var, text, in_n, out_n)        \
	static const struct db_stmt var = { \
		.name = #var, .sql = text, .params_n = in_n, .cols_n = out_n}

STMT(echo, "SELECT ?", 1, 1);
STMT(put_types,
	"INSERT INTO types (i8, u8, i64, u64, f, d, dec_, y, t, dt, s, b, js)"
	" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	13, 0);
STMT(get_types,
	"SELECT i8, u8, i64, u64, f, d, dec_, y, t, dt, s, b, js FROM types"
	" WHERE id = ?",
	1, 13);
STMT(find_bytes, "SELECT id FROM types WHERE b = ?", 1, 1);
STMT(put_parent, "INSERT INTO parent (id, name) VALUES (?, ?)", 2, 0);
STMT(put_child, "INSERT INTO child (parent_id) VALUES (?)", 1, 0);
STMT(del_parent, "DELETE FROM parent WHERE id = ?", 1, 0);
STMT(set_parent, "UPDATE parent SET name = ? WHERE id = ?", 2, 0);
STMT(count_parents, "SELECT COUNT(*) FROM parent", 0, 1);
STMT(list_parents, "SELECT id, name FROM parent WHERE id > ? ORDER BY id LIMIT 100", 1, 2);
STMT(lock_parent, "SELECT name FROM parent WHERE id = ? LOCK IN SHARE MODE", 1, 1);
STMT(lock_range, "SELECT id, name FROM parent WHERE id > ? ORDER BY id LOCK IN SHARE MODE", 1, 2);
STMT(kill_one, "KILL ?", 1, 0);
/* INNODB_TRX would not do: it shows a copy that is renewed only when nobody has looked for 0.1 s.
 */
STMT(lock_waits,
	"SELECT CAST(VARIABLE_VALUE AS UNSIGNED) FROM information_schema.GLOBAL_STATUS"
	" WHERE VARIABLE_NAME = 'Innodb_row_lock_current_waits'",
	0, 1);
STMT(my_id, "SELECT CONNECTION_ID()", 0, 1);
STMT(session,
	"SELECT @@tx_isolation, @@time_zone, @@autocommit, @@character_set_client,"
	" @@sql_mode, @@wait_timeout, @@group_concat_max_len",
	0, 7);
STMT(big_join,
	"SELECT COUNT(*) FROM (SELECT a.seq FROM seq_1_to_50 a JOIN seq_1_to_50 b ORDER BY 1) j", 0,
	1);
STMT(counters,
	"SELECT CAST(SUM(VARIABLE_VALUE) AS UNSIGNED) FROM information_schema.SESSION_STATUS WHERE"
	" VARIABLE_NAME IN ('Com_stmt_prepare', 'Com_stmt_reset', 'Com_stmt_close',"
	" 'Com_stmt_fetch')",
	0, 1);
STMT(wrong_params, "SELECT ?, ?", 1, 2);
STMT(wrong_cols, "SELECT 1, 2", 0, 1);
STMT(no_table, "SELECT x FROM nowhere LIMIT 1", 0, 1);
STMT(readable, "SELECT id FROM parent LIMIT 1", 0, 1);
STMT(wide, "SELECT * FROM wide LIMIT 1", 0, 1);

static const char schema[] =
	"CREATE DATABASE t CHARACTER SET utf8mb4; USE t;"
	"CREATE TABLE types (id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,"
	" i8 TINYINT, u8 TINYINT UNSIGNED, i64 BIGINT, u64 BIGINT UNSIGNED, f FLOAT, d DOUBLE,"
	" dec_ DECIMAL(20,4), y YEAR, t TIME(3), dt DATETIME(3), s LONGTEXT, b VARBINARY(300),"
	" js JSON);"
	"CREATE TABLE parent (id INT UNSIGNED NOT NULL PRIMARY KEY, name VARCHAR(64) NOT NULL,"
	" UNIQUE KEY uq_parent_name (name));"
	"CREATE TABLE child (id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,"
	" parent_id INT UNSIGNED NOT NULL, CONSTRAINT fk_child_parent FOREIGN KEY (parent_id)"
	" REFERENCES parent (id));"
	"CREATE TABLE wide (a INT NOT NULL);"
	"INSERT INTO wide VALUES (7);";

#define IN(...)                 \
	(const struct db_val[]) \
	{                       \
		__VA_ARGS__     \
	}

static struct db *open_db(const char *name)
{
	struct db_login login = mariadb_login(&server, name);
	struct db *db = db_new(&login, NULL);

	if (db_ensure(db) != ERR_OK)
		fail_msg("%s", db_errmsg(db));
	return db;
}

static void script(struct db *db, const char *sql)
{
	if (db_script(db, sql) != ERR_OK)
		fail_msg("%s: %s", sql, db_errmsg(db));
}

static uint64_t get_u(struct db *db, const struct db_stmt *st)
{
	const struct db_val *row;

	assert_int_equal(db_one(db, st, NULL, 0, &row), ERR_OK);
	assert_non_null(row);
	uint64_t u = row->type == DB_TEXT ? strtoull(row->s.p, NULL, 10) : dbv_u(row);
	db_done(db);
	return u;
}

static int set_up(void **state)
{
	struct db *db = open_db(NULL);

	script(db, "DROP DATABASE IF EXISTS t");
	script(db, schema);
	db_free(db);
	*state = open_db("t");
	return 0;
}

static int tear_down(void **state)
{
	db_free(*state);
	return 0;
}

static void put_row(struct db *db, struct db_val *in, uint64_t *id)
{
	assert_int_equal(db_exec(db, &put_types, in, 13, NULL, id), ERR_OK);
}

static void test_session(void **state)
{
	const struct db_val *row;

	assert_int_equal(db_one(*state, &session, NULL, 0, &row), ERR_OK);
	assert_string_equal(dbv_text(&row[0]), "READ-COMMITTED");
	assert_string_equal(dbv_text(&row[1]), "+00:00");
	assert_int_equal(dbv_i(&row[2]), 1);
	assert_string_equal(dbv_text(&row[3]), "utf8mb4");
	assert_non_null(strstr(dbv_text(&row[4]), "STRICT_ALL_TABLES"));
	assert_true(dbv_u(&row[5]) > 1000000);
	assert_int_equal(dbv_u(&row[6]), 4194304);
}

static void test_types(void **state)
{
	const struct db_val *row;
	uint64_t id;
	struct db_val in[13] = {DBV_I(-128), DBV_U(255), DBV_I(INT64_MIN), DBV_U(UINT64_MAX),
		{.type = DB_DOUBLE, .d = 0.5}, {.type = DB_DOUBLE, .d = -1e300}, dbv_s("-12.3400"),
		DBV_U(2026), dbv_s("-01:02:03.456"), dbv_s("2026-11-22 19:35:00.123"),
		dbv_s("caf\xc3\xa9 \xf0\x9f\x8d\xb5 'q' \"\\"), dbv_b("a\0b\xff", 4),
		dbv_s("{\"a\": [1]}")};

	put_row(*state, in, &id);
	assert_int_equal(db_one(*state, &get_types, IN(DBV_U(id)), 1, &row), ERR_OK);
	assert_int_equal(dbv_i(&row[0]), -128);
	assert_int_equal(row[0].type, DB_INT);
	assert_int_equal(dbv_u(&row[1]), 255);
	assert_int_equal(row[1].type, DB_UINT);
	assert_true(dbv_i(&row[2]) == INT64_MIN);
	assert_true(dbv_u(&row[3]) == UINT64_MAX);
	assert_true(row[4].type == DB_DOUBLE && row[4].d == 0.5);
	assert_true(row[5].d == -1e300);
	assert_string_equal(dbv_text(&row[6]), "-12.3400");
	assert_int_equal(dbv_u(&row[7]), 2026);
	assert_string_equal(dbv_text(&row[8]), "-01:02:03.456");
	assert_string_equal(dbv_text(&row[9]), "2026-11-22 19:35:00.123");
	assert_string_equal(dbv_text(&row[10]), in[10].s.p);
	assert_int_equal(row[11].s.len, 4);
	assert_memory_equal(row[11].s.p, "a\0b\xff", 5);
	assert_string_equal(dbv_text(&row[12]), "{\"a\": [1]}");
	assert_null(db_fetch(*state));
}

static void test_nulls(void **state)
{
	const struct db_val *row;
	struct db_val in[13] = {{0}};
	uint64_t ids[2];

	put_row(*state, in, &ids[0]);
	for (int i = 0; i < 13; i++)
		in[i] = dbv_s("1");
	in[7] = dbv_s("2001");
	in[9] = dbv_s("2001-01-01");
	put_row(*state, in, &ids[1]);
	/* A row of values between rows of NULL: nothing of one shows in the other. */
	for (int turn = 0; turn < 4; turn++) {
		assert_int_equal(
			db_one(*state, &get_types, IN(DBV_U(ids[turn % 2])), 1, &row), ERR_OK);
		for (int i = 0; i < 13; i++)
			assert_int_equal(row[i].type == DB_NULL, turn % 2 == 0);
	}
	assert_string_equal(dbv_text(&row[9]), "2001-01-01 00:00:00.000");
	assert_int_equal(db_one(*state, &get_types, IN(DBV_U(ids[0])), 1, &row), ERR_OK);
	assert_true(dbv_u(&row[3]) == 0 && dbv_i(&row[2]) == 0 && !dbv_text(&row[10]));
	assert_int_equal(db_one(*state, &get_types, IN(DBV_U(999)), 1, &row), ERR_OK);
	assert_null(row);
}

static void test_random_bytes(void **state)
{
	unsigned char bytes[256];
	const struct db_val *row;
	struct db_val in[13] = {{0}};
	uint64_t id;

	for (int i = 0; i < 256; i++)
		bytes[i] = (unsigned char)(i * 7 + 1);
	in[11] = dbv_b(bytes, sizeof(bytes));
	put_row(*state, in, &id);
	assert_int_equal(db_one(*state, &find_bytes, &in[11], 1, &row), ERR_OK);
	assert_non_null(row);
	assert_int_equal(dbv_u(row), id);
}

static void test_long_text(void **state)
{
	static const size_t sizes[] = {1 << 20, 0, 1, 67, 68, 69, 255, 256, 65535, 65536, 1 << 20};
	char *text = xmalloc(1 << 20);
	struct db_val in[13] = {{0}};
	const struct db_val *row;
	uint64_t id;

	for (size_t i = 0; i < 1 << 20; i++)
		text[i] = (char)('a' + i % 26);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		in[10] = dbv_b(text, sizes[i]);
		put_row(*state, in, &id);
		assert_int_equal(db_one(*state, &get_types, IN(DBV_U(id)), 1, &row), ERR_OK);
		assert_int_equal(row[10].s.len, sizes[i]);
		assert_memory_equal(row[10].s.p, text, sizes[i]);
		assert_int_equal(row[10].s.p[sizes[i]], '\0');
	}
	free(text);
}

/* The type of a `?` is not known before it is executed: each execution is bound anew. */
static void test_changing_types(void **state)
{
	const struct db_val *row;

	assert_int_equal(db_one(*state, &echo, IN(DBV_I(-3)), 1, &row), ERR_OK);
	assert_int_equal(dbv_i(row), -3);
	assert_int_equal(db_one(*state, &echo, IN(dbv_s("text")), 1, &row), ERR_OK);
	assert_string_equal(dbv_text(row), "text");
	assert_int_equal(db_one(*state, &echo, IN(DBV_NULL), 1, &row), ERR_OK);
	assert_int_equal(row->type, DB_NULL);
	assert_int_equal(db_one(*state, &echo, IN(DBV_U(UINT64_MAX)), 1, &row), ERR_OK);
	assert_true(dbv_u(row) == UINT64_MAX);
}

static void test_rows(void **state)
{
	char name[16];
	const struct db_val *row;

	for (unsigned i = 1; i <= 20; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		assert_int_equal(
			db_exec(*state, &put_parent, IN(DBV_U(i), dbv_s(name)), 2, NULL, NULL),
			ERR_OK);
	}
	assert_int_equal(db_query(*state, &list_parents, IN(DBV_U(5)), 1), ERR_OK);
	assert_int_equal(db_rows_n(*state), 15);
	for (unsigned i = 6; (row = db_fetch(*state)) != NULL; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		assert_int_equal(dbv_u(&row[0]), i);
		assert_string_equal(dbv_text(&row[1]), name);
	}
	assert_null(db_fetch(*state));
	db_done(*state);
	assert_null(db_fetch(*state));
	assert_int_equal(db_rows_n(*state), 0);
	/* A result left half read is in nobody's way. */
	assert_int_equal(db_query(*state, &list_parents, IN(DBV_U(0)), 1), ERR_OK);
	assert_non_null(db_fetch(*state));
	assert_int_equal(db_begin(*state), ERR_OK);
	assert_int_equal(db_query(*state, &list_parents, IN(DBV_U(0)), 1), ERR_OK);
	assert_int_equal(db_commit(*state), ERR_OK);
	assert_int_equal(get_u(*state, &count_parents), 20);
}

static void test_affected(void **state)
{
	uint64_t n;

	script(*state, "INSERT INTO parent VALUES (1, 'a')");
	assert_int_equal(
		db_exec(*state, &set_parent, IN(dbv_s("b"), DBV_U(1)), 2, &n, NULL), ERR_OK);
	assert_int_equal(n, 1);
	assert_int_equal(
		db_exec(*state, &set_parent, IN(dbv_s("b"), DBV_U(9)), 2, &n, NULL), ERR_OK);
	assert_int_equal(n, 0);
}

static void test_constraints(void **state)
{
	struct db *db = *state;

	script(db, "INSERT INTO parent VALUES (1, 'it''s'), (2, 'two'); INSERT INTO child VALUES "
		   "(1, 1)");
	assert_int_equal(
		db_exec(db, &put_parent, IN(DBV_U(3), dbv_s("it's")), 2, NULL, NULL), ERR_DB_DUP);
	assert_string_equal(db_errkey(db), "uq_parent_name");
	assert_int_equal(db_errno(db), 1062);
	assert_int_equal(
		db_exec(db, &put_parent, IN(DBV_U(1), dbv_s("x")), 2, NULL, NULL), ERR_DB_DUP);
	assert_string_equal(db_errkey(db), "PRIMARY");
	assert_int_equal(db_exec(db, &put_child, IN(DBV_U(9)), 1, NULL, NULL), ERR_DB_REF_NONE);
	assert_string_equal(db_errkey(db), "");
	assert_int_equal(db_exec(db, &del_parent, IN(DBV_U(1)), 1, NULL, NULL), ERR_DB_REF_USED);
	assert_int_equal(db_exec(db, &put_parent, IN(DBV_U(3), DBV_NULL), 2, NULL, NULL), ERR_DB);
	assert_non_null(strstr(db_errmsg(db), "put_parent"));
	assert_true(db_is_open(db));
	assert_int_equal(get_u(db, &count_parents), 2);
}

static void test_transaction(void **state)
{
	struct db *db = *state, *other = open_db("t");

	db_rollback(db);
	assert_int_equal(db_begin(db), ERR_OK);
	script(db, "INSERT INTO parent VALUES (1, 'a')");
	assert_int_equal(get_u(other, &count_parents), 0);
	db_rollback(db);
	assert_int_equal(get_u(db, &count_parents), 0);
	assert_int_equal(db_begin(db), ERR_OK);
	script(db, "INSERT INTO parent VALUES (1, 'a')");
	assert_int_equal(db_commit(db), ERR_OK);
	assert_int_equal(get_u(other, &count_parents), 1);
	/* An open transaction goes with its connection. */
	assert_int_equal(db_begin(db), ERR_OK);
	script(db, "INSERT INTO parent VALUES (2, 'b')");
	db_close(db);
	assert_int_equal(db_ensure(db), ERR_OK);
	assert_int_equal(get_u(db, &count_parents), 1);
	db_free(other);
}

/* A server that does not wait for locks stands for one that has waited long enough. */
static void test_lock_wait(void **state)
{
	struct db *db = *state, *other = open_db("t");
	const struct db_val *row;

	script(db,
		"INSERT INTO parent VALUES (1, 'a'), (2, 'b'); SET innodb_lock_wait_timeout = 0");
	assert_int_equal(db_begin(other), ERR_OK);
	script(other, "UPDATE parent SET name = 'x' WHERE id = 1");
	assert_int_equal(db_begin(db), ERR_OK);
	script(db, "UPDATE parent SET name = 'y' WHERE id = 2");
	assert_int_equal(db_one(db, &lock_parent, IN(DBV_U(1)), 1, &row), ERR_DB_RETRY);
	assert_null(row);
	assert_null(db_fetch(db));
	/* The whole transaction is gone: its lock on the other row too. */
	script(other,
		"SET innodb_lock_wait_timeout = 0; UPDATE parent SET name = 'z' WHERE id = 2");
	assert_int_equal(db_commit(other), ERR_OK);
	assert_int_equal(db_one(db, &lock_parent, IN(DBV_U(2)), 1, &row), ERR_OK);
	assert_string_equal(dbv_text(row), "z");
	db_free(other);
}

/* The error comes behind rows that were fine: the statement goes on working, without a wait for
 * what the server has not sent. */
static void test_error_behind_rows(void **state)
{
	struct db *db = *state, *other = open_db("t");
	int64_t started_ms;

	script(db, "INSERT INTO parent (id, name) VALUES (1, 'a'), (2, 'b'), (3, 'c');"
		   "SET SESSION innodb_lock_wait_timeout = 0");
	assert_int_equal(db_begin(other), ERR_OK);
	assert_int_equal(
		db_exec(other, &set_parent, IN(dbv_s("x"), DBV_U(3)), 2, NULL, NULL), ERR_OK);
	started_ms = clock_ms();
	for (int i = 0; i < 3; i++)
		assert_int_equal(db_query(db, &lock_range, IN(DBV_U(0)), 1), ERR_DB_RETRY);
	db_rollback(other);
	assert_int_equal(db_query(db, &lock_range, IN(DBV_U(0)), 1), ERR_OK);
	assert_int_equal(db_rows_n(db), 3);
	db_done(db);
	assert_true(clock_ms() - started_ms < 5000);
	db_free(other);
}

static void *update_second(void *arg)
{
	struct db *db = arg;
	static enum err e;

	db_thread_init();
	e = db_exec(db, &set_parent, IN(dbv_s("from the thread"), DBV_U(2)), 2, NULL, NULL);
	db_thread_fini();
	return &e;
}

/* Two transactions that each want what the other holds: one is given up, all of it. */
static void test_deadlock(void **state)
{
	struct db *db = *state, *other = open_db("t"), *third = open_db("t");
	pthread_t thread;
	void *answer;
	enum err mine, theirs;

	script(db, "INSERT INTO parent VALUES (1, 'a'), (2, 'b'), (3, 'c')");
	assert_int_equal(db_begin(db), ERR_OK);
	assert_int_equal(db_begin(other), ERR_OK);
	script(db, "UPDATE parent SET name = 'mine' WHERE id = 2");
	script(other, "UPDATE parent SET name = 'theirs' WHERE id = 1");
	assert_int_equal(pthread_create(&thread, NULL, update_second, other), 0);
	while (get_u(third, &lock_waits) == 0)
		;
	mine = db_exec(db, &set_parent, IN(dbv_s("from here"), DBV_U(1)), 2, NULL, NULL);
	if (mine == ERR_DB_RETRY)
		assert_int_equal(db_begin(db), ERR_OK);
	assert_int_equal(db_commit(db), ERR_OK);
	pthread_join(thread, &answer);
	theirs = *(enum err *)answer;
	assert_true((mine == ERR_OK && theirs == ERR_DB_RETRY) ||
		    (mine == ERR_DB_RETRY && theirs == ERR_OK));
	if (theirs == ERR_DB_RETRY)
		assert_int_equal(db_begin(other), ERR_OK);
	assert_int_equal(db_commit(other), ERR_OK);
	db_free(other);
	db_free(third);
}

/* What is committed meanwhile does not show, and nobody is kept from committing it. */
static void test_snapshot(void **state)
{
	struct db *db = *state, *other = open_db("t");

	script(db, "INSERT INTO parent VALUES (1, 'a'), (2, 'b')");
	assert_int_equal(db_begin_snapshot(db), ERR_OK);
	script(other, "INSERT INTO parent VALUES (3, 'c')");
	assert_int_equal(get_u(db, &count_parents), 2);
	script(other, "DELETE FROM parent WHERE id = 1");
	assert_int_equal(get_u(db, &count_parents), 2);
	db_rollback(db);
	assert_int_equal(get_u(db, &count_parents), 2);
	/* That was for one transaction. */
	assert_int_equal(db_begin(db), ERR_OK);
	assert_int_equal(get_u(db, &count_parents), 2);
	script(other, "INSERT INTO parent VALUES (4, 'd')");
	assert_int_equal(get_u(db, &count_parents), 3);
	db_rollback(db);
	db_free(other);
}

static void test_script(void **state)
{
	struct db *db = *state;

	assert_int_equal(db_script(db, "SELECT 1; SELECT 2; INSERT INTO parent VALUES (1, 'a;b');"
				       " -- not; here\n SELECT x FROM nowhere; SELECT 3"),
		ERR_DB);
	assert_non_null(strstr(db_errmsg(db), "statement 4"));
	assert_int_equal(db_script_n(db), 3);
	assert_int_equal(get_u(db, &count_parents), 1);
	script(db, "CREATE TRIGGER tr BEFORE INSERT ON parent FOR EACH ROW BEGIN"
		   " SET NEW.name = CONCAT(NEW.name, '!'); SET @seen = 1; END;"
		   " INSERT INTO parent VALUES (2, 'b'); -- end\n");
	assert_int_equal(db_script(db, "START TRANSACTION; DELETE FROM parent"), ERR_OK);
	db_rollback(db);
	assert_int_equal(get_u(db, &count_parents), 2);
	/* Elsewhere a second statement is refused. */
	static const struct db_stmt two = {"two", "SELECT 1; SELECT 2", 0, 1};
	assert_int_equal(db_query(db, &two, NULL, 0), ERR_DB);
}

static void test_quote(void **state)
{
	struct str sql = STR_INIT;
	const struct db_val *row;

	str_adds(&sql, "INSERT INTO parent VALUES (1, ");
	db_quote(*state, &sql, "a'b\"c\\d\n%");
	str_adds(&sql, ")");
	script(*state, str_c(&sql));
	assert_int_equal(db_one(*state, &lock_parent, IN(DBV_U(1)), 1, &row), ERR_OK);
	assert_string_equal(dbv_text(row), "a'b\"c\\d\n%");
	str_fini(&sql);
}

static void test_lost(void **state)
{
	struct db *db = *state, *other = open_db("t");
	unsigned generation = db_generation(db);
	uint64_t id = get_u(db, &my_id);

	assert_int_equal(db_begin(db), ERR_OK);
	script(db, "INSERT INTO parent VALUES (1, 'a')");
	assert_int_equal(db_exec(other, &kill_one, IN(DBV_U(id)), 1, NULL, NULL), ERR_OK);
	assert_int_equal(db_query(db, &count_parents, NULL, 0), ERR_DB_LOST);
	assert_false(db_is_open(db));
	assert_true(strlen(db_errmsg(db)) > 0);
	assert_null(db_fetch(db));
	assert_int_equal(db_query(db, &count_parents, NULL, 0), ERR_DB_LOST);
	assert_int_equal(db_exec(db, &put_child, IN(DBV_U(1)), 1, NULL, NULL), ERR_DB_LOST);
	assert_int_equal(db_begin(db), ERR_DB_LOST);
	assert_int_equal(db_commit(db), ERR_DB_LOST);
	assert_int_equal(db_script(db, "SELECT 1"), ERR_DB_LOST);
	db_rollback(db);
	assert_int_equal(db_ensure(db), ERR_OK);
	assert_int_equal(db_generation(db), generation + 1);
	assert_int_equal(get_u(db, &count_parents), 0);
	assert_int_equal(get_u(db, &count_parents), 0);
	assert_int_equal(db_ensure(db), ERR_OK);
	assert_int_equal(db_generation(db), generation + 1);
	db_free(other);
}

/* Behind a proxy that changed servers, a statement's number means nothing any more. */
static void test_forgotten_statement(void **state)
{
	struct db *db = *state;

	assert_int_equal(get_u(db, &count_parents), 0);
	for (LIST *l = db->conn->stmts; l; l = l->next)
		((MYSQL_STMT *)l->data)->stmt_id += 1000000;
	assert_int_equal(db_begin(db), ERR_OK);
	assert_int_equal(db_exec(db, &put_parent, IN(DBV_U(1), dbv_s("a")), 2, NULL, NULL), ERR_OK);
	assert_int_equal(get_u(db, &count_parents), 1);
	assert_int_equal(db_commit(db), ERR_OK);
	assert_int_equal(get_u(db, &count_parents), 1);
}

static void test_timeout(void **state)
{
	struct db_login login = mariadb_login(&server, "t");
	struct db *db;

	login.io_timeout_ms = 1000;
	db = db_new(&login, NULL);
	assert_int_equal(db_ensure(db), ERR_OK);
	assert_int_equal(db_script(db, "DO SLEEP(30)"), ERR_DB_LOST);
	assert_int_equal(db_ensure(db), ERR_OK);
	assert_int_equal(get_u(db, &count_parents), 0);
	db_free(db);
}

/* A connection that the server closed while nothing was asked is found out by db_ensure(). */
static void test_hung_up(void **state)
{
	struct db *db = *state, *other = open_db("t");
	uint64_t id = get_u(db, &my_id);
	unsigned generation = db_generation(db);
	static const struct db_stmt alive = {
		"alive", "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = ?", 1, 1};
	const struct db_val *row;

	assert_int_equal(db_exec(other, &kill_one, IN(DBV_U(id)), 1, NULL, NULL), ERR_OK);
	do
		assert_int_equal(db_one(other, &alive, IN(DBV_U(id)), 1, &row), ERR_OK);
	while (dbv_i(row));
	while (db_generation(db) == generation)
		assert_int_equal(db_ensure(db), ERR_OK);
	assert_int_equal(get_u(db, &count_parents), 0);
	db_free(other);
}

static void test_unreachable(void **state)
{
	struct db_login login = mariadb_login(&server, "t");
	struct db *db;

	(void)state;
	login.socket = "/nonexistent/db.sock";
	db = db_new(&login, NULL);
	assert_int_equal(db_ensure(db), ERR_DB_LOST);
	assert_non_null(strstr(db_errmsg(db), "/nonexistent/db.sock"));
	assert_int_equal(db_ensure(db), ERR_DB_LOST);
	db_free(db);
	login = mariadb_login(&server, "nodatabase");
	db = db_new(&login, NULL);
	assert_int_equal(db_ensure(db), ERR_DB);
	assert_int_equal(db_errno(db), 1049);
	db_free(db);
}

static void test_denied(void **state)
{
	struct db_login login = mariadb_login(&server, "t");
	const struct db_stmt *const stmts[] = {&readable, NULL};
	const struct db_set set = {.name = "s", .stmts = stmts};
	const struct db_set *const sets[] = {&set, NULL};
	struct db *db;

	script(*state, "CREATE OR REPLACE USER low@localhost IDENTIFIED BY 'right';"
		       "GRANT INSERT ON t.parent TO low@localhost");
	login.user = "low";
	login.password = "wrong";
	db = db_new(&login, NULL);
	assert_int_equal(db_ensure(db), ERR_DB_DENIED);
	db_free(db);
	login.password = "right";
	db = db_new(&login, NULL);
	assert_int_equal(db_ensure(db), ERR_OK);
	assert_int_equal(db_query(db, &readable, NULL, 0), ERR_DB_DENIED);
	assert_int_equal(db_script(db, "DROP TABLE parent"), ERR_DB_DENIED);
	db_free(db);
	db = db_new(&login, sets);
	assert_int_equal(db_ensure(db), ERR_DB_DENIED);
	db_free(db);
}

static void expect_open(const struct db_stmt *st, bool is_lazy, enum err want, const char *says)
{
	struct db_login login = mariadb_login(&server, "t");
	const struct db_stmt *const stmts[] = {&readable, st, NULL};
	const struct db_set set = {.name = "s", .stmts = stmts, .is_lazy = is_lazy};
	const struct db_set *const sets[] = {&event_sql, &set, NULL};
	struct db *db = db_new(&login, is_lazy ? sets + 1 : sets);

	assert_int_equal(db_ensure(db), want);
	assert_int_equal(db_is_open(db), want == ERR_OK);
	if (says)
		assert_non_null(strstr(db_errmsg(db), says));
	db_free(db);
}

static void test_wrong_statements(void **state)
{
	script(*state, "CREATE TABLE ws_events (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT"
		       " PRIMARY KEY, topic VARCHAR(64), event_type ENUM('add','update','delete'),"
		       " payload JSON, tenant_id INT, room VARCHAR(64), name VARCHAR(64))");
	expect_open(&list_parents, false, ERR_OK, NULL);
	expect_open(&wrong_params, false, ERR_DB, "wrong_params");
	expect_open(&wrong_cols, false, ERR_DB, "wrong_cols");
	expect_open(&no_table, false, ERR_DB, "no_table");
	expect_open(&no_table, true, ERR_OK, NULL);
	/* A lazy one shows at its first use, and does no harm to others. */
	assert_int_equal(db_query(*state, &no_table, NULL, 0), ERR_DB);
	assert_int_equal(db_query(*state, &wrong_cols, NULL, 0), ERR_DB);
	assert_int_equal(get_u(*state, &count_parents), 0);
}

/* Once prepared, a statement costs its execution and nothing else. */
static void test_round_trips(void **state)
{
	struct db *db = *state;
	uint64_t before;

	get_u(db, &count_parents);
	get_u(db, &counters);
	before = get_u(db, &counters);
	for (int i = 0; i < 10; i++)
		get_u(db, &count_parents);
	assert_int_equal(get_u(db, &counters), before);
}

static void test_altered_table(void **state)
{
	struct db *db = *state;

	assert_int_equal(get_u(db, &wide), 7);
	script(db, "ALTER TABLE wide MODIFY a VARCHAR(40) NOT NULL; UPDATE wide SET a = '123456'");
	assert_int_equal(get_u(db, &wide), 123456);
	script(db, "ALTER TABLE wide ADD b INT NOT NULL DEFAULT 1");
	/* The result has another shape now: an error, not a crash or a wrong value. */
	assert_int_not_equal(db_query(db, &wide, NULL, 0), ERR_OK);
	assert_int_equal(db_ensure(db), ERR_OK);
	script(db, "ALTER TABLE wide DROP b");
	assert_int_equal(get_u(db, &wide), 123456);
}

static void test_event_insert(void **state)
{
	struct db *db = *state;
	static const struct db_stmt get = {"get",
		"SELECT topic, event_type, payload, tenant_id, room, name FROM ws_events WHERE id "
		"= ?",
		1, 6};
	const struct db_val *row;
	struct event_out e = {
		.tenant_id = 3, .topic = "websites", .type = EVENT_DELETE, .payload = "{\"id\":7}"};
	uint64_t id;

	script(db, "CREATE TABLE ws_events (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,"
		   " topic VARCHAR(64) NOT NULL, event_type ENUM('add','update','delete') NOT NULL,"
		   " payload JSON NOT NULL, tenant_id INT UNSIGNED NOT NULL,"
		   " room VARCHAR(128) NOT NULL, name VARCHAR(64) NOT NULL)");
	assert_int_equal(db_begin(db), ERR_OK);
	assert_int_equal(event_insert(db, &e, &id), ERR_OK);
	assert_int_equal(db_commit(db), ERR_OK);
	assert_int_equal(db_one(db, &get, IN(DBV_U(id)), 1, &row), ERR_OK);
	assert_string_equal(dbv_text(&row[0]), "websites");
	assert_string_equal(dbv_text(&row[1]), "delete");
	assert_string_equal(dbv_text(&row[2]), "{\"id\":7}");
	assert_int_equal(dbv_u(&row[3]), 3);
	assert_string_equal(dbv_text(&row[4]), "");
	e.payload = "{not json";
	assert_int_equal(event_insert(db, &e, NULL), ERR_DB);
	e.payload = "{}";
	e.room = "user:7";
	e.name = "notification";
	assert_int_equal(event_insert(db, &e, &id), ERR_OK);
	assert_int_equal(db_one(db, &get, IN(DBV_U(id)), 1, &row), ERR_OK);
	assert_string_equal(dbv_text(&row[4]), "user:7");
	assert_string_equal(dbv_text(&row[5]), "notification");
}

/* A default of the server for each of our settings that is another than ours. */
static const struct {
	const char *name, *value;
} hostile[] = {
	{"character_set_client", "'latin1'"},
	{"character_set_results", "'latin1'"},
	{"collation_connection", "'latin1_swedish_ci'"},
	{"lc_messages", "'de_DE'"},
	{"lc_time_names", "'de_DE'"},
	{"default_regex_flags", "'DOTALL'"},
	{"max_sort_length", "64"},
	{"old_mode", "'ZERO_DATE_TIME_CAST'"},
	{"time_zone", "'+05:00'"},
	{"default_week_format", "3"},
	{"div_precision_increment", "0"},
	{"sql_mode", "'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES'"},
	{"foreign_key_checks", "0"},
	{"unique_checks", "0"},
	{"check_constraint_checks", "0"},
	{"sql_safe_updates", "1"},
	{"sql_if_exists", "1"},
	{"sql_auto_is_null", "1"},
	{"sql_select_limit", "3"},
	{"max_join_size", "1"},
	{"sql_big_selects", "0"},
	{"group_concat_max_len", "4"},
	{"max_recursive_iterations", "1"},
	{"tmp_disk_table_size", "1024"},
	{"autocommit", "0"},
	{"completion_type", "'RELEASE'"},
	{"tx_isolation", "'SERIALIZABLE'"},
	{"tx_read_only", "1"},
	{"default_storage_engine", "'MyISAM'"},
	{"max_statement_time", "0.001"},
	{"lock_wait_timeout", "0"},
	{"innodb_lock_wait_timeout", "0"},
	{"wait_timeout", "1"},
	{"idle_transaction_timeout", "1"},
	{"idle_readonly_transaction_timeout", "1"},
	{"idle_write_transaction_timeout", "1"},
	{"net_read_timeout", "1"},
	{"net_write_timeout", "1"},
};

/* Of scope SESSION or GLOBAL. Opens a session anew. */
static char *value_of(struct db *db, const char *scope, const char *name)
{
	char sql[128];
	struct db_stmt st = {.name = "value", .sql = sql, .cols_n = 1};
	const struct db_val *row;
	char *value;

	db_close(db); /* no statement is to outlive this function */
	assert_int_equal(db_ensure(db), ERR_OK);
	snprintf(sql, sizeof(sql), "SELECT CAST(@@%s.%s AS CHAR)", scope, name);
	if (db_one(db, &st, NULL, 0, &row) != ERR_OK || !row)
		fail_msg("%s: %s", sql, db_errmsg(db));
	value = xstrdup(dbv_text(row));
	db_close(db);
	return value;
}

static void set_global(struct db *db, const char *name, const char *value)
{
	struct str sql = STR_INIT;

	str_addf(&sql, "SET GLOBAL %s = %s", name, value);
	script(db, str_c(&sql));
	str_fini(&sql);
}

static const char *hostile_value(const char *name)
{
	for (size_t i = 0; i < ARRAY_N(hostile); i++)
		if (!strcmp(hostile[i].name, name))
			return hostile[i].value;
	fail_msg("%s: give it a hostile value", name);
	return NULL;
}

/* Whatever the server's defaults are, a session of ours is the same. */
static void test_hostile_defaults(void **state)
{
	struct db *db = open_db("t"), *other = *state;

	for (const struct db_setting *s = db_settings; s->name; s++) {
		char *before = value_of(db, "SESSION", s->name), *after, *theirs;

		set_global(other, s->name, hostile_value(s->name));
		after = value_of(db, "SESSION", s->name);
		theirs = value_of(db, "GLOBAL", s->name);
		if (strcmp(before, after) != 0 || !strcmp(after, theirs))
			fail_msg("%s is %s, was %s; default %s", s->name, after, before, theirs);
		free(before);
		free(after);
		free(theirs);
	}
	/* All of them together. */
	assert_int_equal(db_ensure(db), ERR_OK);
	assert_int_equal(get_u(db, &big_join), 50 * 50);
	for (size_t i = 0; i < ARRAY_N(hostile); i++)
		set_global(other, hostile[i].name, "DEFAULT");
	db_free(db);
}

static int start_server(void **state)
{
	(void)state;
	mariadb_start(&server);
	return 0;
}

static int stop_server(void **state)
{
	(void)state;
	mariadb_stop(&server);
	return 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {T(test_session), T(test_hostile_defaults), T(test_types),
		T(test_nulls), T(test_random_bytes), T(test_long_text), T(test_changing_types),
		T(test_rows), T(test_affected), T(test_constraints), T(test_transaction),
		T(test_lock_wait), T(test_error_behind_rows), T(test_deadlock), T(test_snapshot),
		T(test_script), T(test_quote), T(test_lost), T(test_forgotten_statement),
		T(test_timeout), T(test_hung_up), T(test_unreachable), T(test_denied),
		T(test_wrong_statements), T(test_round_trips), T(test_altered_table),
		T(test_event_insert)};

	db_library_init();
	int failed = cmocka_run_group_tests(tests, start_server, stop_server);
	db_library_fini();
	return failed;
}
