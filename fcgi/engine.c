#include "engine.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conn.h"
#include "ctx.h"
#include "dispatch.h"
#include "identity.h"
#include "loop.h"
#include "mem.h"
#include "packet.h"
#include "park_engine.h"
#include "payload.h"
#include "secret.h"
#include "worker.h"

#define SID_RANDOM 16 /* bytes behind the two of the node's number */
#define FORM_OCTETS "application/octet-stream"

/* A request as its query says. */
struct ask {
	struct str transport, eio, sid, mark;
	bool is_again; /* http_is_again() */
};

bool engine_is_at(const struct config *cfg, const char *path)
{
	return http_is_path(path, cfg->socketio.path);
}

/* The reference server decodes what it can: a value that is not well encoded is none of those that
 * are known. */
static void engine_read_ask(struct ask *a, const char *query)
{
	const struct {
		const char *key;
		struct str *to;
	} known[] = {
		{"transport", &a->transport}, {"EIO", &a->eio}, {"sid", &a->sid}, {"t", &a->mark}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		bool is_bad = false;

		query_get(query, known[i].key, known[i].to, &is_bad);
		if (is_bad)
			str_addc(known[i].to, '?');
	}
}

static void engine_ask_fini(struct ask *a)
{
	str_fini(&a->transport);
	str_fini(&a->eio);
	str_fini(&a->sid);
	str_fini(&a->mark);
}

static void engine_fail(struct ctx *ctx, enum engine_error e)
{
	figure_add(ctx->task.worker->app->stats, STAT_ENGINE_REFUSED, 1);
	ctx->res.status = engine_status(e);
	ctx->res.content_type = "application/json";
	engine_put_error(&ctx->res.body, e, NULL);
}

/* Of a caller who may not come in: a body as the reference server's, and the status that says why.
 */
static void fail_caller(struct ctx *ctx, enum err e)
{
	const char *message = e == ERR_UNAUTHENTICATED ? "Authentication required"
			      : err_status(e) == 401   ? "Authentication failed"
						       : err_text(e);

	figure_add(ctx->task.worker->app->stats, STAT_ENGINE_REFUSED, 1);
	ctx->res.status = err_status(e);
	ctx->res.content_type = "application/json";
	engine_put_error(&ctx->res.body, ENGINE_FORBIDDEN, message);
	if (!strstr(str_c(&ctx->res.headers), "Retry-After: "))
		http_put_error_headers(&ctx->res.headers, e);
}

/* The request's own mark, by which it is known when it comes again; 0: none. Digits alone are a
 * clock, and tell requests apart only if it ticks between them: that of SocketIOClient for .NET
 * ticks in seconds. */
static uint64_t tag_of(const struct ask *a)
{
	const char *mark = str_c(&a->mark);
	uint8_t hash[SECRET_HASH_SIZE];
	uint64_t tag;

	if (strspn(mark, "0123456789") == a->mark.len)
		return 0;
	secret_hash(hash, a->mark.p, a->mark.len);
	memcpy(&tag, hash, sizeof(tag));
	return tag ? tag : 1;
}

/* NULL: answered, for there is no room. */
static struct park_engine *park(struct ctx *ctx, enum engine_what what)
{
	struct park_engine *e;

	if (!loop_reserve(ctx->task.worker->app->loop, (size_t)ctx->task.cfg->fcgi.max_parked)) {
		fail_caller(ctx, ERR_BUSY);
		return NULL;
	}
	e = park_engine_new(what);
	ctx->park = &e->park;
	return e;
}

static struct park_engine *park_of_session(
	struct ctx *ctx, enum engine_what what, const struct ask *a)
{
	struct park_engine *e = park(ctx, what);

	if (!e)
		return NULL;
	memcpy(e->sid, str_c(&a->sid), a->sid.len + 1);
	e->tag = tag_of(a);
	if (app_is_alone(ctx->task.worker->app))
		e->short_ms = (uint32_t)ctx->task.cfg->fcgi.short_hold_ms;
	e->is_again = a->is_again;
	e->user = identity_claimed_user(&ctx->task, &ctx->req);
	return e;
}

