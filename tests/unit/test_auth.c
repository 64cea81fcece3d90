/* Who a token or key is of, families of refresh tokens, and counted failures, with the schema in a
 * MariaDB of their own. */
#include "unit.h"

#include <pthread.h>
#include <time.h>

#include "clock.h"
#include "event.h"
#include "family.h"
#include "mariadb.h"
#include "principal.h"
#include "throttle.h"

#define JTI_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define JTI_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define JTI_C "cccccccccccccccccccccccccccccccc"
#define ANN 1u
#define BOB 2u

static struct mariadb server;
static struct db *db;

#define STMT(var, text, in_n, out_n)        \
	static const struct db_stmt var = { \
		.name = #var, .sql = text, .params_n = in_n, .cols_n = out_n}

STMT(count_blacklist, "SELECT COUNT(*) FROM revoked_tokens WHERE jti = ?", 1, 1);
STMT(count_events,
	"SELECT COUNT(*) FROM ws_events WHERE topic = '_auth' AND event_type = 'delete'"
	" AND JSON_VALUE(payload, '$.revoke') = 'jti' AND JSON_VALUE(payload, '$.jti') = ?",
	1, 1);
STMT(count_alive, "SELECT COUNT(*) FROM refresh_tokens WHERE revoked_at IS NULL", 0, 1);
STMT(count_tokens, "SELECT COUNT(*) FROM refresh_tokens", 0, 1);
STMT(count_waiting,
	"SELECT CAST(VARIABLE_VALUE AS UNSIGNED) FROM"
	" information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'INNODB_ROW_LOCK_CURRENT_WAITS'",
	0, 1);
STMT(get_failures, "SELECT failures FROM auth_failures WHERE kind = ? AND subject = ?", 2, 1);
STMT(add_key,
	"INSERT INTO api_keys (id, tenant_id, name, prefix, hash, status, expires_at) VALUES"
	" (?, 1, CONCAT('key', ?), 'cmdb_x', ?, ?, NOW(3) + INTERVAL ? SECOND)",
	5, 0);

static uint64_t number(const struct db_stmt *st, const char *a, const char *b)
{
	const struct db_val in[] = {dbv_s(a), dbv_s(b)}, *row;

	if (db_one(db, st, in, (size_t)st->params_n, &row) != ERR_OK)
		fail_msg("%s: %s", st->name, db_errmsg(db));
	return row ? dbv_u(&row[0]) : 0;
}

static void script(const char *sql)
{
	if (db_script(db, sql) != ERR_OK)
		fail_msg("%s: %s", sql, db_errmsg(db));
}

static struct db *open_db(void)
{
	static const struct db_set *const sets[] = {
		&event_sql, &principal_sql, &family_sql, &throttle_sql, NULL};
	struct db_login login = mariadb_login(&server, "cmdb");
	struct db *opened = db_new(&login, sets);

	if (db_ensure(opened) != ERR_OK)
		fail_msg("%s", db_errmsg(opened));
	return opened;
}

static int group_setup(void **state)
{
	struct str sql = STR_INIT;

	secret_init();
	db_library_init();
	mariadb_start(&server);
	struct db_login login = mariadb_login(&server, NULL);
	db = db_new(&login, NULL);
	assert_int_equal(db_ensure(db), ERR_OK);
	str_adds(&sql, "CREATE DATABASE cmdb CHARACTER SET utf8mb4; USE cmdb;");
	unit_read_source("schema/0001_core.sql", &sql);
	script(sql.p);
	str_fini(&sql);
	db_free(db);
	db = open_db();
	script("INSERT INTO tenants (id, name) VALUES (2, 'other');"
	       "INSERT INTO departments (id, tenant_id, name) VALUES (1, 1, 'tech'), (2, 1, 'ops');"
	       "INSERT INTO users (id, tenant_id, username, display_name, password_hash) VALUES"
	       " (1, 1, 'ann', 'Ann \\\"A\\\"', ''), (2, 2, 'bob', '', '');"
	       "INSERT INTO user_roles VALUES (1, 2), (1, 3);"
	       "INSERT INTO user_departments VALUES (1, 1), (1, 2);");
	return 0;
}

static int group_teardown(void **state)
{
	db_free(db);
	mariadb_stop(&server);
	db_library_fini();
	return 0;
}

static int setup(void **state)
{
	script("DELETE FROM refresh_tokens; DELETE FROM revoked_tokens; DELETE FROM ws_events;"
	       "DELETE FROM auth_failures; DELETE FROM api_key_scopes; DELETE FROM api_keys;"
	       "UPDATE users SET status = 'active'; UPDATE tenants SET status = 'active';");
	return 0;
}

/* ---- principals ---- */

static void test_user(void **state)
{
	struct str text = STR_INIT;
	struct principal *p;

	assert_int_equal(principal_load_user(db, ANN, JTI_A, 1234, &p), ERR_OK);
	assert_int_equal(p->user_id, ANN);
	assert_int_equal(p->tenant_id, 1);
	assert_string_equal(p->jti, JTI_A);
	assert_int_equal(p->expires_at_s, 1234);
	/* Two roles give the same permission: it is there once. */
	assert_true(perm_has(p, "websites:read") && perm_has(p, "nodes:write"));
	assert_false(perm_has(p, "logs:read"));
	for (size_t i = 1; i < p->perms.n; i++)
		assert_true(strcmp(p->perms.v[i - 1], p->perms.v[i]) < 0);
	strlist_fini(&p->perms);
	strlist_add(&p->perms, "x:y", 3);
	principal_render(&text, p);
	assert_string_equal(text.p,
		"{\"id\":1,\"username\":\"ann\",\"display_name\":\"Ann \\\"A\\\"\","
		"\"tenant\":\"default\",\"tenant_id\":1,\"roles\":[\"editor\",\"viewer\"],"
		"\"departments\":[\"ops\",\"tech\"],\"permissions\":[\"x:y\"]}");
	str_fini(&text);
	principal_unref(p);

	assert_int_equal(principal_load_user(db, BOB, JTI_A, 1, &p), ERR_OK);
	assert_int_equal(p->roles.n + p->departments.n + p->perms.n, 0);
	principal_unref(p);
}

static void test_user_revoked(void **state)
{
	static const char *const ways[] = {
		"UPDATE users SET status = 'disabled' WHERE id = 1",
		"UPDATE tenants SET status = 'disabled' WHERE id = 1",
		"INSERT INTO revoked_tokens (jti, expires_at) VALUES ('" JTI_A "', NOW(3))",
	};
	struct principal *p;

	for (size_t i = 0; i < ARRAY_N(ways); i++) {
		setup(NULL);
		script(ways[i]);
		assert_int_equal(principal_load_user(db, ANN, JTI_A, 1, &p), ERR_TOKEN_REVOKED);
		assert_null(p);
	}
	setup(NULL);
	assert_int_equal(principal_load_user(db, ANN, JTI_B, 1, &p), ERR_OK);
	principal_unref(p);
	assert_int_equal(principal_load_user(db, 77, JTI_B, 1, &p), ERR_TOKEN_REVOKED);
}

static void test_apikey(void **state)
{
	static const struct {
		const char *status;
		int expires_in_s;
		enum err want;
	} cases[] = {
		{"active", 3600, ERR_OK},
		{"active", -1, ERR_TOKEN_EXPIRED},
		{"revoked", 3600, ERR_TOKEN_REVOKED},
		{"revoked", -1, ERR_TOKEN_REVOKED},
	};
	uint8_t hash[SECRET_HASH_SIZE];
	struct str text = STR_INIT;
	struct principal *p;

	for (size_t i = 0; i < ARRAY_N(cases); i++) {
		secret_hash(hash, &i, sizeof(i));
		const struct db_val in[] = {DBV_U(i + 1), DBV_U(i), dbv_b(hash, sizeof(hash)),
			dbv_s(cases[i].status), DBV_I(cases[i].expires_in_s)};
		assert_int_equal(db_exec(db, &add_key, in, 5, NULL, NULL), ERR_OK);
		assert_int_equal(principal_load_apikey(db, hash, &p), cases[i].want);
		principal_unref(p);
		assert_int_equal(principal_load_apikey_id(db, i + 1, &p), cases[i].want);
		assert_int_equal(p ? p->apikey_id : 0, cases[i].want ? 0 : i + 1);
		principal_unref(p);
	}
	size_t first = 0;
	secret_hash(hash, &first, sizeof(first));
	script("INSERT INTO api_key_scopes VALUES (1, 'logs:ingest')");
	assert_int_equal(principal_load_apikey(db, hash, &p), ERR_OK);
	assert_int_equal(p->apikey_id, 1);
	assert_in_range(
		p->expires_at_s, clock_wall_ms() / 1000 + 3500, clock_wall_ms() / 1000 + 3601);
	principal_render(&text, p);
	assert_string_equal(text.p,
		"{\"id\":null,\"apikey_id\":1,\"username\":\"apikey:key0\",\"display_name\":"
		"\"key0\","
		"\"tenant\":\"default\",\"tenant_id\":1,\"roles\":[],\"departments\":[],"
		"\"permissions\":[\"logs:ingest\"]}");
	str_fini(&text);
	principal_unref(p);
	/* One that never expires, and one far away. */
	script("UPDATE api_keys SET expires_at = NULL WHERE id = 1");
	assert_int_equal(principal_load_apikey(db, hash, &p), ERR_OK);
	assert_int_equal(p->expires_at_s, 0);
	principal_unref(p);
	script("UPDATE api_keys SET expires_at = '2100-01-01' WHERE id = 1");
	assert_int_equal(principal_load_apikey(db, hash, &p), ERR_OK);
	assert_int_equal(p->expires_at_s, 4102444800);
	principal_unref(p);
	script("UPDATE tenants SET status = 'disabled' WHERE id = 1");
	assert_int_equal(principal_load_apikey(db, hash, &p), ERR_TOKEN_REVOKED);
	memset(hash, 0, sizeof(hash));
	assert_int_equal(principal_load_apikey(db, hash, &p), ERR_TOKEN_INVALID);
	assert_int_equal(principal_load_apikey_id(db, 77, &p), ERR_TOKEN_INVALID);
}

/* ---- families ---- */

static void add(struct db *on, const struct family *f, const char *jti, int64_t expires_in_s,
	char token[64])
{
	const struct family_access access = {jti, clock_wall_ms() / 1000 + expires_in_s};

	assert_int_equal(family_add(on, f, &access, 3600, token), ERR_OK);
}

static enum family_state use(struct db *on, const char *token, struct family *f)
{
	enum family_state state;

	if (family_use(on, token, strlen(token), f, &state) != ERR_OK)
		fail_msg("%s", db_errmsg(on));
	return state;
}

static void test_rotation(void **state)
{
	char a[64], b[64], c[64], other[64];
	struct family f, g, found;
	bool is_found;

	assert_int_equal(db_begin(db), ERR_OK);
	family_new(&f, ANN);
	family_new(&g, ANN);
	add(db, &g, JTI_C, 900, other);
	add(db, &f, JTI_A, -3600, a);
	assert_int_equal(use(db, a, &found), FAMILY_GOOD);
	assert_int_equal(found.user_id, ANN);
	assert_memory_equal(found.id, f.id, FAMILY_ID_SIZE);
	add(db, &found, JTI_B, 900, b);
	assert_string_not_equal(a, b);
	assert_int_equal(use(db, "cmdbr_nonsense", &found), FAMILY_UNKNOWN);
	assert_int_equal(use(db, b, &found), FAMILY_GOOD);
	add(db, &found, JTI_B, 900, c);
	assert_int_equal(use(db, a, &found), FAMILY_REUSED);
	assert_int_equal(use(db, b, &found), FAMILY_REUSED);
	assert_int_equal(family_revoke(db, &found), ERR_OK);
	assert_int_equal(db_commit(db), ERR_OK);

	/* All of it ends; access tokens that have expired anyway are not blacklisted. */
	assert_int_equal(use(db, a, &found), FAMILY_OVER);
	assert_int_equal(use(db, c, &found), FAMILY_OVER);
	assert_int_equal(number(&count_blacklist, JTI_B, NULL), 1);
	assert_int_equal(number(&count_blacklist, JTI_A, NULL), 0);
	assert_true(number(&count_events, JTI_B, NULL) > 0);
	assert_int_equal(number(&count_events, JTI_A, NULL), 0);

	/* Another login of the same user goes on. */
	assert_int_equal(number(&count_blacklist, JTI_C, NULL), 0);
	assert_int_equal(use(db, other, &found), FAMILY_GOOD);
	assert_int_equal(family_find(db, ANN, JTI_C, &found, &is_found), ERR_OK);
	assert_true(is_found);
	assert_memory_equal(found.id, g.id, FAMILY_ID_SIZE);
	assert_int_equal(family_find(db, BOB, JTI_C, &found, &is_found), ERR_OK);
	assert_false(is_found);
}

static void test_expired(void **state)
{
	char a[64];
	struct family f;

	family_new(&f, ANN);
	add(db, &f, JTI_A, -600, a);
	script("UPDATE refresh_tokens SET expires_at = NOW(3) - INTERVAL 1 SECOND");
	assert_int_equal(use(db, a, &f), FAMILY_OVER);
	script("INSERT INTO revoked_tokens (jti, expires_at) VALUES"
	       " ('" JTI_A "', NOW(3) - INTERVAL 10 MINUTE), ('" JTI_B "', NOW(3))");
	family_sweep(db);
	assert_int_equal(number(&count_tokens, NULL, NULL), 0);
	assert_int_equal(number(&count_blacklist, JTI_A, NULL), 0);
	/* Kept a while longer: a host whose clock is behind still takes that token. */
	assert_int_equal(number(&count_blacklist, JTI_B, NULL), 1);
}

static void test_revoke_one(void **state)
{
	const struct family_access access = {JTI_A, clock_wall_ms() / 1000 + 900};

	for (int i = 0; i < 2; i++)
		assert_int_equal(family_revoke_access(db, &access), ERR_OK);
	assert_int_equal(number(&count_blacklist, JTI_A, NULL), 1);
}

static void wait_for_waiting(void)
{
	for (int i = 0; i < 2000; i++) {
		if (number(&count_waiting, NULL, NULL) > 0)
			return;
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	}
	fail_msg("nobody waits for a lock");
}

static void *reuse(void *token)
{
	struct family f;
	struct db *mine;

	db_thread_init();
	mine = open_db();
	assert_int_equal(db_begin(mine), ERR_OK);
	assert_int_equal(use(mine, token, &f), FAMILY_REUSED);
	assert_int_equal(family_revoke(mine, &f), ERR_OK);
	assert_int_equal(db_commit(mine), ERR_OK);
	db_free(mine);
	db_thread_fini();
	return NULL;
}

/* An old token comes again while the newest is being exchanged: what that exchange gives out is
 * revoked as well. */
static void test_reuse_during_rotation(void **state)
{
	pthread_t thread;
	char a[64], b[64], c[64];
	struct family f;

	for (int round = 0; round < 8; round++) {
		setup(NULL);
		family_new(&f, ANN);
		add(db, &f, JTI_A, 900, a);
		assert_int_equal(use(db, a, &f), FAMILY_GOOD);
		add(db, &f, JTI_B, 900, b);

		assert_int_equal(db_begin(db), ERR_OK);
		assert_int_equal(use(db, b, &f), FAMILY_GOOD);
		assert_int_equal(pthread_create(&thread, NULL, reuse, a), 0);
		wait_for_waiting();
		add(db, &f, JTI_C, 900, c);
		assert_int_equal(db_commit(db), ERR_OK);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(number(&count_alive, NULL, NULL), 0);
		assert_int_equal(number(&count_blacklist, JTI_C, NULL), 1);
	}
}

/* ---- counted failures ---- */

static struct config cfg = {
	.auth = {.login_failures = 3, .address_failures = 5, .login_window_s = 60}};

/* When to try again, as the last check gave it; 0 for none. */
static int64_t retry_after(struct task *task)
{
	int64_t s = task->retry_s;

	task->retry_s = 0;
	return s;
}

static void test_throttle_account(void **state)
{
	struct task task = {.cfg = &cfg, .db = db, .address = "192.0.2.1"};

	for (int i = 0; i < 3; i++) {
		assert_int_equal(throttle_check(&task, "ann"), ERR_OK);
		assert_int_equal(throttle_failed(&task, "ann"), ERR_OK);
	}
	assert_int_equal(retry_after(&task), 0);
	assert_int_equal(throttle_check(&task, "ann"), ERR_RATE_LIMITED);
	assert_in_range(retry_after(&task), 50, 60);
	assert_int_equal(throttle_check(&task, "bob"), ERR_OK);
	/* From elsewhere as well. */
	task.address = "192.0.2.2";
	assert_int_equal(throttle_check(&task, "ann"), ERR_RATE_LIMITED);

	/* The window's end frees it, and the next failure begins a new one. */
	script("UPDATE auth_failures SET window_ends = NOW(3) WHERE kind = 'account'");
	retry_after(&task);
	assert_int_equal(throttle_check(&task, "ann"), ERR_OK);
	assert_int_equal(throttle_failed(&task, "ann"), ERR_OK);
	assert_int_equal(number(&get_failures, "account", "ann"), 1);
	assert_int_equal(throttle_clear(&task, "ann"), ERR_OK);
	assert_int_equal(number(&get_failures, "account", "ann"), 0);
}

static void test_throttle_address(void **state)
{
	static const char *const same[] = {"2001:db8:1:2::1", "2001:db8:1:2:ffff::2",
		"2001:0db8:0001:0002:0:0:0:3", "2001:db8:1:2::4", "2001:db8:1:2::5"};
	struct task task = {.cfg = &cfg, .db = db};

	for (size_t i = 0; i < ARRAY_N(same); i++) {
		char account[16];

		task.address = same[i];
		snprintf(account, sizeof(account), "user%zu", i);
		assert_int_equal(throttle_check(&task, account), ERR_OK);
		assert_int_equal(throttle_failed(&task, account), ERR_OK);
	}
	assert_int_equal(number(&get_failures, "address", "2001:db8:1:2::/64"), 5);
	assert_int_equal(throttle_check(&task, "ann"), ERR_RATE_LIMITED);
	assert_true(retry_after(&task) > 0);
	task.address = "2001:db8:1:3::1";
	assert_int_equal(throttle_check(&task, "ann"), ERR_OK);
	/* No address, no count. */
	task.address = "";
	for (int i = 0; i < 10; i++)
		assert_int_equal(throttle_bad_token(&task), ERR_OK);
	assert_int_equal(number(&get_failures, "address", ""), 0);
}

static void test_throttle_tokens(void **state)
{
	struct task task = {.cfg = &cfg, .db = db, .address = "::ffff:192.0.2.9"};

	for (int i = 0; i < 5; i++)
		assert_int_equal(throttle_bad_token(&task), ERR_OK);
	assert_int_equal(number(&get_failures, "address", "192.0.2.9"), 5);
	assert_int_equal(throttle_bad_token(&task), ERR_RATE_LIMITED);
	assert_in_range(retry_after(&task), 50, 60);
	/* Past the limit nothing more is written. */
	assert_int_equal(number(&get_failures, "address", "192.0.2.9"), 5);
	/* Old windows do not pile up. */
	script("UPDATE auth_failures SET window_ends = NOW(3) - INTERVAL 2 MINUTE");
	task.address = "192.0.2.10";
	retry_after(&task);
	assert_int_equal(throttle_bad_token(&task), ERR_OK);
	assert_int_equal(number(&get_failures, "address", "192.0.2.9"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_user, setup),
		cmocka_unit_test_setup(test_user_revoked, setup),
		cmocka_unit_test_setup(test_apikey, setup),
		cmocka_unit_test_setup(test_rotation, setup),
		cmocka_unit_test_setup(test_expired, setup),
		cmocka_unit_test_setup(test_revoke_one, setup),
		cmocka_unit_test_setup(test_reuse_during_rotation, setup),
		cmocka_unit_test_setup(test_throttle_account, setup),
		cmocka_unit_test_setup(test_throttle_address, setup),
		cmocka_unit_test_setup(test_throttle_tokens, setup),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
