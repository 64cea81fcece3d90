#include "abroad.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "hosts.h"
#include "hub.h"
#include "log.h"
#include "mem.h"
#include "sessions.h"

enum {
	COL_ID,
	COL_NODE,
	COL_SOCKET,
	COL_TENANT,
	COL_USER,
	COL_NAME,
	COL_ADDRESS,
	COL_AT,
	COL_SUBS
};
#define COLUMNS                                                                          \
	"s.client_id, s.node_id, s.socket_id, s.tenant_id, s.user_id, s.username,"       \
	" s.address, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', s.connected_at) DIV 1000," \
	" s.subscription"
#define FROM                                                             \
	" FROM ws_sessions s JOIN ws_pollers p ON p.node_id = s.node_id" \
	" WHERE s.node_id <> ? AND s.ended_at IS NULL AND s.is_over = 0" \
	" AND s.client_id <> '' AND p." HOSTS_IS_THERE                   \
	" AND (? = 0 OR s.tenant_id = ?) AND (? = 0 OR s.node_id = ?)"   \
	" AND (? = '' OR s.client_id = ?)"                               \
	" AND (? = '' OR s.username = ? OR s.user_id = ?)"               \
	" AND (? = '' OR s.address = ?)"                                 \
	" AND (? = '' OR JSON_CONTAINS(s.subscription, JSON_QUOTE(?), '$.topics'))"
#define PARAMS_N 14
#define ROWS(var, name, order) \
	static const struct db_stmt var = {name, "SELECT " COLUMNS FROM order, PARAMS_N + 1, 9}

static const struct db_stmt sql_total = {"abroad.total", "SELECT COUNT(*)" FROM, PARAMS_N, 1};
ROWS(sql_first, "abroad.first", " ORDER BY s.connected_at, s.id LIMIT ?");
ROWS(sql_last, "abroad.last", " ORDER BY s.connected_at DESC, s.id LIMIT ?");
ROWS(sql_names, "abroad.names", " ORDER BY s.username, s.id LIMIT ?");
ROWS(sql_names_down, "abroad.names_down", " ORDER BY s.username DESC, s.id LIMIT ?");

const struct db_set abroad_sql = {"abroad",
	(const struct db_stmt *const[]){
		&sql_total, &sql_first, &sql_last, &sql_names, &sql_names_down, NULL},
	true};

/* ---- in the saver's thread ---- */

static void abroad_put(struct str *out, const struct db_val *row)
{
	const char *subscription = dbv_text(&row[COL_SUBS]);
	char at[CLOCK_RFC3339_SIZE];

	clock_rfc3339(dbv_i(&row[COL_AT]), at);
	str_adds(out, "{\"id\":");
	str_add_json(out, dbv_text(&row[COL_ID]));
	str_addf(out, ",\"node\":%llu,\"user\":", (unsigned long long)dbv_u(&row[COL_NODE]));
	connection_put_user(out, (uint32_t)dbv_u(&row[COL_TENANT]), dbv_u(&row[COL_USER]),
		dbv_text(&row[COL_NAME]));
	str_adds(out, ",\"ip\":");
	str_add_json(out, dbv_text(&row[COL_ADDRESS]));
	str_addf(out,
		",\"connectedAt\":\"%s\",\"state\":\"joined\",\"namespaces\":[{\"name\":\"/\","
		"\"socket\":",
		at);
	str_add_json(out, dbv_text(&row[COL_SOCKET]));
	str_addf(out,
		"}],\"subscription\":%s,\"messageCount\":null,\"messagesSent\":null,"
		"\"messagesReceived\":null,\"lag\":null}",
		subscription && *subscription ? subscription : "null");
}

static void abroad_add(struct abroad *a, const struct db_val *row)
{
	struct abroad_row *r = &a->rows[a->n++];
	struct str json = STR_INIT;

	abroad_put(&json, row);
	*r = (struct abroad_row){.connected_ms = dbv_i(&row[COL_AT]),
		.username = xstrdup(dbv_text(&row[COL_NAME])),
		.json = str_take(&json)};
}