/* ---- handshake ---- */

static bool is_conformance(const struct config *cfg)
{
	return strcmp(cfg->conformance.app, "off") != 0;
}

/* Whom the session is of, if that is known already. false: answered. */
static bool find_caller(struct ctx *ctx, struct str *out)
{
	const struct principal *who;
	struct caller_view caller;
	enum err e;

	if (is_conformance(ctx->task.cfg))
		return true;
	e = identity_get(&ctx->task, &ctx->req, &who);
	if (e == ERR_UNAUTHENTICATED && !ctx->task.cfg->auth.require_at_handshake)
		return true;
	if (e != ERR_OK) {
		fail_caller(ctx, e);
		return false;
	}
	caller = caller_of(who);
	caller_put(out, &caller);
	principal_unref(who);
	return true;
}

/* Not to be guessed, and it says which host has the session. */
static void make_sid(const struct config *cfg, char *out)
{
	uint8_t raw[2 + SID_RANDOM];

	raw[0] = (uint8_t)(cfg->poller.node_id >> 8);
	raw[1] = (uint8_t)cfg->poller.node_id;
	secret_random(raw + 2, SID_RANDOM);
	secret_base64(out, raw, sizeof(raw));
}

static void handshake(struct ctx *ctx, struct conn *conn)
{
	const struct config *cfg = ctx->task.cfg;
	struct str caller = STR_INIT;
	struct park_engine *e;

	figure_add(ctx->task.worker->app->stats, STAT_HANDSHAKES, 1);
	if (!find_caller(ctx, &caller))
		return;
	e = park(ctx, ENGINE_HANDSHAKE);
	if (!e) {
		str_fini(&caller);
		return;
	}
	e->caller = caller;
	make_sid(cfg, e->sid);
	str_adds(&e->address, ctx->req.remote_addr);
	e->packets = engine_answer_packets(cfg, conn_env(conn));
	engine_put_about(&e->about, &ctx->req, conn_env(conn));
	str_addf(&e->packet,
		"0{\"sid\":\"%s\",\"upgrades\":[],\"pingInterval\":%lld,\"pingTimeout\":%lld,"
		"\"maxPayload\":%lld}",
		e->sid, (long long)cfg->socketio.ping_interval_ms,
		(long long)cfg->socketio.ping_timeout_ms, (long long)cfg->socketio.max_payload);
	if (cfg->socketio.cookie[0])
		str_addf(&e->headers, "Set-Cookie: %s=%s; Path=/; HttpOnly; SameSite=Lax\r\n",
			cfg->socketio.cookie, e->sid);
}

/* ---- a POST ---- */

static void put_op(struct str *ops, enum op_type type)
{
	const struct op op = {.type = type};

	ops_put(ops, &op);
}

static void put_bad(struct str *ops, const char *why)
{
	struct op op = {.type = OP_BAD, .code = {.p = why, .len = strlen(why)}};

	str_clear(ops);
	ops_put(ops, &op);
}

/* echo-engineio of the conformance mode. */
static void put_echo(struct str *ops, const struct payload_packet *packet)
{
	struct str text = STR_INIT;
	struct op op = {.type = OP_SEND};

	if (packet->is_binary)
		payload_put_binary(&text, packet->data.p, packet->data.len);
	else
		payload_put_text(&text, packet->data.p, packet->data.len);
	op.bytes = (struct slice){.p = text.p, .len = text.len};
	ops_put(ops, &op);
	str_fini(&text);
}

