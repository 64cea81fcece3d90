#include "socket.h"

#include <string.h>

#include "app.h"
#include "identity.h"
#include "log.h"
#include "payload.h"
#include "socket_txn.h"
#include "tables.h"
#include "worker.h"

/* In one POST, to what is past the session's rate: whoever sends a hundred thousand is not worth as
 * many answers. */
#define LIMITED_ANSWERS_MAX 20000

/* ---- what handlers call ---- */

/* Sends a Socket.IO packet as it is. */
static void send_packet(struct socket_work *w, const struct str *packet)
{
	struct str message = STR_INIT;
	struct op op = {.type = OP_SEND};

	payload_put_text(&message, str_c(packet), packet->len);
	op.bytes = slice_str(&message);
	ops_put(w->ops, &op);
	str_fini(&message);
}

void socket_emit(struct socket_work *w, struct slice nsp, const struct str *args)
{
	const struct op op = {.type = OP_EMIT, .nsp = nsp, .bytes = slice_str(args)};

	ops_put(w->ops, &op);
}

void socket_ack(struct socket_call *call, const char *args)
{
	const struct packet *p = call->packet;
	struct str packet = STR_INIT;

	if (!p->has_id || call->is_acked)
		return;
	call->is_acked = true;
	packet_put_ack(&packet, p->nsp, p->id, 0, slice_of(args));
	send_packet(call->work, &packet);
	str_fini(&packet);
}

static void put_reason(struct str *s, const char *code, const char *message, int64_t retry_s)
{
	str_adds(s, "{\"code\":");
	str_add_json(s, code);
	str_adds(s, ",\"message\":");
	str_add_json(s, message);
	if (retry_s)
		str_addf(s, ",\"retry_after\":%lld", (long long)retry_s);
	str_addc(s, '}');
}

static void fail(struct socket_call *call, enum err e, const char *code, const char *message,
	int64_t retry_s)
{
	struct str text = STR_INIT;

	call->failed = e;
	if (call->packet->has_id) {
		str_adds(&text, "{\"error\":");
		put_reason(&text, code, message, retry_s);
		str_addc(&text, '}');
		socket_ack(call, str_c(&text));
	} else {
		str_adds(&text, "\"error\",");
		put_reason(&text, code, message, retry_s);
		socket_emit(call->work, call->packet->nsp, &text);
	}
	str_fini(&text);
}

void socket_fail(struct socket_call *call, const char *code, const char *message)
{
	fail(call, ERR_VALIDATION, code, message, 0);
}

/* What the header Retry-After says to others. */
static int64_t retry_s_of(const struct socket_work *w, enum err e)
{
	return e == ERR_RATE_LIMITED && w->task.retry_s ? w->task.retry_s : err_retry_s(e);
}

void socket_fail_err(struct socket_call *call, enum err e)
{
	if (err_status(e) >= 500)
		log_error("socket", "%s: %s request_id=%s", call->event->name,
			db_errmsg(call->work->task.db), call->work->post->request_id);
	fail(call, e, err_code(e), err_text(e), retry_s_of(call->work, e));
}

size_t socket_args_n(const struct socket_call *call)
{
	return json_object_array_length(call->packet->json) - 1;
}

struct json_object *socket_arg(const struct socket_call *call, size_t i)
{
	return i < socket_args_n(call) ? json_object_array_get_idx(call->packet->json, i + 1)
				       : NULL;
}

const struct principal *socket_who(struct socket_call *call)
{
	struct socket *k = call->socket;
	enum err e = ERR_OK;

	if (!k->who)
		e = identity_of_caller(&call->work->task, &k->caller, &k->who);
	if (e != ERR_OK) {
		socket_fail_err(call, e);
		return NULL;
	}
	return k->who;
}

/* ---- sockets ---- */

