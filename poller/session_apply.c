#include "session_apply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_command.h"
#include "body.h"
#include "clock.h"
#include "conn.h"
#include "group.h"
#include "hub.h"
#include "log.h"
#include "mem.h"
#include "observer.h"
#include "record.h"
#include "rights.h"
#include "ring.h"
#include "session.h"
#include "session_again.h"
#include "session_auth.h"
#include "session_clock.h"
#include "session_connect.h"
#include "session_over.h"
#include "session_poll.h"
#include "session_queue.h"
#include "session_show.h"
#include "session_store.h"
#include "session_trial.h"
#include "session_wants.h"
#include "sessions.h"
#include "shared.h"
#include "wait.h"

/* ---- LOOKUP ---- */

static uint16_t take_tokens(struct session *s, uint16_t wanted)
{
	int64_t rate = s->hub->cfg->socketio.events_per_s, now = clock_ms();
	int64_t allowed;

	s->tokens += (now - s->tokens_ms) * rate;
	s->tokens_ms = now;
	if (s->tokens > rate * 2000)
		s->tokens = rate * 2000;
	allowed = s->tokens / 1000 < wanted ? s->tokens / 1000 : wanted;
	s->tokens -= allowed * 1000;
	figure_add(s->hub->figures, FIGURE_RATE_LIMITED, (uint64_t)(wanted - allowed));
	return (uint16_t)allowed;
}

static void join(struct str *out, const struct strlist *l)
{
	for (size_t i = 0; i < l->n; i++) {
		if (i)
			str_addc(out, ',');
		str_adds(out, l->v[i]);
	}
}

/* Who has, or had, the pid. From where something was thrown away, or pruned, nobody goes on. */
static void add_before(struct ops_state *st, struct session *b, struct str *requested)
{
	struct sock *k = session_sock(b, slice_of(NSP_MAIN));
	bool has_lost = b->has_lost || wait_has_expired(b->hub, b->group, b->acked);

	if (!k)
		return;
	join(requested, &b->requested);
	st->flags |= OPS_STATE_HAS_BEFORE;
	st->before = (struct ops_before){.socket_id = slice_of(k->id),
		.caller = caller_view(k->caller),
		.cursor = has_lost ? UINT64_MAX : b->acked,
		.requested = {.p = str_c(requested), .len = requested->len}};
}

static struct session *session_apply_find(
	struct conn *c, uint64_t ticket, struct slice sid, uint64_t user)
{
	struct session *s = session_find(c->hub->sessions, sid);
	struct evbuffer *out = bufferevent_get_output(c->bev);

	if (!s)
		wire_put_done(out, ticket, WIRE_DONE_UNKNOWN, "");
	else if (!session_is_of(s, user))
		wire_put_done(out, ticket, WIRE_DONE_FORBIDDEN, "");
	else
		return s;
	return NULL;
}

