#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "clients.h"
#include "clock.h"
#include "config.h"
#include "grave.h"
#include "hub.h"
#include "log.h"
#include "mem.h"
#include "observer.h"
#include "packets.h"
#include "rights.h"
#include "secret.h"
#include "session_clock.h"
#include "session_over.h"
#include "session_poll.h"
#include "session_queue.h"
#include "session_store.h"
#include "session_wants.h"
#include "sessions.h"
#include "wait.h"

void session_key(unsigned char key[SESSION_KEY_SIZE], struct slice id)
{
	secret_hash_short(key, id.p, id.len);
}

void session_set_pid(struct session *s, const unsigned char pid[SESSION_KEY_SIZE])
{
	struct sessions *ss = s->hub->sessions;

	if (s->has_pid)
		HASH_DELETE(hh_pid, ss->by_pid, s);
	s->has_pid = pid != NULL;
	if (!pid)
		return;
	memcpy(s->pid, pid, SESSION_KEY_SIZE);
	HASH_ADD(hh_pid, ss->by_pid, pid, SESSION_KEY_SIZE, s);
}

bool session_is_of(const struct session *s, uint64_t user)
{
	return !user || !s->caller || s->caller->user_id == user;
}

struct sock *session_sock(struct session *s, struct slice nsp)
{
	for (size_t i = 0; i < s->socks_n; i++)
		if (slice_is(nsp, s->socks[i].nsp))
			return &s->socks[i];
	return NULL;
}

bool sock_is_main(const struct sock *k)
{
	return strcmp(k->nsp, NSP_MAIN) == 0;
}

uint32_t sock_tenant(const struct sock *k)
{
	return k->caller ? k->caller->tenant_id : 0;
}

/* ---- states ---- */

static void unlist(struct session *s)
{
	struct sessions *ss = s->hub->sessions;

	TAILQ_REMOVE(&ss->lists[s->state], s, entry);
	ss->n[s->state]--;
}

static void enlist(struct session *s, enum session_state state)
{
	struct sessions *ss = s->hub->sessions;

	s->state = state;
	TAILQ_INSERT_TAIL(&ss->lists[state], s, entry);
	ss->n[state]++;
}

void session_move(struct session *s, enum session_state state)
{
	if (s->state == state)
		return;
	unlist(s);
	enlist(s, state);
}

static uint32_t take_slot(struct sessions *ss, uint32_t num)
{
	if (num == SESSION_ANY_NUM) {
		num = (uint32_t)ss->slots_free;
		while (num < ss->slots_n && ss->slots[num])
			num++;
		ss->slots_free = num + 1;
	}
	if (num >= ss->slots_n) {
		size_t n = num < 64 ? 128 : (size_t)num * 2;

		ss->slots = xreallocarray(ss->slots, n, sizeof(struct session *));
		memset(ss->slots + ss->slots_n, 0, (n - ss->slots_n) * sizeof(struct session *));
		ss->slots_n = n;
	}
	return num;
}

static void leave_group(struct session *s)
{
	if (!s->group)
		return;
	TAILQ_REMOVE(&s->group->members, s, member_entry);
	s->group->waiters_n--;
}

void session_enter(struct session *s, struct group *g)
{
	leave_group(s);
	s->group = g;
	TAILQ_INSERT_TAIL(&g->members, s, member_entry);
	g->waiters_n++;
}

struct session *session_new(
	struct sessions *ss, const unsigned char key[SESSION_KEY_SIZE], uint32_t num)
{
	struct session *s = xcalloc(1, sizeof(*s));

	s->hub = ss->hub;
	s->num = take_slot(ss, num);
	ss->slots[s->num] = s;
	memcpy(s->key, key, SESSION_KEY_SIZE);
	HASH_ADD(hh, ss->by_key, key, SESSION_KEY_SIZE, s);
	enlist(s, SESSION_OPEN);
	session_enter(s, ss->nothing);
	s->tokens = s->hub->cfg->socketio.events_per_s * 2000;
	s->tokens_ms = clock_ms();
	evtimer_assign(&s->timer, ss->hub->base, session_on_timer, s);
	return s;
}

static void skips_fini(struct session *s)
{
	for (size_t i = 0; i < s->skips_n; i++)
		free(s->skips[i].topic);
	free(s->skips);
	s->skips = NULL;
	s->skips_n = 0;
}

static void sock_fini(struct sock *k)
{
	free(k->nsp);
	free(k->id);
	caller_unref(k->caller);
}

/* What only a living session needs. */
static void shed(struct session *s)
{
	skips_fini(s);
	str_fini(&s->pending);
	session_weigh(s);
	free(s->about);
	s->about = NULL;
}