/* The private id that a CONNECT to the main namespace shows, to be freed; NULL: none. */
static char *find_pid(const struct payload_packet *packet)
{
	const char *why, *pid;
	struct packet p;
	char *found = NULL;

	if (packet->is_binary || !packet->data.len || packet->data.p[0] != '0' ||
		!packet_decode(&p, packet->data, &why))
		return NULL;
	pid = slice_is(p.nsp, "/") ? json_get_str(p.json, "pid") : NULL;
	if (pid && strlen(pid) <= ENGINE_SID_MAX)
		found = xstrdup(pid);
	packet_fini(&p);
	return found;
}

/* What a walk over the packets finds. */
struct load {
	bool is_echo;
	struct str ops;    /* for what needs nobody's word */
	size_t messages_n; /* those that need it */
	char *pid;
	const char *why_bad; /* NULL: it is good */
};

static void read_message(struct load *l, const struct payload_packet *packet)
{
	if (l->is_echo) {
		put_echo(&l->ops, packet);
		return;
	}
	l->messages_n++;
	if (!l->pid)
		l->pid = find_pid(packet);
}

static void engine_read_payload(struct load *l, struct slice body)
{
	struct payload it = payload_of(body);
	struct payload_packet packet;
	enum payload_got got;
	bool is_over = false;

	while (!is_over && !l->why_bad &&
		(got = payload_next(&it, &packet, &l->why_bad)) == PAYLOAD_PACKET) {
		switch (packet.type) {
		case PAYLOAD_PONG:
			put_op(&l->ops, OP_PONG);
			break;
		case PAYLOAD_CLOSE:
			put_op(&l->ops, OP_CLOSE);
			is_over = true;
			break;
		case PAYLOAD_PING:
			l->why_bad = "a ping from the client";
			break;
		case PAYLOAD_MESSAGE:
			read_message(l, &packet);
			break;
		default:
			break; /* the reference server takes no notice of these either */
		}
	}
	payload_fini(&it);
}

static void post(struct ctx *ctx, const struct ask *a, struct slice body)
{
	struct load l = {.is_echo = strcmp(ctx->task.cfg->conformance.app, "echo-engineio") == 0};
	struct app *app = ctx->task.worker->app;
	struct park_engine *e;

	if (!held_add(&app->held, body.len, (size_t)ctx->task.cfg->fcgi.memory_bytes)) {
		fail_caller(ctx, ERR_BUSY);
		return;
	}
	e = park_of_session(ctx, ENGINE_POST, a);
	if (!e) {
		held_drop(&app->held, body.len);
		return;
	}
	e->app = app;
	e->held_len = body.len;
	if (!e->tag)
		secret_random(&e->tag, sizeof(e->tag));
	engine_read_payload(&l, body);
	if (l.why_bad) {
		e->is_bad = true;
		put_bad(&l.ops, l.why_bad);
	} else if (l.messages_n) {
		e->events = xcalloc(1, sizeof(*e->events));
		str_add(&e->events->body, body.p, body.len);
		e->events->n = (uint16_t)(l.messages_n < UINT16_MAX ? l.messages_n : UINT16_MAX);
		e->events->pid = l.pid ? l.pid : xstrdup("");
		e->events->address = xstrdup(ctx->req.remote_addr);
		l.pid = NULL;
	}
	str_fini(&e->ops);
	e->ops = l.ops;
	free(l.pid);
}

/* A POST that died with its process. */
static void post_lost(struct ctx *ctx, const struct ask *a, uint64_t length)
{
	struct park_engine *e = park_of_session(ctx, ENGINE_POST, a);
	const struct op op = {.type = OP_LOST, .id = length};

	if (e)
		ops_put(&e->ops, &op);
}

static void serve_post(
	struct ctx *ctx, const struct http_meta *meta, struct conn *conn, const struct ask *a)
{
	struct str *body = &ctx->task.worker->body;