static struct socket *find_socket(struct socket_work *w, struct slice nsp)
{
	for (size_t i = 0; i < w->socks_n; i++)
		if (slice_same(w->socks[i].nsp, nsp))
			return &w->socks[i];
	return NULL;
}

void socket_join(struct socket_work *w, const struct op *op, const struct principal *who)
{
	if (w->socks_n == OPS_SOCKETS_MAX) {
		w->why_bad = "too many namespaces";
		principal_unref(who);
		return;
	}
	w->socks[w->socks_n++] = (struct socket){.nsp = op->nsp,
		.caller = op->caller,
		.who = who,
		.is_before = op->flags & OP_RESUMES};
	ops_put(w->ops, op);
}

void socket_refuse(struct socket_work *w, struct slice nsp, const char *message, int code)
{
	struct str payload = STR_INIT, packet = STR_INIT;
	int64_t retry_s = code == 429   ? retry_s_of(w, ERR_RATE_LIMITED)
			  : code == 503 ? err_retry_s(ERR_UNAVAILABLE)
					: 0;

	str_adds(&payload, "{\"message\":");
	str_add_json(&payload, message);
	if (code)
		str_addf(&payload, ",\"data\":{\"code\":%d", code);
	if (retry_s)
		str_addf(&payload, ",\"retry_after\":%lld", (long long)retry_s);
	str_adds(&payload, code ? "}}" : "}");
	packet_put_connect_error(&packet, nsp, slice_str(&payload));
	send_packet(w, &packet);
	str_fini(&payload);
	str_fini(&packet);
}

static void leave(struct socket_work *w, struct socket *k)
{
	const struct op op = {.type = OP_DISCONNECT, .nsp = k->nsp};

	ops_put(w->ops, &op);
	if (k->is_before) {
		/* On purpose: nobody goes on from there, later in this POST neither. */
		w->state.flags &= (uint8_t)~OPS_STATE_HAS_BEFORE;
		w->state.flags |= OPS_STATE_OVER;
	}
	if (slice_is(k->nsp, "/"))
		subs_fini(&w->subs);
	if (w->left_n < OPS_SOCKETS_MAX)
		w->left[w->left_n++] = k->nsp;
	principal_unref(k->who);
	*k = w->socks[--w->socks_n];
}

/* What a client sent for a socket and then disconnected may come behind that: the reference server
 * takes no notice of it either (socket.io 4, socket.js, dispatch()). */
static bool has_left(const struct socket_work *w, struct slice nsp)
{
	for (size_t i = 0; i < w->left_n; i++)
		if (slice_same(w->left[i], nsp))
			return true;
	return false;
}

/* ---- packets ---- */

static const struct socket_namespace *find_namespace(const struct socket_work *w, struct slice nsp)
{
	const struct socket_namespace *ns = tables_namespaces(w->task.cfg);

	for (; ns->name; ns++)
		if (slice_is(nsp, ns->name))
			return ns;
	return NULL;
}

/* name NULL: none, which nobody handles. */
static const struct socket_event *find_event(const struct socket_namespace *ns, const char *name)
{
	if (!name)
		return NULL;
	for (const struct socket_event *const *table = ns->events; *table; table++)
		for (const struct socket_event *e = *table; e->name; e++)
			if (strcmp(e->name, name) == 0)
				return e;
	return NULL;
}

static void on_connect(struct socket_work *w, const struct packet *p, bool is_allowed)
{
	const struct socket_namespace *ns = find_namespace(w, p->nsp);

	if (!is_allowed && ++w->limited_n > LIMITED_ANSWERS_MAX)
		return;
	if (!ns)
		socket_refuse(w, p->nsp, "Invalid namespace", 0);
	else if (!is_allowed)
		socket_refuse(w, p->nsp, err_text(ERR_RATE_LIMITED), 429);
	else if (p->beyond)
		socket_refuse(w, p->nsp, "Invalid auth payload", 400);
	else
		ns->connect(w, p);
}

/* Past the session's rate. Who floods is told once in a POST, but for those who asked for an
 * acknowledgement. */
