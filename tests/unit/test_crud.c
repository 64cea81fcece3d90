/* What a descriptor may say beyond fields (verbs, changes of state, names and rooms of events),
 * against a MariaDB of the test's own. */
#include "unit.h"

#include "app.h"
#include "clock.h"
#include "crud.h"
#include "ctx.h"
#include "identity.h"
#include "loop.h"
#include "mariadb.h"
#include "park.h"
#include "room.h"
#include "route_txn.h"
#include "secret.h"
#include "stream.h"
#include "worker.h"

static struct mariadb server;
static const struct db_set *sets[] = {NULL, &event_sql, &txn_sql, NULL};
static struct db *db;
static struct config cfg = {.http.idempotency_ttl_s = 60};
static struct app app;
static struct worker worker = {.app = &app};
static struct principal ann = {.refs = 1, .user_id = 7, .tenant_id = 1};
static const struct crud_set *crud;

const struct stream streams[] = {{.topic = "tickets", .perm = "desk:see", .has_rows = true}, {0}};

/* What requests do that are not run here. */
enum err identity_get(struct task *task, const struct http_req *req, const struct principal **who)
{
	*who = NULL;
	return ERR_UNAUTHENTICATED;
}

void loop_release(struct loop *l)
{
}

void loop_doorbell(struct loop *l)
{
}

void park_free(struct park *p)
{
}

/* ---- the resource ---- */

static const char *const states[] = {"open", "in_progress", "closed", NULL};
static const char *const from_open[] = {"in_progress", "closed", NULL};
static const char *const from_progress[] = {"open", "closed", NULL};
static const struct transition transitions[] = {
	{"open", from_open}, {"in_progress", from_progress}, {0}};

static const struct field fields[] = {
	{.name = "title",
		.type = FIELD_TEXT,
		.min = 1,
		.max = 64,
		.flags = FIELD_REQUIRED | FIELD_FILTER},
	{.name = "status",
		.type = FIELD_ENUM,
		.values = states,
		.def = "\"open\"",
		.flags = FIELD_FILTER,
		.transitions = transitions},
	{.name = "department", .type = FIELD_TEXT, .max = 32, .def = "\"\""},
	{.name = "assignee", .type = FIELD_INT, .min = 1, .max = 1000, .flags = FIELD_NULL},
};

static void rooms(struct json_object *row, struct strlist *to)
{
	struct str room = STR_INIT;
	const char *department = json_get_str(row, "department");
	struct json_object *assignee = json_get(row, "assignee");

	if (department && *department) {
		str_addf(&room, "department:%s", department);
		strlist_add(to, room.p, room.len);
	}
	str_clear(&room);
	if (assignee) {
		str_addf(&room, "user:%s", json_object_get_string(assignee));
		strlist_add(to, room.p, room.len);
	}
	str_fini(&room);
}

static const struct field assign_fields[] = {
	{.name = "assignee",
		.type = FIELD_INT,
		.min = 1,
		.max = 1000,
		.flags = FIELD_REQUIRED | FIELD_NULL},
	{.name = "note", .type = FIELD_TEXT, .max = 20, .def = "\"none\""},
};

static enum err run_assign(struct ctx *ctx, struct deed *d)
{
	if (strcmp(json_get_str(d->given, "note"), "refuse") == 0) {
		ctx_fail(ctx, ERR_FORBIDDEN, "No.");
		return ERR_FORBIDDEN;
	}
	if (strcmp(json_get_str(d->old, "status"), "in_progress") != 0)
		json_object_object_add(d->changes, "status", json_object_new_string("in_progress"));
	return ERR_OK;
}

static void put_assigned(struct str *payload, const struct deed *d)
{
	str_addf(payload, "{\"id\":%llu,\"was\":%s,\"note\":%s}", (unsigned long long)d->id,
		json_object_to_json_string(json_get(d->old, "assignee")),
		json_object_to_json_string(json_get(d->given, "note")));
}

static enum err run_nudge(struct ctx *ctx, struct deed *d)
{
	d->is_done = true;
	return ERR_OK;
}

