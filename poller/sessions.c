#include "sessions.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "group.h"
#include "hub.h"
#include "log.h"
#include "mem.h"
#include "observer.h"
#include "session.h"
#include "session_over.h"
#include "session_row.h"
#include "session_store.h"

/* ---- finding ---- */

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

struct session *sessions_at(const struct sessions *ss, uint32_t num)
{
	return num < ss->slots_n ? ss->slots[num] : NULL;
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

bool sessions_evict(struct sessions *ss)
{
	struct session *s = TAILQ_FIRST(&ss->lists[SESSION_OPEN]);

	if (!s)
		return false;
	figure_add(ss->hub->figures, FIGURE_SESSIONS_EVICTED, 1);
	session_drop(s, END_CONNECT_TIMEOUT);
	return true;
}

/* ---- time ---- */

void sessions_tick(struct sessions *ss, int64_t now)
{
	int64_t recovery_ms = ss->hub->cfg->socketio.recovery_ms;
	struct session *s;

	while ((s = TAILQ_FIRST(&ss->lists[SESSION_GONE])) && now - s->ended_ms > recovery_ms) {
		store_forget(s);
		session_free(s);
	}
	sessions_over_tick(ss, now);
	session_rows_tick(ss, now);
	observers_tick(ss->hub->observers, now);
	store_flush(ss);
}

/* ---- another log ---- */

void sessions_epoch_changed(struct sessions *ss)
{
	for (size_t i = 0; i < ss->slots_n; i++)
		if (ss->slots[i])
			session_begin_anew(ss->slots[i]);
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

static size_t as_clients_n(const void *sessions)
{
	return sessions_live_n(sessions);
}

static bool as_clients_evict(void *sessions)
{
	return sessions_evict(sessions);
}

struct sessions *sessions_new(struct hub *hub)
{
	struct sessions *ss = xcalloc(1, sizeof(*ss));

	ss->hub = hub;
	ss->boot = clock_boot();
	for (int i = 0; i < SESSION_STATES; i++)
		TAILQ_INIT(&ss->lists[i]);
	TAILQ_INIT(&ss->dirty);
	TAILQ_INIT(&ss->holders);
	ss->nothing = make_nothing(hub);
	store_init(ss);
	hub->clients.sessions_n = as_clients_n;
	hub->clients.evict = as_clients_evict;
	hub->clients.sessions = ss;
	return ss;
}

void sessions_stop(struct sessions *ss)
{
	store_close(ss);
}

void sessions_free(struct sessions *ss)
{
	struct session *s;

	for (int i = 0; i < SESSION_STATES; i++)
		while ((s = TAILQ_FIRST(&ss->lists[i])))
			session_free(s);
	sessions_over_free(ss);
	store_free(ss);
	free(ss->slots);
	free(ss);
}
