/* What a client is sent that asks for a topic, from a MariaDB of the test's own and a shared page
 * that the test writes as a poller would. */
#include "unit.h"

#include <pthread.h>
#include <unistd.h>

#include "app.h"
#include "cache.h"
#include "clock.h"
#include "ctx.h"
#include "floors.h"
#include "identity.h"
#include "loop.h"
#include "mariadb.h"
#include "ops.h"
#include "park.h"
#include "resources.h"
#include "secret.h"
#include "sync.h"
#include "worker.h"

#define EPOCH "0123456789abcdef0123456789abcdef"
#define ALL 0 /* as since */
#define ASKERS 8

static struct mariadb server;
static const struct db_set *sets[] = {NULL, &event_sql, &sync_sql, NULL};
static struct db *db;
static struct shm *page;
static struct config cfg;
static struct app app;
static struct worker worker = {.app = &app};
static struct principal ann = {.refs = 1, .user_id = 7, .tenant_id = 1};
static struct principal bob = {.refs = 1, .user_id = 8, .tenant_id = 2};

#define STMT(var, text, in_n, out_n)        \
	static const struct db_stmt var = { \
		.name = #var, .sql = text, .params_n = in_n, .cols_n = out_n}

STMT(last_event, "SELECT MAX(id) FROM ws_events", 0, 1);
STMT(connection, "SELECT CONNECTION_ID()", 0, 1);
STMT(kill_one, "KILL ?", 1, 0);

/* What requests do that are not run here. */
enum err identity_get(struct task *task, const struct http_req *req, const struct principal **who)
{
	*who = NULL;
	return ERR_UNAUTHENTICATED;
}

void loop_release(struct loop *l)
{
}

void park_free(struct park *p)
{
}

/* ---- the scene ---- */

static void script(const char *sql)
{
	if (db_script(db, sql) != ERR_OK)
		fail_msg("%s: %s", sql, db_errmsg(db));
}

static uint64_t number(struct db *of, const struct db_stmt *st)
{
	const struct db_val *row;

	if (db_one(of, st, NULL, 0, &row) != ERR_OK)
		fail_msg("%s: %s", st->name, db_errmsg(of));
	return dbv_u(&row[0]);
}

static struct db *open_db(void)
{
	struct db_login login = mariadb_login(&server, "cmdb");
	struct db *opened = db_new(&login, sets);

	if (db_ensure(opened) != ERR_OK)
		fail_msg("%s", db_errmsg(opened));
	return opened;
}

static void make_schema(void)
{
	struct db_login login = mariadb_login(&server, NULL);
	struct str sql = STR_INIT;

	db = db_new(&login, NULL);
	assert_int_equal(db_ensure(db), ERR_OK);
	str_adds(&sql, "CREATE DATABASE cmdb CHARACTER SET utf8mb4; USE cmdb;");
	unit_read_source("schema/0001_core.sql", &sql);
	unit_read_source("schema/0002_inventory.sql", &sql);
	unit_read_source("schema/0004_event_index.sql", &sql);
	unit_read_source("schema/0008_retention.sql", &sql);
	script(sql.p);
	script("INSERT INTO tenants (id, name) VALUES (2, 'other')");
	str_fini(&sql);
	db_free(db);
}

static void add(struct strlist *l, const char *text)
{
	strlist_add(l, text, strlen(text));
}

static int group_setup(void **state)
{
	struct str path = STR_INIT;

	secret_init();
	db_library_init();
	mariadb_start(&server);
	make_schema();
	sets[0] = resource_sql();
	db = open_db();
	str_addf(&path, "%s/page", server.dir);
	page = shm_create(path.p, EPOCH);
	assert_non_null(page);
	str_fini(&path);
	add(&ann.roles, "editor");
	add(&ann.departments, "tech");
	add(&ann.perms, "websites:*");
	add(&ann.perms, "line-groups:read");
	add(&ann.perms, "logs:read");
	add(&bob.perms, "*");
	return 0;
}

static void principal_fini(struct principal *p)
{
	strlist_fini(&p->roles);
	strlist_fini(&p->departments);
	strlist_fini(&p->perms);
}

static int group_teardown(void **state)
{
	principal_fini(&ann);
	principal_fini(&bob);
	shm_detach(page);
	db_free(db);
	mariadb_stop(&server);
	db_library_fini();
	return 0;
}

/* What the poller does when it has released all there is. */
static uint64_t release(void)
{
	uint64_t last = number(db, &last_event);

	for (uint32_t tenant = 1; tenant <= 2; tenant++) {
		shm_raise(page, tenant, "websites");
		shm_raise(page, tenant, "line-groups");
	}
	atomic_store(&page->tail, last);
	atomic_store(&page->lease_until_ms, clock_ms() + 60000);
	return last;
}

/* As the page knows it, of topics that last. */
static void set_floor(uint64_t floor)
{
	floors_publish(page, &(struct floors){{floor, floor}});
}

static int setup(void **state)
{
	script("DELETE FROM domains; DELETE FROM websites; DELETE FROM line_groups;"
	       "DELETE FROM ws_events; UPDATE ws_log SET floor = 0");
	cfg.fcgi.cache = true;
	cfg.socketio.queue_bytes = 1048576;
	cfg.fcgi.memory_bytes = 1 << 28;
	cfg.poller.ring_events = 65536;
	app.cache = cache_new();
	figure_set(app.stats, STAT_CACHE_MISSES, 0);
	figure_set(app.stats, STAT_CACHE_HITS, 0);
	set_floor(0);
	release();
	return 0;
}

static int teardown(void **state)
{
	cache_free(app.cache);
	return 0;
}

/* Events in a row; ids from the result on. */
static uint64_t publish(unsigned n, uint32_t tenant, const char *topic, const char *room,
	const char *name, const char *payload)
{
	struct event_out e = {.tenant_id = tenant,
		.topic = topic,
		.type = EVENT_UPDATE,
		.payload = payload,
		.room = room,
		.name = name};
	uint64_t id, first = 0;

	assert_int_equal(db_begin(db), ERR_OK);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(event_insert(db, &e, &id), ERR_OK);
		first = first ? first : id;
	}
	assert_int_equal(db_commit(db), ERR_OK);
	return first;
}