static const struct row_verb verbs[] = {
	{.suffix = "/assign",
		.methods = HTTP_POST | HTTP_PUT,
		.perm = "desk:assign",
		.fields = assign_fields,
		.fields_n = ARRAY_N(assign_fields),
		.run = run_assign,
		.event = {"ticket_assigned", put_assigned}},
	{.suffix = "/nudge", .methods = HTTP_POST, .run = run_nudge},
};

static const struct resource tickets = {
	.name = "tickets",
	.noun = "ticket",
	.table = "tickets",
	.label = "t.title",
	.fields = fields,
	.fields_n = ARRAY_N(fields),
	.verbs = verbs,
	.verbs_n = ARRAY_N(verbs),
	.events = {[EVENT_ADD] = {.name = "ticket_created"},
		[EVENT_DELETE] = {.name = "ticket_deleted"}},
	.rooms = rooms,
};
static const struct resource *const all[] = {&tickets};

/* ---- the scene ---- */

static const char table[] =
	"CREATE TABLE tickets (id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,"
	" tenant_id INT UNSIGNED NOT NULL, title VARCHAR(64) NOT NULL, status VARCHAR(16) NOT NULL,"
	" department VARCHAR(32) NOT NULL, assignee INT NULL, version INT UNSIGNED NOT NULL"
	" DEFAULT 1, created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), updated_at"
	" DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3),"
	" KEY (tenant_id, id));";

static void script(const char *sql)
{
	if (db_script(db, sql) != ERR_OK)
		fail_msg("%s: %s", sql, db_errmsg(db));
}

static int group_setup(void **state)
{
	struct db_login login;
	struct str sql = STR_INIT;

	secret_init();
	db_library_init();
	mariadb_start(&server);
	login = mariadb_login(&server, NULL);
	db = db_new(&login, NULL);
	assert_int_equal(db_ensure(db), ERR_OK);
	str_adds(&sql, "CREATE DATABASE cmdb CHARACTER SET utf8mb4; USE cmdb;");
	unit_read_source("schema/0001_core.sql", &sql);
	unit_read_source("schema/0009_rooms.sql", &sql);
	str_adds(&sql, table);
	script(sql.p);
	str_fini(&sql);
	db_free(db);
	crud = crud_build(all, 1);
	sets[0] = crud_sql(crud);
	login = mariadb_login(&server, "cmdb");
	db = db_new(&login, sets);
	if (db_ensure(db) != ERR_OK)
		fail_msg("%s", db_errmsg(db));
	ann.username = (char *)"ann";
	return 0;
}

static int group_teardown(void **state)
{
	db_free(db);
	mariadb_stop(&server);
	return 0;
}

static int setup(void **state)
{
	script("TRUNCATE tickets; TRUNCATE ws_events; TRUNCATE audit_log");
	return 0;
}

static const struct route *route_of(enum http_method method, const char *tail)
{
	struct str pattern = STR_INIT;
	const struct route *r;
	size_t n;

	str_addf(&pattern, "/api/v1/tickets%s", tail);
	r = crud_routes(crud, &n);
	for (size_t i = 0; i < n; i++, r++) {
		if ((r->methods & method) && strcmp(r->pattern, pattern.p) == 0) {
			str_fini(&pattern);
			return r;
		}
	}
	fail_msg("no route %s", pattern.p);
	return NULL;
}

/* The status; *answer (may be NULL) is the caller's. */
static int call(enum http_method method, const char *tail, uint64_t id, const char *body,
	struct json_object **answer)
{
	struct ctx ctx = {.task = {.worker = &worker,
				  .cfg = &cfg,
				  .db = db,
				  .who = principal_ref(&ann),
				  .address = "::1",
				  .request_id = "r"}};
	const char *why;
	size_t offset;
	int status;