static struct db_val abroad_text(const char *text)
{
	return dbv_s(text ? text : "");
}

static enum err abroad_read(struct abroad *a, struct db *db, int64_t node_id)
{
	static const struct db_stmt *const rows[2][2] = {
		{&sql_first, &sql_last}, {&sql_names, &sql_names_down}};
	const struct connection_filter *f = &a->filter;
	const struct db_val id = abroad_text(f->id), user = abroad_text(f->user),
			    ip = abroad_text(f->ip), topic = abroad_text(f->topic);
	uint64_t user_id = UINT64_MAX;
	const struct db_val *row;
	enum err e;

	if (f->user)
		(void)parse_u64(f->user, 1, INT64_MAX, &user_id);
	const struct db_val in[PARAMS_N + 1] = {DBV_I(node_id), DBV_U(f->tenant_id),
		DBV_U(f->tenant_id), DBV_U(f->node_id), DBV_U(f->node_id), id, id, user, user,
		DBV_U(user_id), ip, ip, topic, topic, DBV_U(a->limit)};
	e = db_one(db, &sql_total, in, PARAMS_N, &row);
	if (e != ERR_OK)
		return e;
	a->total = row ? dbv_u(&row[0]) : 0;
	if (!a->total)
		return ERR_OK;
	e = db_query(db, rows[a->by_user][a->is_down], in, PARAMS_N + 1);
	if (e != ERR_OK)
		return e;
	a->rows = xcalloc(db_rows_n(db) + 1, sizeof(*a->rows));
	while ((row = db_fetch(db)))
		abroad_add(a, row);
	db_done(db);
	return ERR_OK;
}

static void abroad_work(struct saver_question *q, struct db *db, int64_t node_id, enum err e)
{
	struct abroad *a = (struct abroad *)q;

	if (e == ERR_OK)
		e = abroad_read(a, db, node_id);
	a->is_done = e == ERR_OK;
	if (e != ERR_OK && e != ERR_DB_LOST)
		log_warn("abroad", "cannot read the connections of other hosts: %s", db_errmsg(db));
}

/* ---- the loop's ---- */

static void abroad_open(struct mail *mail, void *owner)
{
	struct abroad *a = (struct abroad *)mail;
	struct hub *hub = owner;
	struct errand *e = errand_waiting(hub->errands, a->errand);

	if (!e) {
		abroad_free(a);
		return;
	}
	e->kind->take(e, a);
	errand_go(e);
}

static void abroad_discard(struct mail *mail)
{
	abroad_free((struct abroad *)mail);
}

static char *abroad_dup(const char *text)
{
	return text ? xstrdup(text) : NULL;
}

bool abroad_ask(struct errand *e, const struct connection_filter *f, bool by_user, bool is_down,
	uint64_t limit)
{
	struct hub *hub = e->hub;
	struct abroad *a;

	if (f->node_id == (uint64_t)hub->cfg->poller.node_id ||
		(f->state && strcmp(f->state, "joined") != 0))
		return false;
	a = xcalloc(1, sizeof(*a));
	a->question.mail.open = abroad_open;
	a->question.mail.discard = abroad_discard;
	a->question.work = abroad_work;
	a->errand = e->id;
	a->filter = *f;
	a->filter.id = abroad_dup(f->id);
	a->filter.user = abroad_dup(f->user);
	a->filter.ip = abroad_dup(f->ip);
	a->filter.topic = abroad_dup(f->topic);
	a->by_user = by_user;
	a->is_down = is_down;
	a->limit = limit < ABROAD_MAX ? limit : ABROAD_MAX;
	saver_ask(hub->sessions->saver, &a->question);
	return true;
}

void abroad_free(struct abroad *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->n; i++) {
		free(a->rows[i].username);
		free(a->rows[i].json);
	}
	free(a->rows);
	connection_filter_fini(&a->filter);
	free(a);
}