static uint64_t change(const char *payload)
{
	return publish(1, 1, "websites", NULL, NULL, payload);
}

/* ---- asking ---- */

/* What there is in the operations: the inside of the events' arrays, a line each. */
struct heard {
	struct str lines;
	unsigned n;
	uint64_t at; /* *last_event_id */
};

static void heard_fini(struct heard *h)
{
	str_fini(&h->lines);
}

/* The rows that an operation names. */
static struct slice rows_of(const struct sync_post *post, struct slice key)
{
	for (size_t i = 0; i < post->n; i++) {
		const struct cached *c = post->v[i].rows;

		if (c && key.len == sizeof(c->key) && memcmp(key.p, c->key, key.len) == 0)
			return (struct slice){c->body.p, c->body.len};
	}
	fail_msg("rows that the POST does not have");
	return (struct slice){NULL, 0};
}

static void hear(struct heard *h, const struct sync_post *post, const char *topic)
{
	struct bytes b = bytes_of(str_c(post->ops), post->ops->len);
	bool is_synced = false;
	struct op op;

	while (ops_next(&b, &op)) {
		if (op.type == OP_ROWS) {
			op.bytes = rows_of(post, op.bytes);
			op.flags = OP_SYNC;
		} else {
			assert_int_equal(op.type, OP_EMIT);
			assert_true(slice_is(op.nsp, "/"));
		}
		if (op.bytes.len) {
			str_add(&h->lines, op.bytes.p, op.bytes.len);
			str_addc(&h->lines, '\n');
			h->n++;
		}
		if (b.p != b.end) {
			assert_int_equal(op.flags, 0);
			assert_true(op.bytes.len > 0);
			continue;
		}
		is_synced = true;
		assert_int_equal(op.flags, OP_SYNC);
		assert_true(slice_is(op.topic, topic));
		assert_int_equal(op.id, h->at);
	}
	assert_true(is_synced);
	assert_false(b.is_bad);
}

/* The next `what` in s from *at on, as strstr() with the sanitizers takes too long for: false at
 * the end, else *at is behind it. */