	ctx.route = route_of(method, tail);
	ctx.req.method = method;
	ctx.req.path = "/x";
	ctx.req.query = ctx.req.idempotency_key = ctx.req.body = "";
	ctx.params.n = 1;
	ctx.params.v[0].id = id;
	if (body)
		ctx.body = json_parse(body, strlen(body), &why, &offset);
	if (ctx.route->flags & ROUTE_TXN)
		route_txn_run(&ctx);
	else
		ctx.route->handle(&ctx);
	status = ctx.res.status;
	if (answer)
		*answer = json_parse(ctx.res.body.p, ctx.res.body.len, &why, &offset);
	ctx_fini(&ctx);
	return status;
}

static void expect_refused(enum http_method method, const char *tail, uint64_t id, const char *body,
	int status, const char *part)
{
	struct json_object *answer;
	const char *text;

	assert_int_equal(call(method, tail, id, body, &answer), status);
	text = json_object_to_json_string(answer);
	if (!strstr(text, part))
		fail_msg("%s is not in %s", part, text);
	json_object_put(answer);
}

/* The last event, as text: type, room, name, payload. And how many there are. */
static void expect_event(
	uint64_t n, const char *type, const char *room, const char *name, const char *payload_part)
{
	static const struct db_stmt last = {"last",
		"SELECT event_type, room, name, payload, (SELECT COUNT(*) FROM ws_events), topic"
		" FROM ws_events ORDER BY id DESC LIMIT 1",
		0, 6};
	const struct db_val *row;

	assert_int_equal(db_one(db, &last, NULL, 0, &row), ERR_OK);
	assert_int_equal(dbv_u(&row[4]), n);
	assert_string_equal(dbv_text(&row[0]), type);
	assert_string_equal(dbv_text(&row[1]), room);
	assert_string_equal(dbv_text(&row[2]), name);
	assert_string_equal(dbv_text(&row[5]), "tickets");
	if (!strstr(dbv_text(&row[3]), payload_part))
		fail_msg("%s is not in %s", payload_part, dbv_text(&row[3]));
	db_done(db);
}

static uint64_t make(const char *body)
{
	struct json_object *answer;
	uint64_t id;

	assert_int_equal(call(HTTP_POST, "/create", 0, body, &answer), 201);
	id = json_object_get_uint64(json_get(json_get(answer, "data"), "id"));
	json_object_put(answer);
	return id;
}

/* ---- tests ---- */

static void events_have_names_and_rooms(void **state)
{
	uint64_t id = make("{\"title\":\"a\",\"department\":\"tech\",\"assignee\":5}");

	expect_event(1, "add", "department:tech,user:5", "ticket_created", "\"title\":\"a\"");
	assert_int_equal(call(HTTP_PUT, "/{id}", id, "{\"title\":\"b\"}", NULL), 200);
	expect_event(2, "update", "department:tech,user:5", "", "\"title\":\"b\"");
	/* Nobody's: for those alone who are in all rooms. */
	assert_int_equal(
		call(HTTP_PUT, "/{id}", id, "{\"department\":\"\",\"assignee\":null}", NULL), 200);
	expect_event(3, "update", ",", "", "\"title\":\"b\"");
	/* As it was. */
	assert_int_equal(call(HTTP_PUT, "/{id}", id, "{\"assignee\":9}", NULL), 200);
	assert_int_equal(call(HTTP_DELETE, "/{id}", id, NULL, NULL), 200);
	expect_event(5, "delete", "user:9", "ticket_deleted", "{\"id\":");
}

static void verbs_change_the_row(void **state)
{
	struct json_object *answer, *row;
	uint64_t id = make("{\"title\":\"a\",\"department\":\"tech\"}");

	assert_int_equal(call(HTTP_POST, "/{id}/assign", id, "{\"assignee\":6}", &answer), 200);
	row = json_get(answer, "data");
	assert_int_equal(json_object_get_int(json_get(row, "assignee")), 6);
	assert_string_equal(json_get_str(row, "status"), "in_progress");
	assert_int_equal(json_object_get_int(json_get(row, "version")), 2);
	json_object_put(answer);
	expect_event(2, "update", "department:tech,user:6", "ticket_assigned", "\"note\":\"none\"");
	/* Nothing changes: no event. */
	assert_int_equal(call(HTTP_PUT, "/{id}/assign", id, "{\"assignee\":6}", NULL), 200);
	expect_event(2, "update", "department:tech,user:6", "ticket_assigned", "\"was\":null");
	/* What no field shows counts. */
	assert_int_equal(call(HTTP_POST, "/{id}/nudge", id, NULL, &answer), 200);
	assert_int_equal(json_object_get_int(json_get(json_get(answer, "data"), "version")), 3);
	json_object_put(answer);
	expect_event(3, "update", "department:tech,user:6", "", "\"version\":3");
}

