/* Units of work against a MariaDB of their own. */
#include "unit.h"

#include <pthread.h>

#include "mariadb.h"
#include "mem.h"
#include "txn.h"

static struct mariadb server;

static const char schema[] =
	"CREATE DATABASE t CHARACTER SET utf8mb4; USE t;"
	"CREATE TABLE ws_events (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,"
	" topic VARCHAR(64) NOT NULL, event_type ENUM('add','update','delete') NOT NULL,"
	" payload JSON NOT NULL, tenant_id INT UNSIGNED NOT NULL,"
	" room VARCHAR(128) NOT NULL, name VARCHAR(64) NOT NULL);"
	"CREATE TABLE audit_log (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,"
	" tenant_id INT UNSIGNED NOT NULL, subject VARCHAR(96) NOT NULL, action VARCHAR(64) NOT"
	" NULL, target VARCHAR(255) NULL, request_id VARCHAR(64) NULL, address VARCHAR(64) NULL);"
	"CREATE TABLE idempotency_keys (tenant_id INT UNSIGNED NOT NULL, subject VARCHAR(32) NOT"
	" NULL, idem_key VARCHAR(128) NOT NULL, request_hash BINARY(32) NOT NULL,"
	" status SMALLINT UNSIGNED NOT NULL DEFAULT 0, response MEDIUMTEXT NULL,"
	" created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),"
	" PRIMARY KEY (tenant_id, subject, idem_key));"
	"CREATE TABLE things (id INT UNSIGNED NOT NULL PRIMARY KEY, n INT NOT NULL);"
	"INSERT INTO things VALUES (1, 0), (2, 0);";

static const struct db_stmt count_up = {"up", "UPDATE things SET n = n + 1 WHERE id = ?", 1, 0};
static const struct db_stmt get_n = {"get", "SELECT n FROM things WHERE id = ?", 1, 1};
static const struct db_stmt my_id = {"id", "SELECT CONNECTION_ID()", 0, 1};
static const struct db_stmt kill_one = {"kill", "KILL ?", 1, 0};
static const struct db_stmt events_n = {"events", "SELECT COUNT(*) FROM ws_events", 0, 1};
static const struct db_stmt audits_n = {"audits", "SELECT COUNT(*) FROM audit_log", 0, 1};
static const struct db_stmt events = {"list",
	"SELECT topic, event_type, payload, tenant_id, room, name FROM ws_events ORDER BY id LIMIT "
	"20000",
	0, 6};
static const struct db_stmt audits = {"rows",
	"SELECT tenant_id, subject, action, target, request_id FROM audit_log ORDER BY id LIMIT 9",
	0, 5};
static const struct db_stmt lock_waits = {"waits",
	"SELECT CAST(VARIABLE_VALUE AS UNSIGNED) FROM information_schema.GLOBAL_STATUS"
	" WHERE VARIABLE_NAME = 'Innodb_row_lock_current_waits'",
	0, 1};

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

