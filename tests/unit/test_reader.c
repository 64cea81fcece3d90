/* What the poller asks the database beside the tail, answered by mails. */
#include "unit.h"

#include <event2/event.h>
#include <event2/thread.h>

#include "mariadb.h"
#include "reader.h"
#include "secret.h"

#define JTI "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ANN 1u

static struct mariadb server;
static struct config cfg;
static struct db *db;

static void script(const char *sql)
{
	if (db_script(db, sql) != ERR_OK)
		fail_msg("%s: %s", sql, db_errmsg(db));
}

static int group_setup(void **state)
{
	struct str sql = STR_INIT, errors = STR_INIT, set = STR_INIT;

	secret_init();
	db_library_init();
	evthread_use_pthreads();
	mariadb_start(&server);
	struct db_login login = mariadb_login(&server, NULL);
	db = db_new(&login, NULL);
	assert_int_equal(db_ensure(db), ERR_OK);
	str_adds(&sql, "CREATE DATABASE cmdb CHARACTER SET utf8mb4; USE cmdb;");
	unit_read_source("schema/0001_core.sql", &sql);
	unit_read_source("schema/0007_epochs.sql", &sql);
	unit_read_source("schema/0008_retention.sql", &sql);
	script(sql.p);
	script("INSERT INTO users (id, tenant_id, username, password_hash) VALUES (1, 1, 'ann', "
	       "'');"
	       "INSERT INTO user_roles VALUES (1, 3);"
	       "INSERT INTO api_keys (id, tenant_id, name, prefix, hash) VALUES (5, 1, 'k', 'x', "
	       "'');"
	       "INSERT INTO api_key_scopes VALUES (5, 'logs:ingest');"
	       "UPDATE ws_log SET floor = 2, brief_floor = 6;"
	       "INSERT INTO ws_events (id, topic, event_type, payload) VALUES"
	       " (3, 't', 'add', '1'), (4, 't', 'add', '2'), (9, 't', 'add', '3')");
	str_addf(&set, "database.socket=%s", server.socket);
	const char *const sets[] = {set.p, "poller.db_user=", "database.name=cmdb"};
	if (!config_load(&cfg, "/dev/null", sets, ARRAY_N(sets), &errors))
		fail_msg("%s", errors.p);
	str_fini(&sql);
	str_fini(&errors);
	str_fini(&set);
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

/* ---- a loop with a reader ---- */

struct desk {
	struct event_base *base;
	struct mailbox box;
	struct reader *reader;
	struct reader_mail *came;
};

static void on_answer(struct mail *mail, void *owner)
{
	struct desk *d = owner;

	assert_null(d->came);
	d->came = (struct reader_mail *)mail;
	event_base_loopbreak(d->base);
}

static void desk_open(struct desk *d)
{
	*d = (struct desk){.base = event_base_new()};
	mailbox_init(&d->box, d->base, d);
	d->reader = reader_new(&cfg, &d->box, on_answer);
	reader_run(d->reader);
}

static void desk_close(struct desk *d)
{
	reader_stop(d->reader);
	mailbox_fini(&d->box);
	reader_free(d->reader);
	event_base_free(d->base);
}

/* The answer; the caller frees. */
static struct reader_mail *wait_for(struct desk *d)
{
	struct reader_mail *m;

	event_base_dispatch(d->base);
	m = d->came;
	d->came = NULL;
	assert_non_null(m);
	return m;
}

static void assert_principal(
	struct desk *d, const struct caller_view *who, enum err err, const char *username)
{
	reader_ask_principal(d->reader, who);
	struct reader_mail *m = wait_for(d);
	assert_int_equal(m->job, READER_PRINCIPAL);
	assert_true(m->is_done);
	assert_int_equal(m->who->user_id, who->user_id);
	assert_int_equal(m->err, err);
	if (username)
		assert_string_equal(m->principal->username, username);
	else
		assert_null(m->principal);
	reader_mail_free(m);
}

/* ---- tests ---- */

static void pages_and_floors(void **state)
{
	struct desk d;

	desk_open(&d);
	reader_ask(d.reader, READER_PAGE, 2, 8);
	struct reader_mail *m = wait_for(&d);
	assert_true(m->is_done);
	assert_int_equal(m->n, 2);
	assert_int_equal(m->records[1]->item.id, 4);
	assert_int_equal(m->floors.of[RETENTION_LASTING], 2);
	assert_int_equal(m->floors.of[RETENTION_BRIEF], 6);
	reader_mail_free(m);
	reader_ask(d.reader, READER_PAGE, 4, 8);
	m = wait_for(&d);
	assert_int_equal(m->n, 0);
	assert_int_equal(m->next_id, 9);
	reader_mail_free(m);
	reader_ask(d.reader, READER_FLOORS, 0, 0);
	m = wait_for(&d);
	assert_int_equal(m->floors.of[RETENTION_LASTING], 2);
	assert_int_equal(m->floors.of[RETENTION_BRIEF], 6);
	reader_mail_free(m);
	desk_close(&d);
}

/* What is kept briefly is left out, unless it is for a room or comes by right; so many rows are a
 * page. */
static void pages_of_what_lasts(void **state)
{
	uint64_t at = 4096;
	size_t n = 0;
	struct desk d;

	script("INSERT INTO ws_events (id, topic, event_type, payload, room) SELECT seq, "
	       "CASE seq % 10 WHEN 0 THEN 't' WHEN 5 THEN 'devices' ELSE 'logs' END, 'add', '1',"
	       " IF(seq % 100 = 1, 'user:1', '') "
	       "FROM seq_4097_to_10000");
	desk_open(&d);
	while (at < 20480) {
		reader_ask(d.reader, READER_LASTING, at, 20480);
		struct reader_mail *m = wait_for(&d);
		assert_true(m->is_done && m->n <= READER_ROWS_MAX && m->upto > at);
		for (size_t i = 0; i < m->n; i++) {
			uint64_t id = m->records[i]->item.id;

			assert_true(id > at && id <= m->upto && (id % 5 == 0 || id % 100 == 1));
		}
		n += m->n;
		at = m->upto;
		reader_mail_free(m);
	}
	assert_int_equal(n, 591 + 590 + 59);
	desk_close(&d);
	script("DELETE FROM ws_events WHERE id > 1000");
}

/* A page ends with the row that makes it large, and its answer says how far it goes, whatever the
 * rows at its beginning are like. */
static void large_rows_are_read_in_parts(void **state)
{
	uint64_t at = 1008;
	size_t parts = 0, n = 0;
	struct desk d;

	script("INSERT INTO ws_events (id, topic, event_type, payload) SELECT seq, 't', 'add', "
	       "CONCAT('\"', REPEAT('x', IF(seq < 1050, 1, 500000)), '\"') FROM seq_1009_to_1149");
	desk_open(&d);
	while (at < 1279) {
		size_t bytes = 0;

		reader_ask(d.reader, READER_PAGE, at, 1279);
		struct reader_mail *m = wait_for(&d);
		assert_true(m->is_done);
		for (size_t i = 0; i < m->n; i++) {
			assert_int_equal(m->records[i]->item.id, 1009 + n++);
			bytes += m->records[i]->json_len;
		}
		assert_true(bytes < 9000000);
		assert_true(m->upto > at);
		at = m->upto;
		parts++;
		reader_mail_free(m);
	}
	assert_int_equal(n, 141);
	assert_true(parts >= 6);
	desk_close(&d);
	script("DELETE FROM ws_events WHERE id > 1000");
}

static void principals(void **state)
{
	const struct caller_view ann = {
		.user_id = ANN, .expires_s = 4102444800, .jti = {JTI, sizeof(JTI) - 1}};
	const struct caller_view key = {.apikey_id = 5};
	const struct caller_view nobody = {.user_id = 99, .jti = {JTI, sizeof(JTI) - 1}};
	const struct caller_view no_key = {.apikey_id = 99};
	struct desk d;

	desk_open(&d);
	reader_ask_principal(d.reader, &ann);
	struct reader_mail *m = wait_for(&d);
	struct principal *p = m->principal;
	m->principal = NULL;
	reader_mail_free(m);
	assert_true(perm_has(p, "nodes:read"));
	assert_string_equal(p->jti, JTI);
	assert_int_equal(p->expires_at_s, 4102444800);
	principal_unref(p);

	assert_principal(&d, &ann, ERR_OK, "ann");
	assert_principal(&d, &key, ERR_OK, "apikey:k");
	assert_principal(&d, &nobody, ERR_TOKEN_REVOKED, NULL);
	assert_principal(&d, &no_key, ERR_TOKEN_INVALID, NULL);
	script("INSERT INTO revoked_tokens (jti, expires_at) VALUES ('" JTI "', NOW(3))");
	assert_principal(&d, &ann, ERR_TOKEN_REVOKED, NULL);
	script("DELETE FROM revoked_tokens");
	desk_close(&d);
}

/* Not knowing is not a refusal. */
static void without_a_database(void **state)
{
	const struct caller_view ann = {.user_id = ANN, .jti = {JTI, sizeof(JTI) - 1}};
	struct desk d;

	script("RENAME TABLE tenants TO other");
	desk_open(&d);
	reader_ask_principal(d.reader, &ann);
	struct reader_mail *m = wait_for(&d);
	assert_false(m->is_done);
	assert_null(m->principal);
	reader_mail_free(m);
	script("RENAME TABLE other TO tenants");
	assert_principal(&d, &ann, ERR_OK, "ann");
	desk_close(&d);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_and_floors),
		cmocka_unit_test(pages_of_what_lasts),
		cmocka_unit_test(large_rows_are_read_in_parts),
		cmocka_unit_test(principals),
		cmocka_unit_test(without_a_database),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