static bool find(const struct str *s, size_t *at, const char *what)
{
	const size_t len = strlen(what);

	for (; *at + len <= s->len; ++*at)
		if (s->p[*at] == *what && memcmp(s->p + *at, what, len) == 0) {
			*at += len;
			return true;
		}
	return false;
}

static unsigned count(const struct str *s, const char *what)
{
	unsigned n = 0;

	for (size_t at = 0; find(s, &at, what);)
		n++;
	return n;
}

static struct task task_of(const struct principal *who)
{
	return (struct task){.worker = &worker,
		.cfg = &cfg,
		.db = db,
		.shm = page,
		.who = who,
		.arrived_ms = INT64_MAX};
}

static struct heard ask_of(struct task *task, const char *topic, uint64_t since, const char *epoch)
{
	struct sync_ask ask = {.topic = topic, .since = since, .epoch = epoch};
	struct heard h = {.at = 0};
	struct str ops = STR_INIT;
	struct sync_post post = {.app = &app, .ops = &ops};
	enum err e = sync_answer(task, &ask, &post, &h.at);

	if (e != ERR_OK)
		fail_msg("%s: %s", err_text(e), db_errmsg(task->db));
	hear(&h, &post, topic);
	sync_post_fini(&post);
	str_fini(&ops);
	return h;
}

static struct heard ask(const struct principal *who, const char *topic, uint64_t since)
{
	struct task task = task_of(who);

	return ask_of(&task, topic, since, NULL);
}

/* Ann asks for websites and is sent lines. */
static void expect(uint64_t since, const char *lines)
{
	struct heard h = ask(&ann, "websites", since);

	assert_string_equal(str_c(&h.lines), lines);
	assert_int_equal(h.at, atomic_load(&page->tail));
	heard_fini(&h);
}

static bool is_rows(const struct heard *h)
{
	return h->n == 1 && strstr(str_c(&h->lines), ":initial\",{\"items\":[");
}

static void expect_rows(uint64_t since, const char *epoch)
{
	struct task task = task_of(&ann);
	struct heard h = ask_of(&task, "websites", since, epoch);

	if (!is_rows(&h))
		fail_msg("%s", str_c(&h.lines));
	heard_fini(&h);
}

static void expect_events(uint64_t since, const char *epoch, unsigned n)
{
	struct task task = task_of(&ann);
	struct heard h = ask_of(&task, "websites", since, epoch);

	assert_int_equal(h.n, n);
	if (n)
		assert_false(is_rows(&h));
	assert_int_equal(h.at, atomic_load(&page->tail));
	heard_fini(&h);
}

static void expect_error(struct task *task, const char *topic, uint64_t since, enum err expected)
{
	struct sync_ask ask = {.topic = topic, .since = since};
	struct str ops = STR_INIT;
	struct sync_post post = {.app = &app, .ops = &ops};
	uint64_t at;

	assert_int_equal(sync_answer(task, &ask, &post, &at), expected);
	assert_int_equal(ops.len, 0);
	str_fini(&ops);
}

static unsigned names(struct task *task)
{
	struct heard h = ask_of(task, "line-groups", ALL, NULL);
	unsigned n = count(&h.lines, "\"name\":");

	heard_fini(&h);
	return n;
}

/* ---- rows ---- */

static void rows_of_an_empty_table(void **state)
{
	struct str line = STR_INIT;

	str_addf(&line,
		"\"websites:initial\",{\"items\":[],\"total\":0,\"version\":0,"
		"\"lastEventId\":%llu}\n",
		(unsigned long long)atomic_load(&page->tail));
	expect(ALL, line.p);
	str_fini(&line);
}

/* The items of the list, as REST shows it. */
static void list(const struct principal *who, const char *pattern, struct str *items)
{
	struct ctx ctx = {.task = task_of(principal_ref(who))};
	size_t n;
	const struct route *r = resource_routes(&n);

	while (strcmp(r->pattern, pattern) != 0 || r->methods != HTTP_GET)
		r++;
	ctx.route = r;
	ctx.req.query = "page_size=200";
	r->handle(&ctx);
	assert_int_equal(ctx.res.status, 200);
	const char *from = strstr(ctx.res.body.p, "\"items\":");
	str_add(items, from, (size_t)(strstr(from, ",\"page\":") - from));
	ctx_fini(&ctx);
}

