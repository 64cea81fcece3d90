#include <string.h>

#include "clock.h"
#include "device.h"
#include "devices.h"

#define PAGE_SIZE 20
#define PAGE_SIZE_MAX 200
#define PAGE_MAX 1000000
#define TEXT_MAX 256 /* bytes of ?status= and ?q= */

/* device.h has the same in C. */
#define STATUS "IF(d.is_online, IF(d.status = '', 'online', d.status), 'offline')"
#define NO_CASE(text) "LOCATE(?, CONVERT(" text " USING utf8mb4) COLLATE utf8mb4_general_ci)"
#define WHERE                                                       \
	" WHERE d.tenant_id = ? AND (? IS NULL OR d.is_online = ?)" \
	" AND (? IS NULL OR " STATUS " = ?)"                        \
	" AND (? IS NULL OR " NO_CASE("d.device_id") " OR " NO_CASE(STATUS) ")"
#define WHERE_N 8
/* The newest line may be newer than what the row says. */
#define COLUMNS                                                                                    \
	"d.device_id, d.is_online, d.status, " DB_MS_OF("d.first_seen_at") ", GREATEST(" DB_MS_OF( \
		"d.last_seen_at") ", IFNULL((SELECT " DB_MS_OF("l.received_at") " FROM logs"       \
										" l WHERE "        \
										"l.tenant_id = "   \
										"d.tenant_id AND " \
										"l.device_id = "   \
										"d.device_id"      \
										" ORDER BY l.id "  \
										"DESC LIMIT 1), "  \
										"0)), (SELECT "    \
										"CAST(IFNULL(SUM(" \
										"c.lines_n), 0) "  \
										"AS UNSIGNED)"     \
										" FROM "           \
										"log_counts c "    \
										"WHERE "           \
										"c.tenant_id = "   \
										"d.tenant_id AND " \
										"c.device_id = "   \
										"d.device_id"      \
										" AND c.minute > " \
										"UNIX_TIMESTAMP()" \
										" DIV 60 - 60)"
#define COLUMNS_N 6
/* First the page, then what costs something for each of its rows. */
#define PAGE(order)                                                                \
	{                                                                          \
		"devices.page " order,                                             \
			"SELECT " COLUMNS " FROM (SELECT * FROM devices d" WHERE   \
			" ORDER BY " order " LIMIT ? OFFSET ?) d ORDER BY " order, \
			WHERE_N + 2, COLUMNS_N                                     \
	}

static const struct db_stmt device_one = {"devices.one",
	"SELECT " COLUMNS " FROM devices d WHERE d.tenant_id = ? AND d.device_id = ?", 2,
	COLUMNS_N};
static const struct db_stmt device_count = {
	"devices.count", "SELECT COUNT(*) FROM devices d" WHERE, WHERE_N, 1};
static const struct db_stmt page_by_id = PAGE("d.device_id");
static const struct db_stmt page_by_id_down = PAGE("d.device_id DESC");
static const struct db_stmt page_by_first = PAGE("d.first_seen_at, d.device_id");
static const struct db_stmt page_by_first_down = PAGE("d.first_seen_at DESC, d.device_id DESC");
static const struct db_stmt page_by_last = PAGE("d.last_seen_at, d.device_id");
static const struct db_stmt page_by_last_down = PAGE("d.last_seen_at DESC, d.device_id DESC");

const struct db_set devices_sql = {"devices",
	(const struct db_stmt *const[]){&device_one, &device_count, &page_by_id, &page_by_id_down,
		&page_by_first, &page_by_first_down, &page_by_last, &page_by_last_down, NULL},
	true};

static const struct device_sort {
	const char *name;
	const struct db_stmt *pages[2]; /* up, down */
} device_sorts[] = {
	{"deviceId", {&page_by_id, &page_by_id_down}},
	{"firstSeen", {&page_by_first, &page_by_first_down}},
	{"lastSeen", {&page_by_last, &page_by_last_down}},
};

struct device_query {
	struct ctx *ctx;
	uint64_t page, page_size;
	const struct db_stmt *stmt;
	struct db_val online, status, q; /* DBV_NULL: not asked for */
	struct str status_text, q_text;
};

/* ---- a row ---- */

static void device_render(struct str *out, const struct db_val *row)
{
	const struct device d = {
		.id = dbv_slice(&row[0]), .is_online = dbv_u(&row[1]), .said = dbv_slice(&row[2])};
	struct slice status = device_status(&d);
	char first[CLOCK_RFC3339_SIZE], last[CLOCK_RFC3339_SIZE];

	clock_rfc3339(dbv_i(&row[3]), first);
	clock_rfc3339(dbv_i(&row[4]), last);
	str_adds(out, "{\"deviceId\":");
	str_add_json_n(out, d.id.p, d.id.len);
	str_adds(out, d.is_online ? ",\"online\":true" : ",\"online\":false");
	str_adds(out, ",\"status\":");
	str_add_json_n(out, status.p, status.len);
	str_addf(out, ",\"firstSeen\":\"%s\",\"lastSeen\":\"%s\",\"linesLastHour\":", first, last);
	str_addu(out, dbv_u(&row[5]));
	str_addc(out, '}');
}