void session_lookup(struct conn *c, const struct wire_frame *f, bool is_decided)
{
	struct asked now = asked_of(c, f->lookup.ticket, f->lookup.tag);
	struct session *s = session_apply_find(c, f->lookup.ticket, f->lookup.sid, f->lookup.user);
	unsigned char pid[SESSION_KEY_SIZE];
	struct str bytes = STR_INIT, requested = STR_INIT, subs = STR_INIT;
	struct ops_state st = {0};
	struct session *before;
	enum again again;

	if (!s)
		return;
	/* What was done is not even looked at again: its events may change more than the session.
	 */
	again = f->lookup.events ? session_again(s, &s->put, &now, f->lookup.flags & WIRE_IS_AGAIN)
				 : AGAIN_NO;
	if (again == AGAIN_PERHAPS && !is_decided) {
		doubts_add(c, f, f->lookup.ticket, session_lookup);
		return;
	}
	if (again == AGAIN_YES) {
		wire_put_done(bufferevent_get_output(c->bev), f->lookup.ticket, WIRE_DONE_OK, "");
		return;
	}
	st.flags = observers_are_watched(c->hub->observers) ? OPS_STATE_WATCHED : 0;
	st.posts_n = s->posts_n;
	st.events_allowed = take_tokens(s, f->lookup.events);
	st.caller = caller_view(s->caller);
	for (size_t i = 0; i < s->socks_n; i++)
		st.sockets[i] = (struct ops_socket){.nsp = slice_of(s->socks[i].nsp),
			.socket_id = slice_of(s->socks[i].id),
			.caller = caller_view(s->socks[i].caller)};
	st.sockets_n = s->socks_n;
	st.pending = (struct slice){.p = str_c(&s->pending), .len = s->pending.len};
	if (s->subs.n) {
		subs_put(&subs, &s->subs);
		st.subs = (struct slice){subs.p, subs.len};
	}
	if (f->lookup.pid.len) {
		session_key(pid, f->lookup.pid);
		before = session_find_pid(c->hub->sessions, pid);
		if (before)
			add_before(&st, before, &requested);
		else if (sessions_is_over(c->hub->sessions, pid))
			st.flags |= OPS_STATE_OVER;
	}
	ops_state_put(&bytes, &st);
	wire_put_session(bufferevent_get_output(c->bev), f->lookup.ticket, &bytes);
	str_fini(&bytes);
	str_fini(&requested);
	str_fini(&subs);
}

/* ---- EMIT ---- */

static void remember_request(struct session *s, struct slice topic)
{
	char *name = slice_dup(topic);

	if (!strlist_has(&s->requested, name) && s->requested.n < OPS_REQUESTED_MAX) {
		strlist_add(&s->requested, name, topic.len);
		figure_add(s->hub->figures, FIGURE_SUBSCRIPTIONS, 1);
		store_session(s);
	}
	free(name);
}

/* The client's copy of the topic is now as of event `at`, but it has had all events up to its
 * cursor: those in between are told again; if the cursor is behind, those up to `at` never. */
static bool catch_up(struct session *s, struct slice topic, uint64_t at)
{
	const struct ring *ring = &s->hub->ring;
	uint64_t cursor = session_cursor(s);
	struct body *b;
	bool ok = true;

	if (cursor < at) {
		session_skip(s, topic, false, at);
		return true;
	}
	b = body_new(WIRE_SOCKET, s->hub->epoch);
	for (size_t i = ring_after(ring, at); i < ring->n; i++) {
		struct record *r = ring_at(ring, i);

		if (r->item.id > cursor)
			break;
		if (slice_is(topic, r->topic) && record_is_row(r) &&
			group_wants_by_right(s->group, r))
			body_add(b, r);
	}
	if (b->n)
		ok = session_queue(s, evbuffer_pullup(b->buf, -1), evbuffer_get_length(b->buf));
	body_put(b);
	return ok;
}

/* It was answered by rights that we have not been told of: what it follows is judged by the same.
 * They may as well be the older ones, so the database says which ones count. false: s was closed.
 */
static bool follow(struct session *s, const struct op *op)
{
	struct slice known = rights_bytes(s->rights);
	struct sock *k = session_sock(s, slice_of(NSP_MAIN));

	if (!op->rights.len ||
		(known.len == op->rights.len && memcmp(known.p, op->rights.p, known.len) == 0))
		return true;
	if (!session_set_rights(s, op->rights))
		return false;
	session_ask_rights(s, k);
	return true;
}

static bool emit(struct session *s, const struct op *op)
{
	struct sock *k = session_sock(s, op->nsp);
	uint64_t offset = session_cursor(s);

	if (!k)
		return true; /* its CONNECT was refused */
	if ((op->flags & OP_SYNC) && op->id < offset)
		offset = op->id;
	if (op->bytes.len && !session_emit(s, k, op->bytes, offset, op->flags & OP_WANTS_ACK))
		return false;
	if (!(op->flags & OP_SYNC))
		return true;
	if (!follow(s, op))
		return false;
	remember_request(s, op->topic);
	if (!catch_up(s, op->topic, op->id))
		return false;
	session_listed(s);
	return true;
}