static void rows_are_as_rest_shows_them(void **state)
{
	struct str want = STR_INIT;
	uint64_t version;

	script("INSERT INTO line_groups (id, tenant_id, name) VALUES (3, 1, 'a\"b'), (4, 2, 'x');"
	       "INSERT INTO websites"
	       " (id, tenant_id, line_group_id, origin_mode, redirect_url, redirect_status_code)"
	       " VALUES (9, 1, 3, 'redirect', 'https://e.org/', 302),"
	       " (5, 1, NULL, 'redirect', 'https://f.org/', 302),"
	       " (6, 2, 4, 'redirect', 'https://g.org/', 302);"
	       "INSERT INTO domains (tenant_id, website_id, position, name) VALUES"
	       " (1, 9, 0, 'b.org'), (1, 9, 1, 'a.org'), (1, 5, 0, 'c.org'), (2, 6, 0, 'd.org')");
	version = change("{}");
	publish(3, 1, "line-groups", NULL, NULL, "{}");
	publish(3, 2, "websites", NULL, NULL, "{}");
	uint64_t tail = release();
	change("{}"); /* not released yet */
	str_adds(&want, "\"websites:initial\",{");
	list(&ann, "/api/v1/websites", &want);
	assert_non_null(strstr(want.p, "\"line_group_name\":\"a\\\"b\""));
	assert_non_null(strstr(want.p, "[\"b.org\",\"a.org\"]"));
	assert_non_null(strstr(want.p, "\"total\":2"));
	str_addf(&want, ",\"version\":%llu,\"lastEventId\":%llu}\n", (unsigned long long)version,
		(unsigned long long)tail);
	expect(ALL, want.p);
	str_fini(&want);
}

static void many_rows(void **state)
{
	static const unsigned sizes[] = {1, 199, 200, 201, 10000, 10001};

	for (size_t i = 0; i < ARRAY_N(sizes); i++) {
		struct str sql = STR_INIT, total = STR_INIT;

		str_addf(&sql,
			"DELETE FROM line_groups; INSERT INTO line_groups (tenant_id, name)"
			" SELECT 1, CONCAT('n', seq) FROM seq_1_to_%u;"
			" INSERT INTO line_groups (tenant_id, name) SELECT 2, 'other'",
			sizes[i]);
		script(sql.p);
		release();
		struct heard h = ask(&ann, "line-groups", ALL);
		assert_int_equal(count(&h.lines, "\"name\":\"n"),
			sizes[i] < SYNC_ITEMS_MAX ? sizes[i] : SYNC_ITEMS_MAX);
		assert_null(strstr(h.lines.p, "other"));
		str_addf(&total, "}],\"total\":%u,\"version\":0,", sizes[i]);
		assert_non_null(strstr(h.lines.p, total.p));
		uint64_t last = 0;
		for (size_t at = 0; find(&h.lines, &at, "{\"id\":");) {
			uint64_t id = strtoull(h.lines.p + at, NULL, 10);

			assert_true(id > last);
			last = id;
		}
		heard_fini(&h);
		str_fini(&sql);
		str_fini(&total);
	}
}

/* Rows that together would be too much to send: as many as may be, and how many there are. */
static void large_rows(void **state)
{
	struct str items = STR_INIT;
	uint64_t total;

	script("INSERT INTO line_groups (tenant_id, name, description)"
	       " SELECT 1, CONCAT('n', seq), REPEAT('x', 500) FROM seq_1_to_1000");
	assert_int_equal(db_begin_snapshot(db), ERR_OK);
	assert_int_equal(
		crud_all(db, resource_find("line-groups"), 1, 10000, 300000, &items, &total),
		ERR_OK);
	db_rollback(db);
	assert_in_range(items.len, 300000, 301000);
	assert_int_equal(items.p[items.len - 1], '}');
	assert_int_equal(total, 1000);
	str_fini(&items);
}

/* ---- events ---- */

