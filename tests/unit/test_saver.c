/* Sessions written behind: what comes back, what waits while the database is away, and what is not
 * taken. The saver reaches MariaDB by a link, which a test takes away. */
#include "unit.h"

#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/thread.h>

#include "clock.h"
#include "log.h"
#include "mariadb.h"
#include "mem.h"
#include "saver.h"

#define HOUR_MS 3600000

static struct mariadb server;
static struct config cfg;
static struct db *db;
static char door[96]; /* the link */
static int64_t now_ms;

#define STMT(var, text, in_n) \
	static const struct db_stmt var = {.name = #var, .sql = text, .params_n = in_n, .cols_n = 1}
STMT(count_all, "SELECT COUNT(*) FROM ws_sessions", 0);
STMT(get_cursor, "SELECT cursor_id FROM ws_sessions WHERE id = ?", 1);
STMT(get_seen, "SELECT seen_at FROM ws_sessions WHERE id = ?", 1);
static const struct db_set statements = {.name = "test",
	.stmts = (const struct db_stmt *const[]){&count_all, &get_cursor, &get_seen, NULL}};

static void script(const char *sql)
{
	if (db_script(db, sql) != ERR_OK)
		fail_msg("%s: %s", sql, db_errmsg(db));
}

static uint64_t number(const struct db_stmt *st, const struct saver_row *of)
{
	const struct db_val in[] = {dbv_b(of ? of->id : NULL, SAVER_ID_SIZE)}, *row;

	if (db_one(db, st, in, (size_t)st->params_n, &row) != ERR_OK)
		fail_msg("%s: %s", st->name, db_errmsg(db));
	return row ? dbv_u(&row[0]) : 0;
}

static void open_door(void)
{
	assert_int_equal(symlink(server.socket, door), 0);
}

static void read_config(void)
{
	struct str errors = STR_INIT, set = STR_INIT;

	snprintf(door, sizeof(door), "%s/door", server.dir);
	str_addf(&set, "database.socket=%s", door);
	const char *const sets[] = {
		set.p, "database.name=cmdb", "poller.db_user=", "poller.node_id=7"};
	if (!config_load(&cfg, "/dev/null", sets, ARRAY_N(sets), &errors))
		fail_msg("%s", errors.p);
	str_fini(&errors);
	str_fini(&set);
}

static int group_setup(void **state)
{
	static const struct db_set *const sets[] = {&statements, NULL};
	struct str sql = STR_INIT;

	secret_init();
	db_library_init();
	evthread_use_pthreads();
	mariadb_start(&server);
	read_config();
	struct db_login login = mariadb_login(&server, NULL);
	db = db_new(&login, NULL);
	assert_int_equal(db_ensure(db), ERR_OK);
	str_adds(&sql, "CREATE DATABASE cmdb CHARACTER SET utf8mb4; USE cmdb;");
	unit_read_source("schema/0003_sessions.sql", &sql);
	unit_read_source("schema/0006_session_state.sql", &sql);
	unit_read_source("schema/0013_conns.sql", &sql);
	script(sql.p);
	str_fini(&sql);
	db_free(db);
	login = mariadb_login(&server, "cmdb");
	db = db_new(&login, sets);
	assert_int_equal(db_ensure(db), ERR_OK);
	now_ms = clock_wall_ms();
	return 0;
}

static int group_teardown(void **state)
{
	db_free(db);
	config_fini(&cfg);
	mariadb_stop(&server);
	db_library_fini();
	return 0;
}

/* ---- a loop with a saver ---- */

struct desk {
	struct event_base *base;
	struct mailbox box;
	struct saver *saver;
	struct saver_mail *came;
};
static struct desk desk;

static void on_loaded(struct mail *mail, void *owner)
{
	desk.came = (struct saver_mail *)mail;
	event_base_loopbreak(desk.base);
}

static int setup(void **state)
{
	static const struct db_set *const sets[] = {&saver_row_sql, NULL};

	script("DELETE FROM ws_sessions");
	open_door();
	desk = (struct desk){.base = event_base_new()};
	mailbox_init(&desk.box, desk.base, NULL);
	desk.saver = saver_new(&cfg, &desk.box, on_loaded, sets);
	saver_run(desk.saver);
	return 0;
}

static void stop(void)
{
	if (desk.saver)
		saver_stop(desk.saver);
	saver_free(desk.saver);
	desk.saver = NULL;
}

static int teardown(void **state)
{
	stop();
	mailbox_fini(&desk.box);
	event_base_free(desk.base);
	unlink(door);
	return 0;
}

/* Closes the door, also on the saver's connection. */
static void close_door(void)
{
	unlink(door);
	script("BEGIN NOT ATOMIC DECLARE CONTINUE HANDLER FOR 1094 BEGIN END; FOR c IN (SELECT id "
	       "FROM information_schema.PROCESSLIST"
	       " WHERE id <> CONNECTION_ID() AND db = 'cmdb') DO KILL c.id; END FOR; END");
}

static void breathe(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void wait_written(void)
{
	while (atomic_load(&saver_stats(desk.saver)->pending))
		breathe();
}

/* The rows of this node, in one mail; the caller frees. */
static struct saver_mail *load(int64_t ended_within_ms)
{
	saver_load(desk.saver, ended_within_ms);
	event_base_dispatch(desk.base);
	assert_non_null(desk.came);
	return desk.came;
}

/* A session with little to it. */
static struct saver_row plain(unsigned n)
{
	struct saver_row r = {.username = "ann",
		.tenant_id = 1,
		.user_id = 7,
		.cursor_id = n,
		.connected_at_ms = now_ms - HOUR_MS,
		.seen_at_ms = now_ms};

	secret_hash_short(r.id, &n, sizeof(n));
	return r;
}

static void put(struct saver_row r)
{
	saver_put(desk.saver, &r, 1);
}

/* The server takes a moment to end a connection. */
static void put_until_down(struct saver_row r)
{
	do {
		put(r);
		breathe();
	} while (atomic_load(&saver_stats(desk.saver)->is_db_up));
}

static struct saver_row gone(struct saver_row r)
{
	r.is_gone = true;
	return r;
}

/* ---- tests ---- */

static void comes_back_as_it_went(void **state)
{
	static const char record[] = "with\0a zero and \xff";
	struct saver_row full = plain(1), bare = plain(2);
	char jti[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

	full.has_pid = true;
	secret_hash_short(full.pid, "pid", 3);
	full.socket_id = "AbC_-9";
	full.username = "\xc3\xa4nn";
	full.jti = jti;
	full.token_expires_at_ms = 4102444800123; /* in 2100 */
	full.topics = "websites,nodes";
	full.address = "2001:db8::1";
	full.apikey_id = UINT64_MAX;
	full.cursor_id = UINT64_MAX;
	full.record = (struct slice){record, sizeof(record)};
	saver_put(desk.saver, (const struct saver_row[]){full, bare}, 2);
	jti[0] = 'x'; /* it was copied */
	wait_written();

	struct saver_mail *m = load(0);
	assert_int_equal(m->n, 2);
	bool is_swapped = memcmp(m->rows[0]->id, full.id, SAVER_ID_SIZE) != 0;
	const struct saver_row *a = m->rows[is_swapped], *b = m->rows[!is_swapped];
	assert_memory_equal(a->id, full.id, SAVER_ID_SIZE);
	assert_true(a->has_pid && !b->has_pid);
	assert_memory_equal(a->pid, full.pid, SAVER_ID_SIZE);
	assert_string_equal(a->socket_id, "AbC_-9");
	assert_string_equal(a->username, "\xc3\xa4nn");
	assert_string_equal(a->jti, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	assert_string_equal(a->topics, "websites,nodes");
	assert_string_equal(a->address, "2001:db8::1");
	assert_true(a->tenant_id == 1 && a->user_id == 7);
	assert_true(a->apikey_id == UINT64_MAX && a->cursor_id == UINT64_MAX);
	assert_true(a->token_expires_at_ms == 4102444800123);
	assert_true(a->connected_at_ms == now_ms - HOUR_MS && a->seen_at_ms == now_ms);
	assert_true(a->ended_at_ms == 0);
	assert_int_equal(a->record.len, sizeof(record));
	assert_memory_equal(a->record.p, record, sizeof(record));
	assert_memory_equal(b->id, bare.id, SAVER_ID_SIZE);
	assert_string_equal(b->jti, "");
	assert_int_equal(b->record.len, 0);
	assert_true(b->token_expires_at_ms == 0);
	saver_mail_free(m);

	/* As people read it. */
	const struct db_val in[] = {dbv_b(full.id, SAVER_ID_SIZE)}, *row;
	char text[CLOCK_RFC3339_SIZE], expected[CLOCK_RFC3339_SIZE];
	assert_int_equal(db_one(db, &get_seen, in, 1, &row), ERR_OK);
	clock_from_sql(dbv_text(&row[0]), text);
	clock_rfc3339(now_ms, expected);
	assert_string_equal(text, expected);
}

static void loads_what_may_go_on(void **state)
{
	struct saver_row lately = plain(1), long_ago = plain(2);

	lately.ended_at_ms = now_ms - 60000;
	long_ago.ended_at_ms = now_ms - HOUR_MS;
	put(lately);
	put(long_ago);
	put(plain(3));
	put(plain(4));
	wait_written();
	script("UPDATE ws_sessions SET node_id = 8 WHERE cursor_id = 4");
	struct saver_mail *m = load(120000);
	assert_int_equal(m->n, 2);
	assert_int_equal(m->rows[0]->cursor_id + m->rows[1]->cursor_id, 1 + 3);
	saver_mail_free(m);

	script("UPDATE ws_sessions SET ended_at = '2001-01-01' WHERE cursor_id = 4");
	saver_prune(desk.saver, 120000);
	saver_mail_free(load(0)); /* is answered before the pruning, a second one after it */
	saver_mail_free(load(0));
	assert_int_equal(number(&count_all, NULL), 3);
	assert_int_equal(number(&get_cursor, &long_ago), 0);
}

static void many(void **state)
{
	enum { N = 1203 };
	struct saver_row *rows = xcalloc(N, sizeof(*rows));

	for (unsigned i = 0; i < N; i++)
		rows[i] = plain(i);
	saver_put(desk.saver, rows, N);
	wait_written();
	struct saver_mail *m = load(0);
	assert_int_equal(m->n, N);
	for (size_t i = 1; i < m->n; i++)
		assert_true(memcmp(m->rows[i - 1]->id, m->rows[i]->id, SAVER_ID_SIZE) < 0);
	saver_mail_free(m);
	for (unsigned i = 0; i < N; i++) {
		rows[i].is_gone = i % 2;
		rows[i].cursor_id += 5000;
	}
	saver_put(desk.saver, rows, N);
	stop(); /* writes what waits */
	assert_int_equal(number(&count_all, NULL), N / 2 + 1);
	assert_int_equal(number(&get_cursor, &rows[2]), 5002);
	free(rows);
}

/* A node deletes its own rows alone. */
static void gone_elsewhere(void **state)
{
	put(plain(1));
	wait_written();
	script("UPDATE ws_sessions SET node_id = 8");
	put(gone(plain(1)));
	wait_written();
	assert_int_equal(number(&count_all, NULL), 1);
}

static void waits_for_the_database(void **state)
{
	struct saver_row r = plain(1);

	put(r);
	put(plain(2));
	put(plain(3));
	wait_written();
	close_door();
	r.cursor_id = 100;
	put_until_down(r);
	/* These come while it tries; the latest of each counts. */
	for (r.cursor_id = 101; r.cursor_id < 300; r.cursor_id++)
		put(r);
	put(gone(plain(2)));
	put(gone(plain(3)));
	put(plain(3));
	assert_true(atomic_load(&saver_stats(desk.saver)->pending) <= 4);
	open_door();
	wait_written();
	assert_true(atomic_load(&saver_stats(desk.saver)->is_db_up));
	assert_int_equal(number(&get_cursor, &r), 299);
	assert_int_equal(number(&get_cursor, &(struct saver_row){0}), 0);
	assert_int_equal(number(&count_all, NULL), 2);
	assert_int_equal(atomic_load(&saver_stats(desk.saver)->dropped), 0);
}

static void waits_within_bounds(void **state)
{
	char *large = xcalloc(1, SAVER_RECORD_MAX + 1);
	struct saver_row r = plain(1);
	const struct saver_stats *st = saver_stats(desk.saver);

	r.record = (struct slice){large, SAVER_RECORD_MAX + 1};
	put(r);
	assert_int_equal(atomic_load(&st->dropped), 1);
	put(plain(0));
	wait_written();
	close_door();
	put_until_down(plain(0));
	r.record.len--;
	for (unsigned i = 0; i < 9; i++) {
		struct saver_row other = plain(10 + i);
		other.record = r.record;
		put(other);
	}
	assert_int_equal(atomic_load(&st->dropped), 1 + 2);
	/* Those give way for their own deletion, and then there is room. */
	for (unsigned i = 0; i < 9; i++)
		put(gone(plain(10 + i)));
	uint64_t dropped = atomic_load(&st->dropped);
	put(r);
	assert_int_equal(atomic_load(&st->dropped), dropped);
	put(gone(r));
	open_door();
	wait_written();
	assert_int_equal(number(&count_all, NULL), 1);
	free(large);
}

static void a_refused_row_holds_up_nothing(void **state)
{
	char name[200];
	struct saver_row r = plain(1);

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	r.username = name;
	saver_put(desk.saver, (const struct saver_row[]){plain(0), r, plain(2)}, 3);
	wait_written();
	assert_int_equal(number(&count_all, NULL), 2);
	assert_int_equal(atomic_load(&saver_stats(desk.saver)->refused), 1);
	assert_int_equal(atomic_load(&saver_stats(desk.saver)->written), 2);
}

/* On one that is larger than it takes the server hangs up, each time it is tried. */
static void a_row_that_is_too_large_holds_up_nothing(void **state)
{
	size_t size = 3 * 1024 * 1024;
	char *large = xcalloc(1, size);
	struct saver_row r = plain(1);

	script("SET GLOBAL max_allowed_packet = 1048576");
	r.record = (struct slice){large, size};
	close_door();
	put_until_down(plain(0));
	open_door();
	saver_put(desk.saver, (const struct saver_row[]){plain(0), r, plain(2)}, 3);
	wait_written();
	assert_int_equal(number(&count_all, NULL), 2);
	assert_int_equal(atomic_load(&saver_stats(desk.saver)->refused), 1);
	script("SET GLOBAL max_allowed_packet = DEFAULT");
	free(large);
}

static void stops_without_a_database(void **state)
{
	close_door();
	put(plain(1));
	saver_load(desk.saver, 0);
	stop();
	assert_int_equal(number(&count_all, NULL), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(comes_back_as_it_went),
		TEST(loads_what_may_go_on),
		TEST(many),
		TEST(gone_elsewhere),
		TEST(waits_for_the_database),
		TEST(waits_within_bounds),
		TEST(a_refused_row_holds_up_nothing),
		TEST(a_row_that_is_too_large_holds_up_nothing),
		TEST(stops_without_a_database),
	};

	log_init("test_saver", LOG_WARN, LOG_TEXT);
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
