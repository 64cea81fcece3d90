#include "logs.h"

#include "log_file.h"
#include "log_parse.h"
#include "log_store.h"
#include "seen.h"

#define PROBLEMS_MAX 100 /* that are told one by one */
#define EVENT_TOPIC_LOGS "logs"

static void note_problem(void *arg, const char *field, const char *problem)
{
	struct ctx *ctx = arg;

	if (ctx->problems_n < PROBLEMS_MAX)
		ctx_problem(ctx, field, "%s", problem);
}

/* false: answered. */
static bool take_entries(struct ctx *ctx, struct log_batch *b)
{
	size_t n =
		ctx->body ? log_parse_json(b, ctx->body, note_problem, ctx)
			  : log_parse_lines(b, ctx->req.body, ctx->req.body_len, note_problem, ctx);

	if (n > PROBLEMS_MAX)
		ctx_failf(ctx, ERR_VALIDATION,
			"Some fields are not valid; the details have the first %d of %zu problems.",
			PROBLEMS_MAX, n);
	else if (n)
		ctx_fail(ctx, ERR_VALIDATION, NULL);
	return n == 0;
}

/* In the event all entries are one array; in the file each is a line. */
static void publish_entries(struct ctx *ctx, const struct log_batch *b, int64_t now_ms)
{
	struct str payload = STR_INIT;
	bool has_file = *ctx->task.cfg->logs.file;

	ctx->lines = log_lines_new(b->n, now_ms);
	for (size_t i = 0; i < b->n; i++) {
		size_t from;

		str_addc(&payload, i ? ',' : '[');
		from = payload.len;
		log_entry_put(&payload, &b->v[i]);
		if (has_file)
			log_lines_add(ctx->lines, ctx->task.who->tenant_id,
				(struct slice){payload.p + from, payload.len - from});
	}
	str_addc(&payload, ']');
	ctx_emit(ctx,
		&(struct event_out){
			.topic = EVENT_TOPIC_LOGS, .type = EVENT_ADD, .payload = str_c(&payload)});
	str_fini(&payload);
}

static void answer_ids(struct ctx *ctx, const struct log_batch *b)
{
	struct str data = STR_INIT;

	str_adds(&data, "{\"ids\":");
	for (size_t i = 0; i < b->n; i++) {
		str_addc(&data, i ? ',' : '[');
		str_addu(&data, b->v[i].id);
	}
	str_addf(&data, "],\"count\":%zu}", b->n);
	ctx_ok(ctx, 201, &data);
	str_fini(&data);
}

static void logs_set_times(struct log_batch *b, int64_t now_ms)
{
	for (size_t i = 0; i < b->n; i++) {
		b->v[i].received_ms = now_ms;
		if (b->v[i].logged_ms == LOG_NO_TIME)
			b->v[i].logged_ms = now_ms;
	}
}

/* Rows that others may wait for come last. */
static enum err store_entries(struct ctx *ctx, struct log_batch *b, struct seen_list *seen)
{
	uint32_t tenant_id = ctx->task.who->tenant_id;
	enum err e = seen_look(ctx->task.db, tenant_id, seen);

	if (e != ERR_OK)
		return e;
	logs_set_times(b, seen->now_ms);
	e = log_store_rows(ctx->task.db, tenant_id, b->v, b->n, seen->id_step);
	if (e == ERR_OK)
		e = log_store_counts(ctx->task.db, tenant_id, seen);
	if (e == ERR_OK)
		e = seen_touch(ctx->txn, tenant_id, seen);
	return e;
}

static void logs_take(struct ctx *ctx)
{
	struct log_batch b = {0};
	struct seen_list seen = {0};
	enum err e;

	if (!take_entries(ctx, &b))
		goto out;
	seen_of(&seen, b.v, b.n);
	e = store_entries(ctx, &b, &seen);
	if (e != ERR_OK) {
		ctx_fail_db(ctx, e, "logs");
		goto out;
	}
	publish_entries(ctx, &b, seen.now_ms);
	answer_ids(ctx, &b);
out:
	seen_fini(&seen);
	log_batch_fini(&b);
}

static const char *const log_media[] = {"application/x-ndjson", NULL};

const struct route logs_routes[] = {
	{.methods = HTTP_POST,
		.pattern = "/api/logs",
		.flags = ROUTE_JSON | ROUTE_ARRAY | ROUTE_GZIP | ROUTE_TXN | ROUTE_UNAUDITED,
		.perm = "logs:ingest",
		.handle = logs_take,
		.media = log_media},
};
const size_t logs_routes_n = sizeof(logs_routes) / sizeof(logs_routes[0]);
