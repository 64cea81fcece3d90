#include "worker.h"

#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "caller.h"
#include "clock.h"
#include "conn.h"
#include "ctx.h"
#include "dispatch.h"
#include "http.h"
#include "log.h"
#include "loop.h"
#include "mem.h"
#include "park.h"
#include "request.h"
#include "secret.h"

#define KEPT_MAX (256u * 1024) /* memory for bodies that a worker keeps between requests */

void worker_init(struct worker *w, struct app *app)
{
	*w = (struct worker){.app = app};
	secret_random(w->random, sizeof(w->random));
}

void worker_drop_db(struct worker *w)
{
	db_free(w->db);
	w->db = NULL;
	app_settings_put(w->db_settings);
	w->db_settings = NULL;
}

void worker_fini(struct worker *w)
{
	worker_drop_db(w);
	conn_free(w->conn);
	str_fini(&w->path);
	str_fini(&w->body);
	str_fini(&w->inflated);
	str_fini(&w->head);
}

static uint64_t rotate(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

/* xoshiro256** of Blackman and Vigna: unique is all a request id has to be. */
static uint64_t next_random(uint64_t s[4])
{
	uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

static void make_request_id(struct worker *w, char out[33])
{
	static const char digits[] = "0123456789abcdef";

	for (int half = 0; half < 2; half++) {
		uint64_t v = next_random(w->random);

		for (int i = 0; i < 16; i++, v >>= 4)
			out[half * 16 + i] = digits[v & 15];
	}
	out[32] = '\0';
}

/* The connection is made with the settings in force. A reload that changes them makes a new one:
 * else one signal would have all workers connect anew. */
void worker_take_settings(struct worker *w)
{
	struct db_login login, had;

	w->settings = app_settings_get(w->app);
	if (w->db && w->db_settings == w->settings)
		return;
	login = config_login(&w->settings->cfg, CONFIG_FCGI);
	if (w->db) {
		had = config_login(&w->db_settings->cfg, CONFIG_FCGI);
		if (db_login_is_same(&login, &had))
			return;
	}
	worker_drop_db(w);
	w->db_settings = w->settings;
	atomic_fetch_add(&w->settings->refs, 1);
	w->db = db_new(&login, w->app->sql);
}

void worker_put_settings(struct worker *w)
{
	app_settings_put(w->settings);
	w->settings = NULL;
}

static void reply(struct worker *w, struct ctx *ctx)
{
	struct http_res *res = &ctx->res;
	const struct str *body = ctx->cached ? &ctx->cached->body : &res->body;
	bool has_body = res->status != 204 && res->status != 304;
	struct http_head h = {.status = res->status,
		.content_length = (int64_t)body->len,
		.content_type = has_body ? res->content_type : NULL,
		.request_id = ctx->req.request_id,
		.origin = ctx->cors_origin,
		.headers = str_c(&res->headers)};

	if (ctx->cached)
		h.headers = str_c(&ctx->cached->headers);
	str_clear(&w->head);
	http_put_head(&w->head, &h);
	conn_answer(w->conn, w->app->loop, &w->head, str_c(body),
		has_body && !ctx->req.is_head ? body->len : 0);
	stats_add_status(w->app->stats, res->status);
}

/* Hands the request over to the loop. */
static void worker_hand_over(struct worker *w, struct ctx *ctx)
{
	struct park *p = ctx->park;

	ctx->park = NULL;
	memcpy(p->request_id, ctx->req.request_id, sizeof(p->request_id));
	if (ctx->cors_origin)
		p->origin = xstrdup(ctx->cors_origin);
	conn_take(w->conn, &p->sink);
	loop_park(w->app->loop, p);
}

/* Gives the request to other threads. false: too many wait there already. */
static bool pass(struct worker *w, const struct ctx *ctx)
{
	struct jobs *to = ctx->pass_to;
	size_t most =
		to == w->app->passwords ? (size_t)w->settings->cfg.auth.password_queue : SIZE_MAX;
	struct caller_view who = ctx->task.who ? caller_of(ctx->task.who) : (struct caller_view){0};
	struct request *r;

	/* Others may come between, and the last place be taken: it is one too many then. */
	if (jobs_waiting_n(to) >= most)
		return false;
	r = conn_pass(w->conn);
	r->job.owner = caller_number(&who);
	return jobs_add(to, &r->job, SIZE_MAX);
}

static void worker_finish(struct worker *w, struct ctx *ctx)
{
	if (ctx->pass_to && pass(w, ctx))
		return;
	if (ctx->pass_to)
		ctx_fail(ctx, ERR_BUSY, NULL);
	if (!ctx->res.status && !ctx->park)
		ctx_fail(ctx, ERR_INTERNAL, NULL);
	if (ctx->park && conn_is_cut(w->conn))
		ctx_fail(ctx, ERR_TOO_LARGE, NULL);
	if (ctx->park)
		worker_hand_over(w, ctx);
	else
		reply(w, ctx);
}

static void serve(struct worker *w)
{
	struct http_meta meta;
	struct ctx ctx = {.task = {.worker = w,
				  .cfg = &w->settings->cfg,
				  .db = w->db,
				  .shm = atomic_load(&w->app->shm),
				  .arrived_ms = clock_ms()}};

	ctx.req.body = "";
	make_request_id(w, ctx.req.request_id);
	http_read_env(conn_env(w->conn), &ctx.req, &meta);
	ctx.task.address = ctx.req.remote_addr;
	ctx.task.request_id = ctx.req.request_id;
	ctx.cors_origin = http_cors_origin(ctx.task.cfg, ctx.req.origin);
	dispatch(&ctx, &meta, w->conn);
	worker_finish(w, &ctx);
	ctx_fini(&ctx);
	if (w->body.cap > KEPT_MAX)
		str_fini(&w->body);
	if (w->inflated.cap > KEPT_MAX)
		str_fini(&w->inflated);
}

void worker_serve(struct job *j, struct worker *w)
{
	struct request *r = (struct request *)((char *)j - offsetof(struct request, job));

	if (!w->conn)
		w->conn = conn_new();
	if (!conn_begin(w->conn, r))
		return;
	worker_take_settings(w);
	serve(w);
	worker_put_settings(w);
}

void worker_serve_cgi(struct worker *w)
{
	db_thread_init();
	w->conn = conn_new();
	w->hashes = true;
	worker_take_settings(w);
	conn_begin_cgi(w->conn, clock_ms() + w->settings->cfg.fcgi.request_timeout_ms);
	serve(w);
	worker_put_settings(w);
	worker_drop_db(w);
	db_thread_fini();
}
