#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "secret.h"

#define CLOSE_WAIT_MS 30000 /* how long a closed session waits for the GET that is told of it */
#define LATE_GET_MS 1000    /* how long a GET may take that its client sent before it closed */
#define NSP_MAIN "/"

/* ---- finding ---- */

void session_key(unsigned char key[SESSION_KEY_SIZE], struct slice id)
{
	secret_hash_short(key, id.p, id.len);
}

struct session *session_find(struct sessions *ss, struct slice sid)
{
	unsigned char key[SESSION_KEY_SIZE];
	struct session *s;

	session_key(key, sid);
	HASH_FIND(hh, ss->by_key, key, SESSION_KEY_SIZE, s);
	return s;
}

struct session *session_find_pid(struct sessions *ss, const unsigned char pid[SESSION_KEY_SIZE])
{
	struct session *s;

	HASH_FIND(hh_pid, ss->by_pid, pid, SESSION_KEY_SIZE, s);
	return s;
}

struct session *sessions_next(const struct sessions *ss, uint32_t *num)
{
	while (*num < ss->slots_n) {
		struct session *s = ss->slots[(*num)++];

		if (s && s->state != SESSION_GONE)
			return s;
	}
	return NULL;
}

size_t sessions_live_n(const struct sessions *ss)
{
	return ss->n[SESSION_OPEN] + ss->n[SESSION_JOINED];
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
	return !user || !s->person || s->person->user_id == user;
}

struct sock *session_sock(struct session *s, struct slice nsp)
{
	for (size_t i = 0; i < s->socks_n; i++)
		if (slice_is(nsp, s->socks[i].nsp))
			return &s->socks[i];
	return NULL;
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

static void on_timer(evutil_socket_t fd, short what, void *arg);

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
	s->group = ss->nothing;
	s->group->waiters_n++;
	s->tokens = s->hub->cfg->socketio.events_per_s * 2000;
	s->tokens_ms = clock_ms();
	evtimer_assign(&s->timer, ss->hub->base, on_timer, s);
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
	person_put(k->person);
}

/* What only a living session needs. */
static void shed(struct session *s)
{
	session_set_group(s, s->hub->sessions->nothing);
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
	person_put(s->person);
	strlist_fini(&s->joined);
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
	s->group->waiters_n--;
	grave_add(&s->hub->grave, s, destroy);
}

/* ---- the beginning ---- */

bool sessions_evict(struct sessions *ss)
{
	struct session *s = TAILQ_FIRST(&ss->lists[SESSION_OPEN]);

	if (!s)
		return false;
	ss->stats.evicted++;
	session_drop(s, END_CONNECT_TIMEOUT);
	return true;
}

static bool make_room(struct sessions *ss)
{
	const struct config *cfg = ss->hub->cfg;

	while (sessions_live_n(ss) >= (size_t)cfg->socketio.max_sessions)
		if (!sessions_evict(ss))
			return false;
	if (ss->n[SESSION_OPEN] >= (size_t)cfg->socketio.max_pending)
		sessions_evict(ss);
	return hub_make_room(ss->hub);
}

enum wire_done session_open(struct sessions *ss, const struct wire_frame *f, const char **why)
{
	const struct config *cfg = ss->hub->cfg;
	struct bytes b = bytes_of(f->open.caller.p, f->open.caller.len);
	struct ops_caller caller = ops_caller_get(&b);
	unsigned char key[SESSION_KEY_SIZE], id[9];
	struct session *s = session_find(ss, f->open.sid);
	char *address;