static void destroy(void *arg)
{
	struct session *s = arg;

	skips_fini(s);
	for (size_t i = 0; i < s->socks_n; i++)
		sock_fini(&s->socks[i]);
	caller_unref(s->caller);
	subs_fini(&s->subs);
	strlist_fini(&s->requested);
	str_fini(&s->pending);
	free(s->client_id);
	free(s->address);
	free(s->about);
	free(s);
}

void session_free(struct session *s)
{
	struct sessions *ss = s->hub->sessions;

	session_uncount(s);
	if (s->poll)
		wait_end(s->poll);
	evtimer_del(&s->timer);
	unlist(s);
	ss->slots[s->num] = NULL;
	if (s->num < ss->slots_free)
		ss->slots_free = s->num;
	if (s->state != SESSION_GONE)
		HASH_DEL(ss->by_key, s);
	session_set_pid(s, NULL);
	if (s->is_dirty)
		TAILQ_REMOVE(&ss->dirty, s, dirty_entry);
	packets_fini(&s->queue);
	packets_fini(&s->inflight);
	str_fini(&s->pending);
	session_weigh(s);
	rights_put(&ss->rights, s->rights);
	leave_group(s);
	grave_add(&s->hub->grave, s, destroy);
}

/* ---- the beginning ---- */

static bool session_make_room(struct sessions *ss)
{
	const struct config *cfg = ss->hub->cfg;

	while (sessions_live_n(ss) >= (size_t)cfg->socketio.max_sessions)
		if (!sessions_evict(ss))
			return false;
	if (ss->n[SESSION_OPEN] >= (size_t)cfg->socketio.max_pending)
		sessions_evict(ss);
	return clients_make_room(&ss->hub->clients, cfg->poller.max_clients);
}

enum wire_done session_open(struct sessions *ss, const struct wire_frame *f, const char **why)
{
	const struct config *cfg = ss->hub->cfg;
	struct bytes b = bytes_of(f->open.caller.p, f->open.caller.len);
	struct caller_view caller = caller_get(&b);
	unsigned char key[SESSION_KEY_SIZE], id[9];
	struct session *s = session_find(ss, f->open.sid);
	char *address;

	/* The same handshake again: its answer was lost with a poller or a connection. */
	if (s)
		return s->state == SESSION_OPEN ? WIRE_DONE_OK : WIRE_DONE_BAD;
	*why = "Connection limit reached";
	address = slice_dup(f->open.address);
	if (!tally_add(&ss->hub->clients, 'a', address, cfg->socketio.max_per_address)) {
		free(address);
		figure_add(ss->hub->figures, FIGURE_SESSIONS_REFUSED_ADDRESS, 1);
		return WIRE_DONE_LIMIT;
	}
	if (!session_make_room(ss)) {
		tally_drop(&ss->hub->clients, 'a', address);
		free(address);
		figure_add(ss->hub->figures, FIGURE_SESSIONS_REFUSED_HOST, 1);
		return WIRE_DONE_LIMIT;
	}
	session_key(key, f->open.sid);
	s = session_new(ss, key, SESSION_ANY_NUM);
	s->address = address;
	s->answer_packets = f->open.packets;
	s->about = slice_dup(f->open.about);
	s->opened_wall_ms = clock_wall_ms();
	if (f->open.caller.len && !b.is_bad)
		s->caller = caller_new(&caller);
	secret_random(id, sizeof(id));
	s->client_id = xmalloc(2 * sizeof(id) + 1);
	secret_hex(s->client_id, id, sizeof(id));
	s->connect_ms = clock_ms() + cfg->socketio.connect_timeout_ms;
	s->ping_ms = clock_ms() + cfg->socketio.ping_interval_ms;
	session_begin_at(s, ss->hub->tail, ss->hub->tail);
	session_wind(s);
	store_session(s);
	figure_add(ss->hub->figures, FIGURE_SESSIONS_OPENED, 1);
	log_debug("connect", "session %s from %s", s->client_id, s->address);
	return WIRE_DONE_OK;
}

/* ---- the end ---- */

const char *session_end_text(enum session_end how)
{
	static const char *const texts[END_N] = {
		[END_PING_TIMEOUT] = "ping timeout",
		[END_TRANSPORT_CLOSE] = "transport close",
		[END_TRANSPORT_ERROR] = "transport error",
		[END_PARSE_ERROR] = "parse error",
		[END_FORCED_CLOSE] = "forced server close",
		[END_SERVER_DISCONNECT] = "server namespace disconnect",
		[END_CLIENT_DISCONNECT] = "client namespace disconnect",
		[END_CONNECT_TIMEOUT] = "connect timeout",
		[END_TAKEN_OVER] = "transport close",
	};

	return texts[how];
}