static void missed_events(void **state)
{
	uint64_t since = change("{\"id\":1}"), id;
	struct str lines = STR_INIT;

	release();
	expect(since, "");
	id = change("{\"id\":\n2}");
	publish(1, 1, "websites", NULL, "greeting", "[1]");
	change("{\"path\":\"C:\\x\"}"); /* which MariaDB takes for JSON */
	publish(1, 1, "line-groups", NULL, NULL, "{}");
	release();
	change("{}"); /* not released yet */
	str_addf(&lines,
		"\"websites:update\",{\"eventId\":%llu,\"type\":\"update\",\"data\":{\"id\": 2}}\n"
		"\"greeting\",[1]\n"
		"\"websites:update\",{\"eventId\":%llu,\"type\":\"update\","
		"\"data\":\"{\\\"path\\\":\\\"C:\\\\x\\\"}\"}\n",
		(unsigned long long)id, (unsigned long long)id + 2);
	expect(since, lines.p);
	str_fini(&lines);
}

static void types_of_events(void **state)
{
	uint64_t since = change("{}"), id;
	struct str lines = STR_INIT;

	script("INSERT INTO ws_events (topic, event_type, payload) VALUES ('websites', 'add', '1'),"
	       " ('websites', 'delete', '2')");
	id = release();
	str_addf(&lines,
		"\"websites:update\",{\"eventId\":%llu,\"type\":\"add\",\"data\":1}\n"
		"\"websites:update\",{\"eventId\":%llu,\"type\":\"delete\",\"data\":2}\n",
		(unsigned long long)id - 1, (unsigned long long)id);
	expect(since, lines.p);
	str_fini(&lines);
}

static void as_many_as_there_may_be(void **state)
{
	uint64_t since = change("{}");

	publish(SYNC_EVENTS_MAX, 1, "websites", NULL, NULL, "{}");
	release();
	expect_events(since, NULL, SYNC_EVENTS_MAX);
	expect_events(since + 1, NULL, SYNC_EVENTS_MAX - 1);
	change("{}");
	release();
	expect_rows(since, NULL);
	expect_events(since + 1, NULL, SYNC_EVENTS_MAX);
}

static void large_events(void **state)
{
	uint64_t since = change("{}");

	publish(3, 1, "websites", NULL, NULL,
		"\"0123456789012345678901234567890123456789012345678901234567890123456789\"");
	release();
	cfg.socketio.queue_bytes = 1024;
	expect_events(since, NULL, 3);
	cfg.socketio.queue_bytes = 512;
	expect_rows(since, NULL);
	cfg.socketio.queue_bytes = 32; /* one alone is no more than the rows */
	expect_events(since + 2, NULL, 1);
}

static void foreign_cursors(void **state)
{
	uint64_t since = change("{}"), tail;

	change("{}");
	tail = release();
	expect_events(since, EPOCH, 1);
	expect_rows(since, "");
	expect_rows(since, "0123456789abcdef0123456789abcdee");
	expect_rows(tail, "other");
	expect_events(tail, EPOCH, 0);
	expect_rows(tail + 1, EPOCH);
	expect_rows(UINT64_MAX - 1, NULL);
}

static void expect_version(uint64_t version)
{
	struct heard h = ask(&ann, "websites", ALL);
	struct str text = STR_INIT;

	str_addf(&text, "\"version\":%llu,", (unsigned long long)version);
	if (!strstr(h.lines.p, text.p))
		fail_msg("not %s: %s", text.p, h.lines.p);
	heard_fini(&h);
	str_fini(&text);
}

static void pruned_cursors(void **state)
{
	uint64_t since = change("{}");
	struct str sql = STR_INIT;

	publish(3, 1, "websites", NULL, NULL, "{}");
	release();
	set_floor(since + 1);
	expect_rows(since, NULL);
	expect_events(since + 1, NULL, 2);
	expect_version(since + 3);
	/* Raised by another host a moment ago: the page does not know yet. */
	str_addf(&sql, "UPDATE ws_log SET floor = %llu; DELETE FROM ws_events WHERE id <= %llu",
		(unsigned long long)since + 2, (unsigned long long)since + 2);
	script(sql.p);
	expect_rows(since + 1, NULL);
	expect_events(since + 2, NULL, 1);
	str_fini(&sql);
	/* It does not fall back when all are pruned. */
	script("DELETE FROM ws_events");
	set_floor(since + 3);
	shm_raise(page, 1, "websites");
	expect_version(since + 3);
	set_floor(since + 100);
	shm_raise(page, 1, "websites");
	expect_version(since + 3);
}