/* session_trial() has found the rows. */
static bool rows(struct session *s, const struct op *op)
{
	struct sock *k = session_sock(s, (struct slice){NSP_MAIN, 1});
	struct shared *body = shared_find(&s->hub->pool, op->bytes);
	uint64_t offset = session_cursor(s);

	if (!k)
		return true; /* its CONNECT was refused */
	if (!session_emit_rows(s, k, body, op->id < offset ? op->id : offset, op->topic))
		return false;
	if (!follow(s, op))
		return false;
	remember_request(s, op->topic);
	return catch_up(s, op->topic, op->id);
}

/* ---- APPLY ---- */

/* false: s was closed. */
static bool identity(struct session *s, const struct op *op)
{
	struct sock *k = session_sock(s, op->nsp);
	struct caller *p;

	if (!k || !sock_is_of(k, &op->caller))
		return true;
	p = caller_new(&op->caller);
	if (s->caller == k->caller) {
		caller_unref(s->caller);
		s->caller = caller_ref(p);
	}
	caller_unref(k->caller);
	k->caller = p;
	k->is_warned = false;
	store_session(s);
	session_recheck(s, k);
	session_wind(s);
	return !sock_is_main(k) || session_set_rights(s, op->rights);
}

/* The rights may have been lost when this was on its way: session_recheck(). */
static bool subscribe(struct session *s, const struct op *op)
{
	struct sock *k = session_sock(s, slice_of(NSP_MAIN));
	struct bytes b = bytes_of(op->bytes.p, op->bytes.len);
	struct subs asked;
	bool is_alive = true;

	if (!k || !subs_get(&b, &asked))
		return true;
	if (op->type == OP_UNSUBSCRIBE) {
		session_unsubscribe(s, &asked);
	} else {
		is_alive = follow(s, op) && session_subscribe(s, &asked);
		if (is_alive)
			session_recheck(s, k);
	}
	subs_fini(&asked);
	return is_alive;
}

static bool pause_or_resume(struct session *s, const struct op *op)
{
	struct bytes b = bytes_of(op->bytes.p, op->bytes.len);
	bool is_alive = true;
	struct subs view;

	if (!session_sock(s, slice_of(NSP_MAIN)) || !subs_get(&b, &view))
		return true;
	for (size_t i = 0; is_alive && i < view.n; i++) {
		if (op->type == OP_PAUSE)
			session_pause(s, &view.v[i], op->id);
		else
			is_alive = session_resume(s, &view.v[i], op->id);
	}
	subs_fini(&view);
	return is_alive;
}

static void heard(struct session *s, const struct op *op)
{
	struct sock *k = session_sock(s, op->nsp);

	s->heard_n++;
	figure_add(s->hub->figures, FIGURE_MESSAGES_RECEIVED, 1);
	if (k)
		observe_heard(s, k, op->bytes);
}

/* The command may be about the one it came from. */
static bool session_apply_command(struct session *s, const struct op *op)
{
	struct sessions *ss = s->hub->sessions;
	uint32_t num = s->num;

	admin_command(ss, op);
	return ss->slots[num] == s && s->state == SESSION_JOINED;
}