static void verbs_refuse(void **state)
{
	uint64_t id = make("{\"title\":\"a\"}");

	expect_refused(HTTP_POST, "/{id}/assign", id, "{}", 422, "\"assignee\"");
	expect_refused(HTTP_POST, "/{id}/assign", id, "{\"assignee\":0}", 422, "1 to 1000");
	expect_refused(HTTP_POST, "/{id}/assign", id, "{\"assignee\":1,\"x\":1}", 422, "\"x\"");
	expect_refused(
		HTTP_POST, "/{id}/assign", id, "{\"assignee\":1,\"note\":\"refuse\"}", 403, "No.");
	expect_refused(HTTP_POST, "/{id}/assign", id, "{\"assignee\":1,\"version\":9}", 409,
		"the current version is 1");
	expect_refused(HTTP_POST, "/{id}/assign", id + 1, "{\"assignee\":1}", 404, "not_found");
	expect_refused(HTTP_POST, "/{id}/nudge", id + 1, NULL, 404, "not_found");
	expect_event(1, "add", ",", "ticket_created", "\"version\":1");
}

static void states_follow_their_table(void **state)
{
	uint64_t id = make("{\"title\":\"a\"}");

	assert_int_equal(call(HTTP_PUT, "/{id}", id, "{\"status\":\"closed\"}", NULL), 200);
	expect_refused(HTTP_PUT, "/{id}", id, "{\"status\":\"open\"}", 409,
		"is closed, which may become nothing else, not open");
	/* By a verb, too. */
	expect_refused(HTTP_POST, "/{id}/assign", id, "{\"assignee\":1}", 409, "is closed");
	/* What stays as it is may be said. */
	assert_int_equal(
		call(HTTP_PUT, "/{id}", id, "{\"status\":\"closed\",\"title\":\"b\"}", NULL), 200);
	id = make("{\"title\":\"a\"}");
	assert_int_equal(call(HTTP_PUT, "/{id}", id, "{\"status\":\"in_progress\"}", NULL), 200);
	assert_int_equal(call(HTTP_PUT, "/{id}", id, "{\"status\":\"open\"}", NULL), 200);
}

static void permissions_come_from_the_tables(void **state)
{
	assert_string_equal(route_of(HTTP_GET, "/{id}")->perm, "desk:see");
	assert_string_equal(route_of(HTTP_GET, "")->perm, "desk:see");
	assert_string_equal(route_of(HTTP_POST, "/create")->perm, "tickets:write");
	assert_string_equal(route_of(HTTP_POST, "/{id}/assign")->perm, "desk:assign");
	assert_string_equal(route_of(HTTP_POST, "/{id}/nudge")->perm, "tickets:write");
}

static void is_listed(void **state)
{
	struct json_object *answer;

	make("{\"title\":\"a\"}");
	make("{\"title\":\"b\"}");
	assert_int_equal(call(HTTP_GET, "", 0, NULL, &answer), 200);
	assert_int_equal(json_object_get_int(json_get(json_get(answer, "data"), "total")), 2);
	json_object_put(answer);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(events_have_names_and_rooms, setup),
		cmocka_unit_test_setup(verbs_change_the_row, setup),
		cmocka_unit_test_setup(verbs_refuse, setup),
		cmocka_unit_test_setup(states_follow_their_table, setup),
		cmocka_unit_test_setup(permissions_come_from_the_tables, setup),
		cmocka_unit_test_setup(is_listed, setup),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