static void limit(struct socket_call *call)
{
	struct socket_work *w = call->work;

	if (call->packet->has_id && ++w->limited_n > LIMITED_ANSWERS_MAX)
		return;
	if (!call->packet->has_id && w->is_limit_told)
		return;
	w->is_limit_told = w->is_limit_told || !call->packet->has_id;
	fail(call, ERR_RATE_LIMITED, "rate_limited", "Too many events; send fewer a second.", 1);
}

/* Arguments that the client could send, and we cannot read. */
static void fail_beyond(struct socket_call *call)
{
	struct str text = STR_INIT;

	str_addf(&text, "The event cannot be read: %s.", call->packet->beyond);
	socket_fail(call, "bad_arguments", str_c(&text));
	str_fini(&text);
}

static void socket_handle(struct socket_call *call)
{
	const char *problem;

	if (call->event->perm || call->event->is_txn) {
		call->who = socket_who(call);
		if (!call->who)
			return;
		if (call->event->perm && !perm_has(call->who, call->event->perm)) {
			socket_fail_err(call, ERR_FORBIDDEN);
			return;
		}
		call->work->task.who = call->who;
	}
	problem = call->event->check ? call->event->check(call) : NULL;
	if (problem)
		socket_fail(call, "bad_arguments", problem);
	else if (call->event->is_txn)
		socket_txn_run(call);
	else
		call->event->handle(call);
	call->work->task.who = NULL;
}

static void tell_heard(const struct socket_call *call)
{
	const struct packet *p = call->packet;
	struct op op = {.type = OP_HEARD, .nsp = p->nsp};
	struct str hidden = STR_INIT;

	if (p->beyond || (call->event && call->event->is_secret)) {
		str_add_json(&hidden, p->name ? p->name : "");
		op.bytes = slice_str(&hidden);
	} else {
		op.bytes = p->inside;
	}
	if (!(call->work->state.flags & OPS_STATE_WATCHED))
		op.bytes.len = 0;
	ops_put(call->work->ops, &op);
	str_fini(&hidden);
}

static void on_event(
	struct socket_work *w, struct socket *k, const struct packet *p, bool is_allowed)
{
	struct socket_call call = {.work = w, .socket = k, .packet = p};

	w->events_n++;
	call.event = find_event(find_namespace(w, p->nsp), p->name);
	tell_heard(&call);
	if (!is_allowed) {
		limit(&call);
		return;
	}
	if (p->beyond) {
		fail_beyond(&call);
		return;
	}
	if (call.event) {
		socket_handle(&call);
		return;
	}
	figure_add(w->task.worker->app->stats, STAT_UNKNOWN_EVENTS, 1);
	socket_ack(&call, "{\"error\":{\"code\":\"unknown_event\"}}");
}

static void on_packet(struct socket_work *w, const struct packet *p, bool is_allowed)
{
	struct socket *k = find_socket(w, p->nsp);
	struct op op = {.type = OP_ACKED, .id = p->id};

	w->task.retry_s = 0;
	if (!k && p->type == PACKET_CONNECT)
		on_connect(w, p, is_allowed);
	else if (!k && p->type != PACKET_CONNECT_ERROR && has_left(w, p->nsp))
		return;
	else if (!k || p->type == PACKET_CONNECT || !find_namespace(w, p->nsp))
		w->why_bad = "a packet out of place";
	else if (p->type == PACKET_EVENT)
		on_event(w, k, p, is_allowed);
	else if (p->type == PACKET_DISCONNECT)
		leave(w, k);
	else if (p->has_id)
		ops_put(w->ops, &op);
}

/* ---- the walk over a POST ---- */

static void on_message(
	struct socket_work *w, struct packet_pending *pending, const struct payload_packet *message)
{
	enum packet_got got;
	struct packet p;
	bool is_allowed = w->allowed > 0;