const char *session_end_name(enum session_end how)
{
	static const char *const names[END_N] = {
		[END_PING_TIMEOUT] = "ping_timeout",
		[END_TRANSPORT_CLOSE] = "transport_close",
		[END_TRANSPORT_ERROR] = "transport_error",
		[END_PARSE_ERROR] = "parse_error",
		[END_FORCED_CLOSE] = "forced_close",
		[END_SERVER_DISCONNECT] = "server_disconnect",
		[END_CLIENT_DISCONNECT] = "client_disconnect",
		[END_CONNECT_TIMEOUT] = "connect_timeout",
		[END_TAKEN_OVER] = "taken_over",
	};

	return names[how];
}

/* The client may come back to what was lost against its will. */
static bool may_return(enum session_end how)
{
	return how == END_PING_TIMEOUT || how == END_TRANSPORT_CLOSE ||
	       how == END_TRANSPORT_ERROR || how == END_FORCED_CLOSE;
}

/* What hung on a socket that will not come back. */
static void forget_wishes(struct session *s)
{
	subs_fini(&s->subs);
	strlist_fini(&s->requested);
	skips_fini(s);
}

void session_leave(struct session *s, struct sock *k, enum session_end how)
{
	struct sessions *ss = s->hub->sessions;
	observe_left(s, k, how);
	log_info("disconnect", "socket %s of %s in %s: %s", k->id,
		k->caller ? k->caller->username : "nobody", k->nsp, session_end_text(how));
	tally_drop_caller(&ss->hub->clients, k->caller);
	if (strcmp(k->nsp, NSP_MAIN) == 0) {
		s->begin_ms = 0;
		s->cursor = session_cursor(s);
		if (s->poll)
			s->pace.shown = wait_shown(s->poll, s->cursor);
		session_end_rights(s);
		if (!may_return(how)) {
			session_over(s);
			forget_wishes(s);
		}
	}
	if (may_return(how) && k->has_offsets)
		return; /* whoever comes back wants to know whose it was */
	sock_fini(k);
	*k = s->socks[--s->socks_n];
}

/* The sockets leave. That of "/" stays in the list if its client may come back. */
static void leave_all(struct session *s, enum session_end how)
{
	for (size_t i = s->socks_n; i-- > 0;)
		session_leave(s, &s->socks[i], how);
}

void session_become_gone(struct session *s)
{
	struct sessions *ss = s->hub->sessions;

	HASH_DEL(ss->by_key, s);
	tally_drop(&ss->hub->clients, 'a', s->address);
	evtimer_del(&s->timer);
	s->ended_ms = clock_ms();
	session_move(s, SESSION_GONE);
	if (s->has_pid && s->hub->cfg->socketio.recovery_ms > 0) {
		shed(s);
		store_session(s);
		/* As many may come back as could have been here. */
		if (ss->n[SESSION_GONE] <= (size_t)s->hub->cfg->socketio.max_sessions)
			return;
		s = TAILQ_FIRST(&ss->lists[SESSION_GONE]);
	}
	store_forget(s);
	session_free(s);
}

static void end_life(struct session *s, enum session_end how)
{
	struct sessions *ss = s->hub->sessions;

	s->end = how;
	s->begin_ms = 0;
	if (s->state == SESSION_OPEN || s->state == SESSION_JOINED) {
		figure_add(ss->hub->figures, FIGURE_ENDED + how, 1);
		leave_all(s, how);
	}
}

void session_drop(struct session *s, enum session_end how)
{
	end_life(s, how);
	if (s->poll)
		session_reply(s, how == END_TRANSPORT_CLOSE ? "6" : "1");
	session_become_gone(s);
}

void session_close(struct session *s, enum session_end how)
{
	if (s->state == SESSION_CLOSING)
		return;
	end_life(s, how);
	session_move(s, SESSION_CLOSING);
	s->ping_ms = s->pong_ms = s->connect_ms = 0;
	s->close_ms = clock_ms() + SESSION_CLOSE_WAIT_MS;
	store_session(s);
	if (s->poll)
		session_flush(s);
	else
		session_wind(s);
}

void session_leave_off(struct session *s)
{
	if (s->poll) {
		session_drop(s, END_TRANSPORT_CLOSE);
		return;
	}
	end_life(s, END_TRANSPORT_CLOSE);
	session_move(s, SESSION_CLOSING);
	s->ping_ms = s->pong_ms = s->connect_ms = 0;
	s->close_ms = clock_ms() + SESSION_LATE_GET_MS;
	store_session(s);
	session_wind(s);
}

/* ---- another log ---- */

/* What is on its way to it is of a log that is no more. */
void session_begin_anew(struct session *s)
{
	static const struct slice main_nsp = {NSP_MAIN, 1};
	bool follows = s->state == SESSION_JOINED && session_sock(s, main_nsp);

	session_begin_at(s, s->hub->tail, s->hub->tail);
	skips_fini(s);
	if (follows || s->state == SESSION_GONE)
		s->has_lost = true;
	if (follows) {
		session_throw_away(s);
		s->is_answered = false;
		session_close(s, END_FORCED_CLOSE);
	}
}