	/* The same handshake again: its answer was lost with a poller or a connection. */
	if (s)
		return s->state == SESSION_OPEN ? WIRE_DONE_OK : WIRE_DONE_BAD;
	*why = "Connection limit reached";
	address = slice_dup(f->open.address);
	if (!tally_add(ss, 'a', address, cfg->socketio.max_per_address)) {
		free(address);
		ss->stats.refused++;
		return WIRE_DONE_LIMIT;
	}
	if (!make_room(ss)) {
		tally_drop(ss, 'a', address);
		free(address);
		ss->stats.refused++;
		return WIRE_DONE_LIMIT;
	}
	session_key(key, f->open.sid);
	s = session_new(ss, key, SESSION_ANY_NUM);
	s->address = address;
	s->answer_packets = f->open.packets;
	s->about = slice_dup(f->open.about);
	s->opened_wall_ms = clock_wall_ms();
	if (f->open.caller.len && !b.is_bad)
		s->person = person_new(&caller);
	secret_random(id, sizeof(id));
	s->client_id = xmalloc(2 * sizeof(id) + 1);
	secret_hex(s->client_id, id, sizeof(id));
	s->connect_ms = clock_ms() + cfg->socketio.connect_timeout_ms;
	s->ping_ms = clock_ms() + cfg->socketio.ping_interval_ms;
	s->acked = s->cursor = ss->hub->tail;
	session_wind(s);
	store_session(s);
	ss->stats.opened++;
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
	strlist_fini(&s->joined);
	strlist_fini(&s->requested);
	skips_fini(s);
}

