#include "worker.h"

#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "clock.h"
#include "ctx.h"
#include "dispatch.h"
#include "gateway.h"
#include "http.h"
#include "log.h"
#include "loop.h"
#include "mem.h"
#include "park.h"
#include "secret.h"

#define KEPT_MAX (256u * 1024) /* memory for bodies that a worker keeps between requests */

void worker_init(struct worker *w, struct app *app, struct gateway *gateway)
{
	*w = (struct worker){.app = app};
	w->conn = gateway ? conn_new(gateway) : NULL;
	secret_random(w->random, sizeof(w->random));
	atomic_init(&w->is_done, false);
}

void worker_fini(struct worker *w)
{
	db_free(w->db);
	app_settings_put(w->db_settings);
	conn_free(w->conn);
	str_fini(&w->path);
	str_fini(&w->body);
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

/* The connection is made with the settings in force; a reload makes a new one. */
void worker_take_settings(struct worker *w)
{
	struct db_login login;

	w->settings = app_settings_get(w->app);
	if (w->db && w->db_settings == w->settings)
		return;
	db_free(w->db);
	app_settings_put(w->db_settings);
	w->db_settings = w->settings;
	atomic_fetch_add(&w->settings->refs, 1);
	login = config_login(&w->settings->cfg, CONFIG_FCGI);
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
	bool is_sent;

	if (ctx->cached)
		h.headers = str_c(&ctx->cached->headers);
	str_clear(&w->head);
	http_put_head(&w->head, &h);
	is_sent = conn_write(w->conn, w->head.p, w->head.len, str_c(body),
		has_body && !ctx->req.is_head ? body->len : 0);
	if (!is_sent)
		log_debug("reply", "the web server is gone: request_id=%s", ctx->req.request_id);
	stats_add(&w->app->stats.requests[res->status / 100], 1);
}

/* Hands the request over to the loop. */
static void hand_over(struct worker *w, struct ctx *ctx)
{
	struct park *p = ctx->park;

	ctx->park = NULL;
	memcpy(p->request_id, ctx->req.request_id, sizeof(p->request_id));
	if (ctx->cors_origin)
		p->origin = xstrdup(ctx->cors_origin);
	conn_take(w->conn, &p->sink);
	loop_park(w->app->loop, p);
}

static void serve(struct worker *w)
{
	struct http_meta meta;
	struct ctx ctx = {.worker = w};
	bool has_body;

	worker_take_settings(w);
	ctx.cfg = &w->settings->cfg;
	ctx.arrived_ms = clock_ms();
	ctx.db = w->db;
	ctx.shm = atomic_load(&w->app->shm);
	ctx.req.body = "";
	make_request_id(w, ctx.req.request_id);
	http_read_env(conn_env(w->conn), &ctx.req, &meta);
	ctx.cors_origin = http_cors_origin(ctx.cfg, ctx.req.origin);
	has_body = meta.content_length[0] && strcmp(meta.content_length, "0") != 0;
	dispatch(&ctx, &meta, w->conn);
	if (!ctx.res.status && !ctx.park)
		ctx_fail(&ctx, ERR_INTERNAL, NULL);

	if (ctx.park && conn_drain(w->conn, has_body ? (size_t)ctx.cfg->fcgi.max_body : 0)) {
		hand_over(w, &ctx);
	} else {
		if (ctx.park) {
			loop_release(w->app->loop);
			ctx_fail(&ctx, ERR_TOO_LARGE, NULL);
		}
		reply(w, &ctx);
		/* Its end mostly came with the request; a body nobody read is left to
		 * conn_finish(). */
		if (!has_body)
			conn_drain(w->conn, 0);
		conn_finish(w->conn);
	}
	ctx_fini(&ctx);
	worker_put_settings(w);
	if (w->body.cap > KEPT_MAX)
		str_fini(&w->body);
}

void worker_run(struct worker *w)
{
	db_thread_init();
	while (conn_accept(w->conn))
		serve(w);
	if (w->db)
		db_close(w->db);
	db_thread_fini();
	atomic_store(&w->is_done, true);
}