void devices_get(struct ctx *ctx)
{
	struct slice id = ctx->params.v[0].text;
	const struct db_val in[] = {DBV_U(ctx->task.who->tenant_id), dbv_b(id.p, id.len)};
	const struct db_val *row;
	struct str data = STR_INIT;
	enum err e = db_one(ctx->task.db, &device_one, in, 2, &row);

	if (e != ERR_OK) {
		ctx_fail_db(ctx, e, "device");
	} else if (!row) {
		ctx_failf(ctx, ERR_NOT_FOUND, "There is no device %.*s.", (int)id.len, id.p);
	} else {
		device_render(&data, row);
		ctx_ok(ctx, 200, &data);
	}
	str_fini(&data);
}

/* ---- the list ---- */

static void read_device_sort(struct device_query *l, const char *value)
{
	bool is_down = value[0] == '-';

	for (size_t i = 0; i < sizeof(device_sorts) / sizeof(device_sorts[0]); i++)
		if (strcmp(device_sorts[i].name, value + is_down) == 0) {
			l->stmt = device_sorts[i].pages[is_down];
			return;
		}
	ctx_problem(l->ctx, "sort",
		"must be one of deviceId, firstSeen, lastSeen, each also with - before it");
}

static void read_device_text(struct device_query *l, const char *key, const char *value,
	struct str *text, struct db_val *v)
{
	if (strlen(value) > TEXT_MAX) {
		ctx_problem(l->ctx, key, "may have at most %d bytes", TEXT_MAX);
		return;
	}
	str_clear(text);
	str_adds(text, value);
	*v = dbv_s(str_c(text));
}

static void read_device_param(const char *key, const char *value, void *arg)
{
	struct device_query *l = arg;

	if (strcmp(key, "page") == 0) {
		if (!parse_u64(value, 1, PAGE_MAX, &l->page))
			ctx_problem(l->ctx, key, "must be an integer from 1 to %d", PAGE_MAX);
	} else if (strcmp(key, "page_size") == 0) {
		if (!parse_u64(value, 1, PAGE_SIZE_MAX, &l->page_size))
			ctx_problem(l->ctx, key, "must be an integer from 1 to %d", PAGE_SIZE_MAX);
	} else if (strcmp(key, "sort") == 0) {
		read_device_sort(l, value);
	} else if (strcmp(key, "online") == 0) {
		if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
			ctx_problem(l->ctx, key, "must be true or false");
		l->online = DBV_U(value[0] == 't');
	} else if (strcmp(key, "status") == 0) {
		read_device_text(l, key, value, &l->status_text, &l->status);
	} else if (strcmp(key, "q") == 0) {
		read_device_text(l, key, value, &l->q_text, &l->q);
	} else if (strcmp(key, "token") != 0) { /* who asks: read by dispatch */
		ctx_problem(l->ctx, key, "unknown parameter");
	}
}

static enum err read_device_page(struct device_query *l, struct str *items, uint64_t *total)
{
	struct db *db = l->ctx->task.db;
	const uint64_t offset = (l->page - 1) * l->page_size;
	const struct db_val in[WHERE_N + 2] = {DBV_U(l->ctx->task.who->tenant_id), l->online,
		l->online, l->status, l->status, l->q, l->q, l->q, DBV_U(l->page_size),
		DBV_U(offset)};
	const struct db_val *row;
	uint64_t rows_n = 0;
	enum err e = db_query(db, l->stmt, in, WHERE_N + 2);

	if (e != ERR_OK)
		return e;
	for (; (row = db_fetch(db)); rows_n++) {
		str_adds(items, rows_n ? "," : "");
		device_render(items, row);
	}
	db_done(db);
	/* A page that is not full is the last one: then there is nothing to count. */
	*total = offset + rows_n;
	if (rows_n == l->page_size || (rows_n == 0 && offset > 0)) {
		e = db_one(db, &device_count, in, WHERE_N, &row);
		if (e == ERR_OK)
			*total = dbv_u(&row[0]);
	}
	return e;
}

static void answer_devices(struct device_query *l)
{
	struct str items = STR_INIT, data = STR_INIT;
	uint64_t total = 0;
	enum err e = read_device_page(l, &items, &total);

	if (e != ERR_OK) {
		ctx_fail_db(l->ctx, e, "devices");
	} else {
		str_addf(&data, "{\"items\":[%s],\"total\":%llu,\"page\":%llu,\"page_size\":%llu}",
			str_c(&items), (unsigned long long)total, (unsigned long long)l->page,
			(unsigned long long)l->page_size);
		ctx_ok(l->ctx, 200, &data);
	}
	str_fini(&items);
	str_fini(&data);
}

void devices_list(struct ctx *ctx)
{
	struct device_query l = {.ctx = ctx,
		.page = 1,
		.page_size = PAGE_SIZE,
		.stmt = device_sorts[0].pages[0],
		.online = DBV_NULL,
		.status = DBV_NULL,
		.q = DBV_NULL};

	if (!query_each(ctx->req.query, read_device_param, &l))
		ctx_fail(ctx, ERR_BAD_REQUEST, "The query string is not well encoded.");
	else if (ctx->problems_n)
		ctx_fail(ctx, ERR_BAD_REQUEST, NULL);
	else
		answer_devices(&l);
	str_fini(&l.status_text);
	str_fini(&l.q_text);
}