static void rooms(void **state)
{
	static const char *const own[] = {"", "user:7", "role:editor", "department:tech"};
	static const char *const others[] = {
		"user:8", "user:77", "role:admin", "department:ops", "ticket:7", "tech", "USER:7"};
	uint64_t since = change("{}");
	struct heard h;

	for (size_t i = 0; i < ARRAY_N(others); i++)
		publish(1, 1, "websites", others[i], NULL, "\"no\"");
	for (size_t i = 0; i < ARRAY_N(own); i++)
		publish(1, 1, "websites", own[i], NULL, "\"yes\"");
	publish(1, 1, "websites", "user:8", NULL, "\"no\"");
	release();
	h = ask(&ann, "websites", since);
	assert_int_equal(h.n, ARRAY_N(own));
	assert_null(strstr(h.lines.p, "no"));
	heard_fini(&h);
}

/* To find few events among many of others is more work than to send the rows. */
static void rooms_of_many_others(void **state)
{
	uint64_t since = change("{}"), rest;

	rest = publish(4000, 1, "websites", "user:8", NULL, "{}");
	publish(2, 1, "websites", NULL, NULL, "{}");
	release();
	expect_events(since, NULL, 2);
	publish(2000, 1, "websites", "user:8", NULL, "{}");
	release();
	expect_rows(since, NULL);
	expect_events(rest + 2000, NULL, 2);
}

static void other_tenants(void **state)
{
	uint64_t since = change("{}");
	struct heard h;

	publish(501, 2, "websites", NULL, NULL, "\"b\"");
	publish(1, 2, "websites", "user:7", NULL, "\"b\"");
	change("\"a\"");
	release();
	h = ask(&ann, "websites", since);
	assert_int_equal(h.n, 1);
	assert_non_null(strstr(h.lines.p, "\"data\":\"a\""));
	heard_fini(&h);
	h = ask(&bob, "websites", since + 1);
	assert_int_equal(h.n, 500);
	assert_int_equal(count(&h.lines, "\"data\":\"b\""), 500);
	heard_fini(&h);
}

/* ---- refusals ---- */

static void refusals(void **state)
{
	struct task task = task_of(&ann);

	expect_error(&task, "nodes", ALL, ERR_FORBIDDEN);
	expect_error(&task, "logs", ALL, ERR_NOT_FOUND);
	expect_error(&task, "", ALL, ERR_NOT_FOUND);
	task.shm = NULL;
	expect_error(&task, "websites", ALL, ERR_UNAVAILABLE);
	expect_error(&task, "websites", 1, ERR_UNAVAILABLE);
}

/* The poller is away: its last word is true all the same, but what is read is not shared. */
/* ---- several requests in one POST ---- */

static size_t ask_in(struct sync_post *post, const char *topic, uint64_t since)
{
	struct sync_ask ask = {.topic = topic, .since = since};
	struct task task = task_of(&ann);
	size_t before = post->ops->len;
	uint64_t at = 0;

	assert_int_equal(sync_answer(&task, &ask, post, &at), ERR_OK);
	assert_true(at > 0);
	return post->ops->len - before;
}

static void once_in_a_post(void **state)
{
	uint64_t first = change("{\"id\":1}");
	struct str ops = STR_INIT;
	struct sync_post post = {.app = &app, .ops = &ops};

	change("{\"id\":2}");
	change("{\"id\":3}");
	release();
	/* Events that it has had a part of are told again, those that it has had are not. */
	assert_true(ask_in(&post, "websites", first + 1) > 0);
	assert_int_equal(ask_in(&post, "websites", first + 1), 0);
	assert_int_equal(ask_in(&post, "websites", first + 2), 0);
	assert_true(ask_in(&post, "websites", first) > 0);
	assert_true(ask_in(&post, "line-groups", ALL) > 0);
	assert_true(ask_in(&post, "websites", ALL) > 0);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(ask_in(&post, "websites", ALL), 0);
		assert_int_equal(ask_in(&post, "line-groups", first), 0);
	}
	assert_true(post.rows_bytes > 0);
	assert_int_equal(atomic_load(&app.held.bytes), post.rows_bytes);
	sync_post_fini(&post);
	assert_int_equal(atomic_load(&app.held.bytes), 0);
	str_fini(&ops);
}