/* false: s is closed, and may be gone. */
static bool run(struct session *s, const struct op *op)
{
	struct sock *k;

	switch (op->type) {
	case OP_PONG:
		session_pong(s);
		return true;
	case OP_LOST:
		/* One byte can only have been a pong. Whatever else it was, the client has to know
		 * that it was lost. */
		if (op->id == 1) {
			session_pong(s);
			return true;
		}
		session_close(s, END_TRANSPORT_ERROR);
		return false;
	case OP_CLOSE:
		session_leave_off(s);
		return false;
	case OP_BAD:
		log_info("bad_packet", "session %s: %.*s", s->client_id, (int)op->code.len,
			op->code.p);
		session_drop(s, END_PARSE_ERROR);
		return false;
	case OP_CONNECT:
		return session_connect(s, op);
	case OP_DISCONNECT:
		k = session_sock(s, op->nsp);
		if (k)
			session_leave(s, k, END_CLIENT_DISCONNECT);
		store_session(s);
		return true;
	case OP_SEND:
		return session_queue(s, op->bytes.p, op->bytes.len);
	case OP_EMIT:
		return emit(s, op);
	case OP_ROWS:
		return rows(s, op);
	case OP_IDENTITY:
		return identity(s, op);
	case OP_END:
		k = session_sock(s, op->nsp);
		if (k) {
			char *code = slice_dup(op->code), *message = slice_dup(op->message);

			session_end(s, k, code, message);
			free(code);
			free(message);
		}
		return !k;
	case OP_PENDING:
		str_clear(&s->pending);
		str_add(&s->pending, op->bytes.p, op->bytes.len);
		session_weigh(s);
		store_pending(s);
		return true;
	case OP_HEARD:
		heard(s, op);
		return true;
	case OP_ACKED:
		figure_add(s->hub->figures, FIGURE_ACKNOWLEDGED, 1);
		return true;
	case OP_ADMIN:
		return session_apply_command(s, op);
	case OP_SUBSCRIBE:
	case OP_UNSUBSCRIBE:
		return subscribe(s, op);
	case OP_PAUSE:
	case OP_RESUME:
		return pause_or_resume(s, op);
	case OP_N:
		break;
	}
	return true;
}

/* To one that is closed nothing is done any more; but its client may have understood. */
static void apply_closing(struct session *s, struct bytes *ops)
{
	struct op op;

	while (ops_next(ops, &op)) {
		if (op.type != OP_CLOSE)
			continue;
		session_drop(s, END_TRANSPORT_CLOSE);
		return;
	}
}

static enum wire_done apply(struct session *s, const struct asked *now, struct slice ops)
{
	struct bytes b = bytes_of(ops.p, ops.len);
	enum wire_done what;
	bool is_alive = true;
	struct op op;

	if (s->state == SESSION_CLOSING) {
		apply_closing(s, &b);
		return WIRE_DONE_OK;
	}
	what = session_trial(s, ops);
	if (what == WIRE_DONE_BAD)
		session_close(s, END_PARSE_ERROR);
	if (what != WIRE_DONE_OK)
		return what;
	session_note_tag(s, now->tag);
	s->put = *now;
	s->posts_n++;
	store_applied(s);
	while (is_alive && ops_next(&b, &op)) {
		if (op.type == OP_LOST && op.id != 1)
			what = WIRE_DONE_BAD;
		is_alive = run(s, &op);
	}
	if (is_alive)
		session_flush(s);
	return what;
}

/* What is found stays until it is used: room may be made for what comes before it. */
static void borrow_rows(struct conn *c, struct slice ops)
{
	struct bytes b = bytes_of(ops.p, ops.len);
	struct op op;

	while (ops_next(&b, &op))
		if (op.type == OP_ROWS)
			conn_borrow(c, shared_find(&c->hub->pool, op.bytes));
}

void session_apply(struct conn *c, const struct wire_frame *f, bool is_decided)
{
	struct asked now = asked_of(c, f->apply.ticket, f->apply.tag);
	struct session *s = session_apply_find(c, f->apply.ticket, f->apply.sid, f->apply.user);
	enum wire_done what = WIRE_DONE_OK;
	enum again again;

	if (!s)
		return;
	again = session_again(s, &s->put, &now, f->apply.flags & WIRE_IS_AGAIN);
	if (again == AGAIN_PERHAPS && !is_decided) {
		doubts_add(c, f, f->apply.ticket, session_apply);
		return;
	}
	borrow_rows(c, f->apply.ops);
	if (again != AGAIN_YES)
		what = apply(s, &now, f->apply.ops);
	conn_return(c);
	wire_put_done(bufferevent_get_output(c->bev), f->apply.ticket, what, "");
}