	figure_add(ctx->task.worker->app->stats, STAT_POSTS, 1);
	if (strncasecmp(ctx->req.content_type, FORM_OCTETS, sizeof(FORM_OCTETS) - 1) == 0) {
		engine_fail(ctx, ENGINE_BAD_REQUEST);
		return;
	}
	switch (conn_read_body(conn, meta->content_length, meta->transfer_encoding,
		(size_t)ctx->task.cfg->socketio.max_payload, body)) {
	case CONN_BODY_WHOLE:
		post(ctx, a, (struct slice){.p = str_c(body), .len = body->len});
		break;
	case CONN_BODY_TOO_LARGE:
		figure_add(ctx->task.worker->app->stats, STAT_ENGINE_REFUSED, 1);
		ctx->res.status = 413;
		ctx->res.content_type = "text/plain; charset=UTF-8";
		break;
	case CONN_BODY_NO_LENGTH:
		ctx_fail(ctx, ERR_NO_LENGTH, NULL);
		break;
	case CONN_BODY_LATE:
		ctx_fail(ctx, ERR_TIMEOUT, NULL);
		break;
	case CONN_BODY_SHORT:
	case CONN_BODY_BAD_LENGTH:
		engine_fail(ctx, ENGINE_BAD_REQUEST);
		break;
	}
}

/* ---- all of them ---- */

/* engine.io 6, server.js, checkInvalidHeaderChar(). */
static bool is_origin_good(const char *origin)
{
	for (; *origin; origin++)
		if (((unsigned char)*origin < ' ' && *origin != '\t') || *origin == 0x7f)
			return false;
	return true;
}

static void serve_session(struct ctx *ctx, const struct http_meta *meta, struct conn *conn,
	const struct ask *a, uint64_t lost_len)
{
	bool is_get = strcmp(meta->method, "GET") == 0;

	/* No sid of ours is so long. */
	if (a->sid.len > ENGINE_SID_MAX) {
		engine_fail(ctx, ENGINE_UNKNOWN_SID);
	} else if (strcmp(str_c(&a->eio), "4") != 0 ||
		   (!is_get && strcmp(meta->method, "POST") != 0)) {
		park_of_session(ctx, ENGINE_REFUSAL, a);
	} else if (lost_len > 0) {
		post_lost(ctx, a, lost_len);
	} else if (is_get) {
		figure_add(ctx->task.worker->app->stats, STAT_POLLS, 1);
		park_of_session(ctx, ENGINE_GET, a);
	} else {
		serve_post(ctx, meta, conn, a);
	}
}

void engine_serve(struct ctx *ctx, const struct http_meta *meta, struct conn *conn)
{
	bool is_known = http_read_method(&ctx->req, meta->method);
	uint64_t lost_len = 0;
	struct ask a = {0};

	if (is_known && ctx->req.method == HTTP_OPTIONS) {
		dispatch_options(ctx, HTTP_GET | HTTP_POST | HTTP_OPTIONS);
		return;
	}
	if (http_own_error(meta)) {
		figure_add(ctx->task.worker->app->stats, STAT_ENGINE_REFUSED, 1);
		ctx->res.status = http_own_error(meta);
		ctx->res.content_type = "text/plain; charset=UTF-8";
		return;
	}
	a.is_again = http_is_again(meta);
	if (a.is_again)
		parse_u64(meta->sent_length, 0, UINT64_MAX, &lost_len);
	engine_read_ask(&a, ctx->req.query);
	if (strcmp(str_c(&a.transport), "polling") != 0)
		engine_fail(ctx, ENGINE_UNKNOWN_TRANSPORT);
	else if (!is_origin_good(ctx->req.origin))
		engine_fail(ctx, ENGINE_BAD_REQUEST);
	else if (a.sid.len)
		serve_session(ctx, meta, conn, &a, lost_len);
	else if (strcmp(meta->method, "GET") != 0 || lost_len > 0)
		engine_fail(ctx, ENGINE_BAD_METHOD);
	else if (strcmp(str_c(&a.eio), "4") != 0)
		engine_fail(ctx, ENGINE_BAD_VERSION);
	else
		handshake(ctx, conn);
	engine_ask_fini(&a);
}