static void more_rows_than_may_be_held(void **state)
{
	struct task task = task_of(&ann);

	cfg.fcgi.memory_bytes = 40;
	expect_error(&task, "websites", ALL, ERR_BUSY);
	assert_int_equal(atomic_load(&app.held.bytes), 0);
	cfg.fcgi.memory_bytes = 1 << 28;
	expect_rows(ALL, NULL);
}

static void page_that_is_not_fresh(void **state)
{
	uint64_t since = change("{}");
	struct task task = task_of(&ann);

	change("{}");
	release();
	atomic_store(&page->lease_until_ms, clock_ms() - 1);
	expect_events(since, NULL, 1);
	assert_int_equal(names(&task), 0);
	script("INSERT INTO line_groups (tenant_id, name) VALUES (1, 'a')");
	assert_int_equal(names(&task), 1);
}

static void database_that_is_away(void **state)
{
	struct db_login nowhere = {.socket = "/nonexistent/socket", .connect_timeout_ms = 1000};
	struct task task = task_of(&ann);
	uint64_t since = change("{}");

	change("{}");
	release();
	task.db = db_new(&nowhere, sets);
	expect_error(&task, "websites", ALL, ERR_DB_LOST);
	expect_error(&task, "websites", since, ERR_DB_LOST);
	db_free(task.db);
}

static void lost_connection(void **state)
{
	uint64_t since = change("{}");
	struct db *own = open_db();
	struct task task = task_of(&ann);

	change("{}");
	release();
	task.db = own;
	for (unsigned i = 0; i < 2; i++) {
		const struct db_val id[] = {DBV_U(number(own, &connection))};

		assert_int_equal(db_exec(db, &kill_one, id, 1, NULL, NULL), ERR_OK);
		struct heard h = ask_of(&task, "websites", i ? ALL : since, NULL);
		assert_int_equal(h.n, 1);
		assert_int_equal(is_rows(&h), i);
		heard_fini(&h);
	}
	assert_int_equal(db_generation(own), 3);
	/* It is left without a transaction. */
	assert_int_equal(db_begin(own), ERR_OK);
	db_free(own);
}

/* ---- sharing ---- */

static void rows_are_shared(void **state)
{
	struct task task = task_of(&ann), other = task_of(&bob);

	assert_int_equal(names(&task), 0);
	script("INSERT INTO line_groups (tenant_id, name) VALUES (1, 'a'), (2, 'a'), (2, 'b')");
	assert_int_equal(names(&task), 0);
	assert_int_equal(names(&other), 2);
	publish(1, 1, "line-groups", NULL, NULL, "{}");
	release();
	assert_int_equal(names(&task), 1);
	script("INSERT INTO line_groups (tenant_id, name) VALUES (1, 'b')");
	cfg.fcgi.cache = false;
	assert_int_equal(names(&task), 2);
	assert_int_equal(figure_get(app.stats, STAT_CACHE_MISSES), 3);
	assert_int_equal(figure_get(app.stats, STAT_CACHE_HITS), 1);
}

/* In the time in which many wait, rows change again and again: who has asked before what there is
 * was read gets that, as of its time, and what came after will follow. */
static void rows_are_shared_with_who_waited(void **state)
{
	int64_t before = clock_ms() - 1;
	struct task task = task_of(&ann);
	struct heard h;
	uint64_t tail = release();

	assert_int_equal(names(&task), 0);
	script("INSERT INTO line_groups (tenant_id, name) VALUES (1, 'a')");
	publish(1, 1, "line-groups", NULL, NULL, "{}");
	release();
	task.arrived_ms = before;
	h = ask_of(&task, "line-groups", ALL, NULL);
	assert_null(strstr(h.lines.p, "name"));
	assert_int_equal(h.at, tail);
	heard_fini(&h);
	task.arrived_ms = clock_ms();
	assert_int_equal(names(&task), 1);
}