static uint64_t ask(struct db *db, const struct db_stmt *st, uint64_t id)
{
	const struct db_val in[] = {DBV_U(id)}, *row;
	uint64_t u;

	if (db_one(db, st, in, (size_t)st->params_n, &row) != ERR_OK)
		fail_msg("%s", db_errmsg(db));
	u = row->type == DB_TEXT ? strtoull(row->s.p, NULL, 10) : dbv_u(row);
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

/* ---- work ---- */

struct job {
	struct db *other; /* does something in the middle of the first run; NULL: nothing */
	void (*interfere)(struct job *j, struct txn *t);
	enum err refuse;
	size_t events;
	unsigned runs_n, resets_n, replays_n;
	size_t told_n;
	int status;
	char answer[64];
};

static void reset(void *arg)
{
	struct job *j = arg;

	j->resets_n++;
	j->answer[0] = '\0';
}

static enum err run(struct txn *t, void *arg)
{
	struct job *j = arg;
	const struct db_val in[] = {DBV_U(1)};
	enum err e = db_exec(t->db, &count_up, in, 1, NULL, NULL);

	if (j->runs_n++ == 0 && j->interfere)
		j->interfere(j, t);
	for (size_t i = 0; i < j->events; i++) {
		char payload[32];

		snprintf(payload, sizeof(payload), "{\"i\":%zu}", i);
		txn_emit(t, &(struct event_out){.tenant_id = 3,
				    .topic = i % 2 ? "things" : "others",
				    .type = EVENT_UPDATE,
				    .payload = payload,
				    .room = i % 3 ? "user:1" : NULL,
				    .name = i % 5 ? NULL : "named"});
	}
	txn_audit(t, "thing.up", "things/1");
	snprintf(j->answer, sizeof(j->answer), "answer %u", j->runs_n);
	return e == ERR_OK ? j->refuse : e;
}

static void answer(void *arg, int *status, struct slice *body)
{
	struct job *j = arg;

	*status = 201;
	*body = (struct slice){j->answer, strlen(j->answer)};
}

static void replay(void *arg, int status, struct slice body)
{
	struct job *j = arg;

	j->replays_n++;
	j->status = status;
	snprintf(j->answer, sizeof(j->answer), "%.*s", (int)body.len, body.p);
}

static void told(const struct event_out *out, size_t n, void *arg)
{
	struct job *j = arg;

	assert_true(!n || out[0].tenant_id == 3);
	j->told_n += n;
}

static const struct txn_work work = {
	.reset = reset, .run = run, .answer = answer, .replay = replay, .told = told};

static struct txn txn_of(struct db *db)
{
	return (struct txn){.db = db,
		.tenant_id = 7,
		.subject = "user:ann",
		.request_id = "abc",
		.address = "::1"};
}

/* ---- tests ---- */

static void test_all_or_nothing(void **state)
{
	struct db *db = *state;
	struct txn t = txn_of(db);
	struct job j = {.events = 3};
	const struct db_val *row;

	assert_int_equal(txn_run(&t, &work, &j), ERR_OK);
	assert_int_equal(ask(db, &get_n, 1), 1);
	assert_int_equal(j.told_n, 3);
	assert_int_equal(ask(db, &events_n, 0), 3);
	assert_int_equal(db_query(db, &audits, NULL, 0), ERR_OK);
	assert_int_equal(db_rows_n(db), 1);
	row = db_fetch(db);
	assert_int_equal(dbv_u(&row[0]), 7);
	assert_string_equal(dbv_text(&row[1]), "user:ann");
	assert_string_equal(dbv_text(&row[2]), "thing.up");
	assert_string_equal(dbv_text(&row[3]), "things/1");
	assert_string_equal(dbv_text(&row[4]), "abc");
	j = (struct job){.events = 3, .refuse = ERR_CONFLICT};
	assert_int_equal(txn_run(&t, &work, &j), ERR_CONFLICT);
	assert_int_equal(j.runs_n, 1);
	assert_int_equal(j.told_n, 0);
	assert_int_equal(ask(db, &get_n, 1), 1);
	assert_int_equal(ask(db, &events_n, 0), 3);
	assert_int_equal(ask(db, &audits_n, 0), 1);
}

static void test_nobody_is_not_audited(void **state)
{
	struct txn t = {.db = *state};
	struct job j = {.events = 1};

	assert_int_equal(txn_run(&t, &work, &j), ERR_OK);
	assert_int_equal(ask(*state, &audits_n, 0), 0);
	assert_int_equal(ask(*state, &events_n, 0), 1);
}

/* More than one packet takes, in their order. */
static void test_many_events(void **state)
{
	struct db *db = *state;
	struct txn t = txn_of(db);
	struct job j = {.events = 12345};
	const struct db_val *row;
	size_t i = 0;

	script(db, "SET GLOBAL max_allowed_packet = 65536");
	db_close(db);
	assert_int_equal(txn_run(&t, &work, &j), ERR_OK);
	script(db, "SET GLOBAL max_allowed_packet = 16777216");
	db_close(db);
	assert_int_equal(db_ensure(db), ERR_OK);
	assert_int_equal(db_query(db, &events, NULL, 0), ERR_OK);
	for (; (row = db_fetch(db)); i++) {
		char payload[32];

		snprintf(payload, sizeof(payload), "{\"i\":%zu}", i);
		assert_string_equal(dbv_text(&row[0]), i % 2 ? "things" : "others");
		assert_string_equal(dbv_text(&row[1]), "update");
		assert_string_equal(dbv_text(&row[2]), payload);
		assert_int_equal(dbv_u(&row[3]), 3);
		assert_string_equal(dbv_text(&row[4]), i % 3 ? "user:1" : "");
		assert_string_equal(dbv_text(&row[5]), i % 5 ? "" : "named");
	}
	assert_int_equal(i, 12345);
}

static void test_a_bad_name_is_refused(void **state)
{
	const struct event_out bad[] = {{.topic = "a", .payload = "{}"},
		{.topic = "a", .payload = "{}", .name = "disconnect"}};

	assert_int_equal(event_insert_all(*state, bad, 2), ERR_VALIDATION);
	assert_int_equal(event_insert_all(*state, bad, 0), ERR_OK);
	assert_int_equal(ask(*state, &events_n, 0), 0);
}

static void lose(struct job *j, struct txn *t)
{
	const struct db_val in[] = {DBV_U(ask(t->db, &my_id, 0))};

	assert_int_equal(db_exec(j->other, &kill_one, in, 1, NULL, NULL), ERR_OK);
}

static void test_lost_before_commit(void **state)
{
	struct txn t = txn_of(*state);
	struct job j = {.events = 2, .other = open_db("t"), .interfere = lose};

	assert_int_equal(txn_run(&t, &work, &j), ERR_OK);
	assert_int_equal(j.runs_n, 2);
	assert_int_equal(j.resets_n, 2);
	assert_int_equal(ask(*state, &get_n, 1), 1);
	assert_int_equal(ask(*state, &events_n, 0), 2);
	assert_int_equal(ask(*state, &audits_n, 0), 1);
	assert_int_equal(j.told_n, 2);
	db_free(j.other);
}

/* The other has row 2 and waits for row 1, which is this one's; so who asks for 2 now is rolled
 * back, or the other is. */
struct rival {
	struct db *db;
	enum err e;
};

static void *want_one(void *arg)
{
	struct rival *r = arg;
	const struct db_val in[] = {DBV_U(1)};

	db_thread_init();
	r->e = db_exec(r->db, &count_up, in, 1, NULL, NULL);
	db_rollback(r->db);
	db_thread_fini();
	return NULL;
}

static enum err deadlock(struct txn *t, void *arg)
{
	struct job *j = arg;
	const struct db_val one[] = {DBV_U(1)}, two[] = {DBV_U(2)};
	struct db *watch;
	struct rival r = {.db = j->other};
	pthread_t thread;
	enum err e = db_exec(t->db, &count_up, one, 1, NULL, NULL);

	if (e != ERR_OK || j->runs_n++ > 0)
		return e;
	watch = open_db("t");
	assert_int_equal(db_begin(r.db), ERR_OK);
	/* So much that it is this one that goes. */
	script(r.db, "INSERT INTO things SELECT seq, 0 FROM seq_10_to_1000");
	assert_int_equal(db_exec(r.db, &count_up, two, 1, NULL, NULL), ERR_OK);
	pthread_create(&thread, NULL, want_one, &r);
	while (ask(watch, &lock_waits, 0) == 0)
		;
	e = db_exec(t->db, &count_up, two, 1, NULL, NULL);
	pthread_join(thread, NULL);
	db_free(watch);
	assert_int_equal(r.e, ERR_OK);
	assert_int_equal(e, ERR_DB_RETRY);
	return e;
}

static void test_deadlock(void **state)
{
	static const struct txn_work deadly = {.run = deadlock};
	struct txn t = txn_of(*state);
	struct job j = {.other = open_db("t")};

	assert_int_equal(txn_run(&t, &deadly, &j), ERR_OK);
	assert_int_equal(j.runs_n, 2);
	assert_int_equal(ask(*state, &get_n, 1), 1);
	assert_int_equal(ask(*state, &get_n, 2), 0);
	db_free(j.other);
}

static enum err always_retry(void *arg)
{
	++*(unsigned *)arg;
	return ERR_DB_RETRY;
}

static enum err always_lost(void *arg)
{
	++*(unsigned *)arg;
	return ERR_DB_LOST;
}

static void test_gives_up(void **state)
{
	unsigned n = 0;

	assert_int_equal(txn_retry(*state, always_retry, &n), ERR_DB_RETRY);
	assert_in_range(n, 2, 10);
	n = 0;
	assert_int_equal(txn_retry(*state, always_lost, &n), ERR_DB_LOST);
	assert_int_equal(n, 2);
}

static void test_done_once_by_its_key(void **state)
{
	struct txn_key key = {.tenant_id = 7, .subject = "u:1", .text = "k", .ttl_s = 60};
	struct txn t = txn_of(*state);
	struct job j = {.events = 1}, again = {.events = 1};

	memset(key.hash, 5, sizeof(key.hash));
	t.key = &key;
	assert_int_equal(txn_run(&t, &work, &j), ERR_OK);
	assert_int_equal(txn_run(&t, &work, &again), ERR_OK);
	assert_int_equal(again.runs_n, 0);
	assert_int_equal(again.replays_n, 1);
	assert_int_equal(again.status, 201);
	assert_string_equal(again.answer, "answer 1");
	assert_int_equal(again.told_n, 0);
	assert_int_equal(ask(*state, &get_n, 1), 1);
	assert_int_equal(ask(*state, &events_n, 0), 1);
	assert_int_equal(ask(*state, &audits_n, 0), 1);
	key.hash[0]++;
	assert_int_equal(txn_run(&t, &work, &again), ERR_IDEMPOTENCY);
	assert_int_equal(again.runs_n, 0);
	/* Of another tenant, or too old, it is another one. */
	key.tenant_id = 8;
	assert_int_equal(txn_run(&t, &work, &again), ERR_OK);
	assert_int_equal(again.runs_n, 1);
	script(*state, "UPDATE idempotency_keys SET created_at = created_at - INTERVAL 61 SECOND");
	assert_int_equal(txn_run(&t, &work, &again), ERR_OK);
	assert_int_equal(again.runs_n, 2);
	/* What was refused was not done, and is free. */
	key.text = "other";
	again.refuse = ERR_CONFLICT;
	assert_int_equal(txn_run(&t, &work, &again), ERR_CONFLICT);
	again.refuse = ERR_OK;
	assert_int_equal(txn_run(&t, &work, &again), ERR_OK);
	assert_int_equal(again.replays_n, 1);
}

static int start(void **state)
{
	db_library_init();
	mariadb_start(&server);
	return 0;
}

static int stop(void **state)
{
	mariadb_stop(&server);
	db_library_fini();
	return 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(test_all_or_nothing),
		T(test_nobody_is_not_audited),
		T(test_many_events),
		T(test_a_bad_name_is_refused),
		T(test_lost_before_commit),
		T(test_deadlock),
		T(test_gives_up),
		T(test_done_once_by_its_key),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