	if (is_allowed)
		w->allowed--;
	if (message->is_binary)
		got = packet_feed_binary(pending, message->data, &p, &w->why_bad);
	else
		got = packet_feed_text(pending, message->data, &p, &w->why_bad);
	if (got != PACKET_WHOLE)
		return;
	on_packet(w, &p, is_allowed);
	packet_fini(&p);
}

/* Packets that need no handler are done in their place among those that do. */
static void walk(struct socket_work *w, struct packet_pending *pending)
{
	struct payload it = payload_of(slice_str(w->post->body));
	struct payload_packet packet;
	struct op op = {0};
	enum payload_got got = PAYLOAD_PACKET;

	while (op.type != OP_CLOSE && !w->why_bad &&
		(got = payload_next(&it, &packet, &w->why_bad)) == PAYLOAD_PACKET) {
		op.type = OP_N;
		if (packet.type == PAYLOAD_MESSAGE)
			on_message(w, pending, &packet);
		else if (packet.type == PAYLOAD_PONG)
			op.type = OP_PONG;
		else if (packet.type == PAYLOAD_CLOSE)
			op.type = OP_CLOSE;
		if (op.type != OP_N)
			ops_put(w->ops, &op);
	}
	payload_fini(&it);
}

/* Keeps what waits for attachments, or that nothing does any more. */
static void save_pending(struct socket_work *w, const struct packet_pending *pending)
{
	struct str saved = STR_INIT;
	struct op op = {.type = OP_PENDING};

	packet_pending_save(pending, &saved);
	op.bytes = slice_str(&saved);
	if (saved.len || w->state.pending.len)
		ops_put(w->ops, &op);
	str_fini(&saved);
}

static bool is_before(const struct socket_work *w, const struct ops_socket *k)
{
	return slice_is(k->nsp, "/") && (w->state.flags & OPS_STATE_HAS_BEFORE) &&
	       slice_same(k->socket_id, w->state.before.socket_id);
}

static void run(struct socket_work *w)
{
	struct packet_pending pending = {0};
	struct bytes subs = bytes_of(w->state.subs.p, w->state.subs.len);
	const char *why;

	for (size_t i = 0; i < w->state.sockets_n; i++)
		w->socks[w->socks_n++] = (struct socket){.nsp = w->state.sockets[i].nsp,
			.caller = w->state.sockets[i].caller,
			.is_before = is_before(w, &w->state.sockets[i])};
	w->allowed = w->state.events_allowed;
	/* As it was when this was looked at first: another one may have been done meanwhile. */
	if (!*w->post->number)
		*w->post->number = w->state.posts_n + 1;
	subs_get(&subs, &w->subs); /* no bytes: none */
	if (!packet_pending_load(&pending, w->state.pending, &why))
		log_error("socket", "what was kept of a packet is no good: %s", why);
	walk(w, &pending);
	if (!w->why_bad)
		save_pending(w, &pending);
	packet_pending_fini(&pending);
	for (size_t i = 0; i < w->socks_n; i++)
		principal_unref(w->socks[i].who);
	subs_fini(&w->subs);
}

bool socket_run(struct worker *worker, const struct socket_post *post, struct sync_post *rows)
{
	struct socket_work w = {
		.task = {.worker = worker,
			.cfg = &worker->settings->cfg,
			.db = worker->db,
			.shm = atomic_load(&worker->app->shm),
			.address = post->address,
			.request_id = post->request_id,
			.arrived_ms = post->arrived_ms},
		.post = post,
		.ops = rows->ops,
		.rows = rows,
	};
	struct op bad = {.type = OP_BAD};

	if (ops_state_get(slice_str(post->state), &w.state))
		run(&w);
	else
		w.why_bad = "its state cannot be read";
	if (!w.why_bad)
		return true;
	bad.code = slice_of(w.why_bad);
	str_clear(rows->ops);
	ops_put(rows->ops, &bad);
	return false;
}
