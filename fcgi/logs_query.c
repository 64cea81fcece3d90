#include "logs_query.h"

#include <string.h>

#include "clock.h"
#include "log_search.h"
#include "loop.h"
#include "park_export.h"
#include "worker.h"

#define LIMIT 50
#define LIMIT_MAX 500
/* What one request may cost, found or not: the answer says where it got to. */
#define PAGE_ROWS 500000
#define PAGE_MS 1000
#define PAGE_BYTES (4u * 1024 * 1024)

struct ask_logs {
	struct ctx *ctx;
	struct log_search search;
	uint64_t limit; /* 0: as the format has it */
	bool has_before, has_after, is_ndjson;
};

/* ---- reading the request ---- */

/* The + of a zone that was not escaped in the address has come as a blank. */
static bool parse_time(const char *value, int64_t *at)
{
	const size_t zone_len = sizeof("+01:00") - 1;
	struct str text = STR_INIT;
	bool is_good;

	str_adds(&text, value);
	if (text.len > zone_len && text.p[text.len - zone_len] == ' ')
		text.p[text.len - zone_len] = '+';
	is_good = clock_parse_rfc3339(str_c(&text), text.len, at);
	str_fini(&text);
	return is_good;
}

/* RFC 3339 with a zone, or milliseconds since 1970. */
static int64_t read_time(struct ask_logs *a, const char *key, const char *value)
{
	uint64_t ms;
	int64_t at;

	if (parse_u64(value, 0, CLOCK_WALL_MAX_MS, &ms))
		return (int64_t)ms;
	if (parse_time(value, &at))
		return at;
	ctx_problem(a->ctx, key,
		"must be a time as in 2026-11-22T19:35:00Z, or milliseconds since 1970");
	return 0;
}

static uint64_t logs_read_number(
	struct ask_logs *a, const char *key, const char *value, uint64_t min, uint64_t max)
{
	uint64_t n = 0;

	if (!parse_u64(value, min, max, &n))
		ctx_problem(a->ctx, key, "must be a decimal number from %llu to %llu",
			(unsigned long long)min, (unsigned long long)max);
	return n;
}

static bool read_word(
	struct ask_logs *a, const char *key, const char *value, const char *no, const char *yes)
{
	bool is_yes = strcmp(value, yes) == 0;

	if (!is_yes && strcmp(value, no) != 0)
		ctx_problem(a->ctx, key, "must be %s or %s", no, yes);
	return is_yes;
}

static void logs_on_parameter(const char *key, const char *value, void *arg)
{
	struct ask_logs *a = arg;
	struct log_search *s = &a->search;
	const char *problem;
	int is_filter = log_filter_add_parameter(&s->wants, key, value, &problem);

	if (is_filter == 0)
		ctx_problem(a->ctx, key, "%s", problem);
	else if (is_filter > 0)
		return;
	else if (strcmp(key, "from") == 0)
		s->from_ms = read_time(a, key, value);
	else if (strcmp(key, "to") == 0)
		s->to_ms = read_time(a, key, value);
	else if (strcmp(key, "before") == 0)
		s->below = logs_read_number(a, key, value, 1, UINT64_MAX);
	else if (strcmp(key, "after") == 0)
		s->above = logs_read_number(a, key, value, 0, UINT64_MAX);
	else if (strcmp(key, "order") == 0)
		s->is_ascending = read_word(a, key, value, "desc", "asc");
	else if (strcmp(key, "limit") == 0)
		a->limit = logs_read_number(a, key, value, 1, UINT64_MAX);
	else if (strcmp(key, "format") == 0)
		a->is_ndjson = read_word(a, key, value, "json", "ndjson");
	else if (strcmp(key, "token") != 0) /* read by dispatch */
		ctx_problem(a->ctx, key, "unknown parameter");
}

/* false: answered. */
static bool read_ask_logs(struct ctx *ctx, struct ask_logs *a)
{
	*a = (struct ask_logs){.ctx = ctx};
	log_search_init(&a->search, ctx->task.who->tenant_id);
	if (!query_each(ctx->req.query, logs_on_parameter, a)) {
		ctx_fail(ctx, ERR_BAD_REQUEST,
			"The query string is not well-formed: check its percent-encoding.");
		return false;
	}
	if (!a->is_ndjson && a->limit > LIMIT_MAX)
		ctx_problem(ctx, "limit", "may be %d at most, but for format=ndjson", LIMIT_MAX);
	if (!log_filter_put(&a->search.wants, &a->search.filter))
		ctx_problem(
			ctx, "keyword", "all filters together may have %d bytes", LOG_FILTER_MAX);
	if (ctx->problems_n == 0)
		return true;
	ctx_fail(ctx, ERR_BAD_REQUEST, NULL);
	return false;
}

/* ---- a page ---- */

static void answer_page(struct ask_logs *a)
{
	struct ctx *ctx = a->ctx;
	struct str data = STR_INIT;
	const struct log_step step = {.entries = a->limit ? a->limit : LIMIT,
		.bytes = PAGE_BYTES,
		.rows = PAGE_ROWS,
		.deadline_ms = clock_ms() + PAGE_MS,
		.separator = ","};
	uint64_t n;
	enum err e;

	str_adds(&data, "{\"items\":[");
	e = log_search_step(ctx->task.db, &a->search, &step, &data, &n);
	if (e != ERR_OK) {
		ctx_fail_db(ctx, e, "logs");
	} else {
		str_adds(&data, "],\"next\":");
		if (a->search.is_done)
			str_adds(&data, "null,\"more\":false}");
		else
			str_addf(&data, "%llu,\"more\":true}",
				(unsigned long long)log_search_cursor(&a->search));
		ctx_ok(ctx, 200, &data);
	}
	str_fini(&data);
}

/* ---- everything ---- */

static void export_logs(struct ask_logs *a)
{
	struct ctx *ctx = a->ctx;
	struct app *app = ctx->task.worker->app;

	if (ctx->req.is_head) {
		ctx->res.status = 200;
		ctx->res.content_type = PARK_EXPORT_TYPE;
	} else if (!loop_reserve(app->loop, (size_t)ctx->task.cfg->fcgi.max_parked)) {
		ctx_fail(ctx, ERR_BUSY, NULL);
	} else {
		struct park_export *x = park_export_new();

		/* Taken over, with all that is the search's. */
		x->search = a->search;
		a->search = (struct log_search){0};
		x->left = a->limit ? a->limit : UINT64_MAX;
		park_set_caller(&x->park, ctx->task.who, ctx->task.arrived_ms);
		ctx->park = &x->park;
	}
}

static void logs_query(struct ctx *ctx)
{
	struct ask_logs a;

	if (read_ask_logs(ctx, &a)) {
		if (a.is_ndjson)
			export_logs(&a);
		else
			answer_page(&a);
	}
	log_search_fini(&a.search);
}

const struct route logs_query_routes[] = {
	{.methods = HTTP_GET,
		.pattern = "/api/logs",
		.flags = ROUTE_DB | ROUTE_PARKS | ROUTE_SEARCH,
		.perm = "logs:read",
		.handle = logs_query},
};
const size_t logs_query_routes_n = sizeof(logs_query_routes) / sizeof(logs_query_routes[0]);