void session_leave(struct session *s, struct sock *k, enum session_end how)
{
	struct sessions *ss = s->hub->sessions;
	char user[24];

	admin_left(s, k, how);
	log_info("disconnect", "socket %s of %s in %s: %s", k->id,
		k->person ? k->person->username : "nobody", k->nsp, session_end_text(how));
	if (k->person && k->person->user_id) {
		snprintf(user, sizeof(user), "%llu", (unsigned long long)k->person->user_id);
		tally_drop(ss, 'u', user);
	}
	if (strcmp(k->nsp, NSP_MAIN) == 0) {
		s->begin_ms = 0;
		s->cursor = session_cursor(s);
		session_set_group(s, ss->nothing);
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
	tally_drop(ss, 'a', s->address);
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
		ss->stats.closed[how]++;
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
	s->close_ms = clock_ms() + CLOSE_WAIT_MS;
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
	s->close_ms = clock_ms() + LATE_GET_MS;
	store_session(s);
	session_wind(s);
}

/* ---- time ---- */

static int64_t earlier(int64_t a, int64_t b)
{
	return b && b < a ? b : a;
}

void session_wind(struct session *s)
{
	int64_t now = clock_ms(), at = INT64_MAX, left;
	struct timeval tv;

	at = earlier(at, s->pong_ms ? s->pong_ms : s->ping_ms);
	at = earlier(at, s->connect_ms);
	at = earlier(at, s->close_ms);
	at = earlier(at, s->begin_ms == SESSION_BEGIN_LATER ? 0 : s->begin_ms);
	at = earlier(at, session_token_ms(s, now));
	/* A timer that fires early looks again; so later deadlines cost nothing. */
	if (at == INT64_MAX || (evtimer_pending(&s->timer, NULL) && s->timer_ms <= at))
		return;
	s->timer_ms = at;
	left = at > now ? at - now : 0;
	tv = (struct timeval){.tv_sec = left / 1000, .tv_usec = (left % 1000) * 1000};
	evtimer_add(&s->timer, &tv);
}

bool session_is_overdue(struct session *s, int64_t now)
{
	if (!s->pong_ms || now < s->pong_ms)
		return false;
	if (!hub_has_stalled(s->hub, now))
		return true;
	s->pong_ms = now + s->hub->cfg->socketio.ping_timeout_ms;
	return false;
}

/* Its client waits for the next ping from when it got the last one, whenever we heard of that. */
void session_pong(struct session *s)
{
	int64_t now = clock_ms(), next = s->ping_ms + s->hub->cfg->socketio.ping_interval_ms;

	if (!s->pong_ms)
		return;
	s->pong_ms = 0;
	s->ping_ms = next > now ? next : now;
	store_clocks(s);
	session_wind(s);
}

static void ping(struct session *s, int64_t now)
{
	if (!s->pong_ms && s->ping_ms && now >= s->ping_ms) {
		/* From when it was due: who is late is not later for a busy server. */
		s->pong_ms = s->ping_ms + s->hub->cfg->socketio.ping_timeout_ms;
		store_clocks(s);
		if (!session_queue(s, "2", 1))
			return;
		session_flush(s);
	}
	session_wind(s);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	struct sessions *ss = s->hub->sessions;
	int64_t now = clock_ms();

	if (s->close_ms && now >= s->close_ms) {
		session_drop(s, s->end);
	} else if (s->connect_ms && now >= s->connect_ms) {
		session_close(s, END_CONNECT_TIMEOUT);
	} else if (session_is_overdue(s, now)) {
		session_drop(s, END_PING_TIMEOUT);
	} else if (s->begin_ms && now >= s->begin_ms) {
		session_begin(s);
	} else if (session_check_tokens(s, now)) {
		ping(s, now);
	}
	store_flush(ss);
}

void sessions_tick(struct sessions *ss, int64_t now)
{
	int64_t recovery_ms = ss->hub->cfg->socketio.recovery_ms;
	struct session *s;

	while ((s = TAILQ_FIRST(&ss->lists[SESSION_GONE])) && now - s->ended_ms > recovery_ms) {
		store_forget(s);
		session_free(s);
	}
	sessions_over_tick(ss, now);
	store_tick(ss, now);
	admin_tick(ss->admin, now);
	store_flush(ss);
}

/* ---- another log ---- */

/* What is on its way to it is of a log that is no more. */
static void begin_anew(struct session *s)
{
	static const struct slice main_nsp = {NSP_MAIN, 1};
	bool follows = s->state == SESSION_JOINED && session_sock(s, main_nsp);

	s->acked = s->cursor = s->hub->tail;
	skips_fini(s);
	if (follows || s->state == SESSION_GONE)
		s->has_lost = true;
	if (follows) {
		session_throw_away(s);
		s->is_answered = false;
		session_close(s, END_FORCED_CLOSE);
	}
}

void sessions_epoch_changed(struct sessions *ss)
{
	for (size_t i = 0; i < ss->slots_n; i++)
		if (ss->slots[i])
			begin_anew(ss->slots[i]);
	store_epoch(ss);
	log_info("epoch", "the event log is another one: sessions begin anew");
}

/* ---- all of them ---- */

static struct group *make_nothing(struct hub *hub)
{
	struct wire_interest none = {.format = WIRE_SOCKET, .limit = 1};
	struct str key = STR_INIT;
	struct group *g;

	wire_interest_put(&key, &none);
	g = group_get(hub, key.p, key.len);
	str_fini(&key);
	g->waiters_n++;
	return g;
}

struct sessions *sessions_new(struct hub *hub)
{
	struct sessions *ss = xcalloc(1, sizeof(*ss));

	ss->hub = hub;
	ss->boot = clock_boot();
	for (int i = 0; i < SESSION_STATES; i++)
		TAILQ_INIT(&ss->lists[i]);
	TAILQ_INIT(&ss->dirty);
	TAILQ_INIT(&ss->doubts);
	TAILQ_INIT(&ss->holders);
	ss->nothing = make_nothing(hub);
	ss->admin = admin_new(ss);
	store_run(ss);
	return ss;
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* The ping clock goes on where it was: its client's did, too. Who should have been pinged
 * meanwhile, or whose clock is not known, is pinged within a moment, not all in the same one. Who
 * may have been silent only because nobody listened is given time to be heard. */
static void resume_clocks(struct session *s, int64_t now)
{
	const struct config *cfg = s->hub->cfg;
	int64_t interval = cfg->socketio.ping_interval_ms, timeout = cfg->socketio.ping_timeout_ms;
	int64_t spread =
		timeout / 4 < SESSION_PING_SPREAD_MS ? timeout / 4 + 1 : SESSION_PING_SPREAD_MS;
	int64_t grace = now + (timeout < SESSION_GRACE_MS ? timeout : SESSION_GRACE_MS);

	if (s->pong_ms && s->pong_ms <= now + timeout)
		s->pong_ms = later(s->pong_ms, grace);
	else
		s->pong_ms = 0;
	/* Who has waited for long is not put off again by the next restart. */
	if (!s->pong_ms && s->ping_ms && s->ping_ms < now - spread)
		s->ping_ms = now;
	else if (!s->pong_ms && (s->ping_ms <= now || s->ping_ms > now + interval))
		s->ping_ms = now + s->num % spread;
	if (s->state != SESSION_OPEN)
		s->connect_ms = 0;
	else if (s->connect_ms && s->connect_ms <= now + cfg->socketio.connect_timeout_ms)
		s->connect_ms = later(s->connect_ms, grace);
	else
		s->connect_ms = now + cfg->socketio.connect_timeout_ms;
	if (s->begin_ms != SESSION_BEGIN_LATER && s->begin_ms > now + cfg->socketio.list_wait_ms)
		s->begin_ms = 0;
	/* No restart fills the bucket. */
	s->tokens = cfg->socketio.events_per_s * 1000;
}

/* It was here before this process. */
static void adopt(struct session *s)
{
	int64_t now = clock_ms();
	char user[24];

	s->hub->sessions->stats.adopted++;
	if (s->state == SESSION_GONE)
		return;
	tally_add(s->hub->sessions, 'a', s->address, 0);
	if (s->state == SESSION_CLOSING) {
		if (!s->close_ms || s->close_ms > now + CLOSE_WAIT_MS)
			s->close_ms = now + CLOSE_WAIT_MS;
		s->close_ms = later(s->close_ms, now + LATE_GET_MS);
	} else {
		resume_clocks(s, now);
		for (size_t i = 0; i < s->socks_n; i++) {
			if (!s->socks[i].person->user_id)
				continue;
			snprintf(user, sizeof(user), "%llu",
				(unsigned long long)s->socks[i].person->user_id);
			tally_add(s->hub->sessions, 'u', user, 0);
		}
	}
	admin_adopt(s);
	session_wind(s);
}

static int by_end(const void *a, const void *b)
{
	const struct session *const *x = a, *const *y = b;

	return ((*x)->ended_ms > (*y)->ended_ms) - ((*x)->ended_ms < (*y)->ended_ms);
}

/* Oldest first, as they leave. */
static void sort_gone(struct sessions *ss)
{
	size_t n = ss->n[SESSION_GONE], i = 0;
	struct session **all = xcalloc(n + 1, sizeof(*all)), *s;

	TAILQ_FOREACH (s, &ss->lists[SESSION_GONE], entry)
		all[i++] = s;
	qsort(all, n, sizeof(struct session *), by_end);
	for (i = 0; i < n; i++) {
		unlist(all[i]);
		enlist(all[i], SESSION_GONE);
	}
	free(all);
}

void sessions_adopted(struct sessions *ss)
{
	struct session *s;

	sort_gone(ss);
	for (int i = 0; i < SESSION_STATES; i++)
		TAILQ_FOREACH (s, &ss->lists[i], entry)
			adopt(s);
	ss->is_adopted = true;
	store_adopted(ss);
	if (ss->stats.adopted)
		log_info("adopted", "%llu sessions of before the start",
			(unsigned long long)ss->stats.adopted);
	conn_let_in(ss->hub);
}

void sessions_adopt(struct sessions *ss)
{
	if (store_open(ss))
		sessions_adopted(ss);
}

void sessions_stop(struct sessions *ss)
{
	store_close(ss);
}

void sessions_free(struct sessions *ss)
{
	struct session *s;
	struct tally *t, *next;

	for (int i = 0; i < SESSION_STATES; i++)
		while ((s = TAILQ_FIRST(&ss->lists[i])))
			session_free(s);
	HASH_ITER (hh, ss->tallies, t, next) {
		HASH_DEL(ss->tallies, t);
		free(t->name);
		free(t);
	}
	doubts_free(ss);
	sessions_over_free(ss);
	admin_free(ss->admin);
	store_free(ss);
	free(ss->slots);
	free(ss->lately);
	free(ss);
}
