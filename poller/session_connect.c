#include "session_connect.h"

#include <stdio.h>
#include <string.h>

#include "clients.h"
#include "clock.h"
#include "hub.h"
#include "log.h"
#include "mem.h"
#include "observer.h"
#include "packets.h"
#include "session.h"
#include "session_auth.h"
#include "session_clock.h"
#include "session_poll.h"
#include "session_queue.h"
#include "session_record.h"
#include "session_store.h"
#include "session_wants.h"
#include "sessions.h"
#include "wait.h"

#define LIMIT_TEXT \
	"{\"message\":\"Connection limit reached\",\"data\":{\"code\":429,\"retry_after\":10}}"

/* What s gets from the session it goes on from, which ends. */
struct heritage {
	struct subs subs;
	struct strlist requested;
	struct packets events; /* that were queued for it, and may not have arrived */
	uint64_t acked, shown, shown_acked;
	bool is_known;
	int64_t tokens, tokens_ms;
};

static void inherit(struct heritage *h, struct session *from)
{
	h->subs = from->subs;
	h->requested = from->requested;
	from->subs = (struct subs){0};
	from->requested = (struct strlist){0};
	packets_move_events(&h->events, &from->inflight);
	packets_move_events(&h->events, &from->queue);
	session_weigh(from);
	h->acked = from->acked;
	h->shown = from->is_answered ? from->pace.shown : from->pace.acked;
	h->shown_acked = from->pace.acked;
	h->is_known = true;
	h->tokens = from->tokens;
	h->tokens_ms = from->tokens_ms;
	session_set_pid(from, NULL);
	if (from->state == SESSION_GONE) {
		store_forget(from);
		session_free(from);
	} else {
		session_drop(from, END_TAKEN_OVER);
	}
}

static bool queue_packet(struct session *s, char type, struct slice nsp, const struct str *json)
{
	struct str packet = STR_INIT;
	bool ok;

	str_addc(&packet, '4');
	str_addc(&packet, type);
	if (!slice_is(nsp, NSP_MAIN)) {
		str_add(&packet, nsp.p, nsp.len);
		str_addc(&packet, ',');
	}
	str_add(&packet, str_c(json), json->len);
	ok = session_queue(s, packet.p, packet.len);
	str_fini(&packet);
	return ok;
}

static bool refuse_connect(struct session *s, struct slice nsp)
{
	struct str json = STR_INIT;
	bool ok;

	figure_add(s->hub->figures, FIGURE_SESSIONS_REFUSED_USER, 1);
	str_adds(&json, LIMIT_TEXT);
	ok = queue_packet(s, '4', nsp, &json);
	str_fini(&json);
	return ok;
}

static bool session_connect_welcome(struct session *s, const struct op *op)
{
	struct str json = STR_INIT;
	bool ok;

	str_adds(&json, "{\"sid\":");
	str_add_json_n(&json, op->socket_id.p, op->socket_id.len);
	if (op->pid.len) {
		str_adds(&json, ",\"pid\":");
		str_add_json_n(&json, op->pid.p, op->pid.len);
	}
	str_addc(&json, '}');
	ok = queue_packet(s, '0', op->nsp, &json);
	str_fini(&json);
	return ok;
}

/* Where the event stream begins. A client that names an event of the last answer has got all of it,
 * and the paced views in it; one that goes on from elsewhere has got those up to that event. */
static void set_cursor(struct session *s, uint64_t named, const struct heritage *h)
{
	uint64_t cursor = named > h->acked ? named : h->acked, shown = cursor;

	if (h->is_known)
		shown = named > h->acked ? h->shown : h->shown_acked;
	session_begin_at(s, cursor, shown);
	if (!s->poll)
		return;
	wait_recall(s->poll);
	session_set_waiter(s);
}

bool session_connect(struct session *s, const struct op *op)
{
	struct sessions *ss = s->hub->sessions;
	bool is_main = slice_is(op->nsp, NSP_MAIN);
	struct caller *p = caller_new(&op->caller);
	unsigned char pid[SESSION_KEY_SIZE];
	struct heritage h = {.acked = 0};
	struct subs gone = {0};
	struct session *before;
	struct sock *k;
	bool ok;

	if (!tally_add_caller(&ss->hub->clients, p, ss->hub->cfg->socketio.max_per_user)) {
		caller_unref(p);
		return refuse_connect(s, op->nsp);
	}
	k = &s->socks[s->socks_n];
	*k = (struct sock){.nsp = slice_dup(op->nsp),
		.id = slice_dup(op->socket_id),
		.caller = p,
		.joined_wall_ms = clock_wall_ms(),
		.has_offsets = op->flags & OP_OFFSETS};
	if (!s->caller && p->user_id)
		s->caller = caller_ref(p);
	if (is_main && op->pid.len) {
		session_key(pid, op->pid);
		before = session_find_pid(ss, pid);
		if (before) {
			inherit(&h, before);
			s->tokens = h.tokens;
			s->tokens_ms = h.tokens_ms;
		} else if (op->bytes.len) {
			session_record_get_subs(op->bytes, &h.subs);
		}
		session_set_pid(s, pid);
		s->subs = h.subs;
		s->requested = h.requested;
	}
	s->socks_n++;
	if (is_main) {
		uint64_t from = op->id == OPS_FROM_NOW ? s->hub->tail : op->id;

		session_begin_rights(s, op->rights, &gone);
		set_cursor(s, from, &h);
		figure_add(
			ss->hub->figures, FIGURE_SESSIONS_RECOVERED, (op->flags & OP_RESUMES) != 0);
		if (!(op->flags & OP_RESUMES))
			session_begin_later(s);
	}
	s->connect_ms = 0;
	session_move(s, SESSION_JOINED);
	log_info("connect", "socket %s of %s in %s from %s%s", k->id,
		p->username[0] ? p->username : "nobody", k->nsp, s->address,
		op->flags & OP_RESUMES ? ", recovered" : "");
	store_session(s);
	session_recheck(s, k);
	ok = session_connect_welcome(s, op);
	if (ok && !packets_is_empty(&h.events))
		ok = session_queue_all(s, &h.events);
	packets_fini(&h.events);
	if (ok)
		ok = session_tell_gone(s, &gone, "revoked");
	subs_fini(&gone);
	if (ok) {
		observe_joined(s, k);
		session_wind(s);
	}
	return ok;
}