/* The poller could not tell what came after them. */
static void rows_far_behind_are_not_shared(void **state)
{
	struct task task = task_of(&ann);
	struct heard h;

	cfg.poller.ring_events = 64;
	change("{}");
	release();
	assert_int_equal(names(&task), 0);
	publish(32, 1, "nodes", NULL, NULL, "{}");
	atomic_store(&page->tail, number(db, &last_event));
	h = ask_of(&task, "line-groups", ALL, NULL);
	assert_int_equal(h.at, atomic_load(&page->tail) - 32);
	heard_fini(&h);
	publish(1, 1, "nodes", NULL, NULL, "{}");
	atomic_store(&page->tail, number(db, &last_event));
	h = ask_of(&task, "line-groups", ALL, NULL);
	assert_int_equal(h.at, atomic_load(&page->tail));
	heard_fini(&h);
}

static void *ask_at_once(void *arg)
{
	pthread_barrier_t *start = arg;
	struct task task = task_of(&ann);

	db_thread_init();
	task.db = open_db();
	task.arrived_ms = clock_ms();
	pthread_barrier_wait(start);
	unsigned n = names(&task);
	db_free(task.db);
	db_thread_fini();
	return n == 10000 ? arg : NULL;
}

static void who_ask_at_once_cost_one_select(void **state)
{
	pthread_t threads[ASKERS];
	pthread_barrier_t start;

	script("INSERT INTO line_groups (tenant_id, name)"
	       " SELECT 1, CONCAT('n', seq) FROM seq_1_to_10000");
	release();
	pthread_barrier_init(&start, NULL, ASKERS);
	for (size_t i = 0; i < ASKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_at_once, &start), 0);
	for (size_t i = 0; i < ASKERS; i++) {
		void *is_good;

		pthread_join(threads[i], &is_good);
		assert_non_null(is_good);
	}
	pthread_barrier_destroy(&start);
	assert_int_equal(figure_get(app.stats, STAT_CACHE_MISSES), 1);
	assert_int_equal(figure_get(app.stats, STAT_CACHE_HITS), ASKERS - 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rows_of_an_empty_table, setup, teardown),
		cmocka_unit_test_setup_teardown(rows_are_as_rest_shows_them, setup, teardown),
		cmocka_unit_test_setup_teardown(many_rows, setup, teardown),
		cmocka_unit_test_setup_teardown(large_rows, setup, teardown),
		cmocka_unit_test_setup_teardown(missed_events, setup, teardown),
		cmocka_unit_test_setup_teardown(types_of_events, setup, teardown),
		cmocka_unit_test_setup_teardown(as_many_as_there_may_be, setup, teardown),
		cmocka_unit_test_setup_teardown(large_events, setup, teardown),
		cmocka_unit_test_setup_teardown(foreign_cursors, setup, teardown),
		cmocka_unit_test_setup_teardown(pruned_cursors, setup, teardown),
		cmocka_unit_test_setup_teardown(rooms, setup, teardown),
		cmocka_unit_test_setup_teardown(rooms_of_many_others, setup, teardown),
		cmocka_unit_test_setup_teardown(other_tenants, setup, teardown),
		cmocka_unit_test_setup_teardown(refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(once_in_a_post, setup, teardown),
		cmocka_unit_test_setup_teardown(more_rows_than_may_be_held, setup, teardown),
		cmocka_unit_test_setup_teardown(page_that_is_not_fresh, setup, teardown),
		cmocka_unit_test_setup_teardown(database_that_is_away, setup, teardown),
		cmocka_unit_test_setup_teardown(lost_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(rows_are_shared, setup, teardown),
		cmocka_unit_test_setup_teardown(rows_are_shared_with_who_waited, setup, teardown),
		cmocka_unit_test_setup_teardown(rows_far_behind_are_not_shared, setup, teardown),
		cmocka_unit_test_setup_teardown(who_ask_at_once_cost_one_select, setup, teardown),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
