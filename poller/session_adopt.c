#include "session_adopt.h"

#include <stdlib.h>

#include "clients.h"
#include "clock.h"
#include "config.h"
#include "conn.h"
#include "hub.h"
#include "log.h"
#include "mem.h"
#include "observer.h"
#include "session.h"
#include "session_clock.h"
#include "session_poll.h"
#include "session_store.h"
#include "sessions.h"

#define PING_SPREAD_MS 1000 /* sessions to be pinged at once are, within that */
#define GRACE_MS 5000       /* to be heard once we are here again */

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
	int64_t spread = timeout / 4 < PING_SPREAD_MS ? timeout / 4 + 1 : PING_SPREAD_MS;
	int64_t grace = now + (timeout < GRACE_MS ? timeout : GRACE_MS);

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

	figure_add(s->hub->figures, FIGURE_SESSIONS_ADOPTED, 1);
	if (s->state == SESSION_GONE)
		return;
	tally_add(&s->hub->clients, 'a', s->address, 0);
	if (s->state == SESSION_CLOSING) {
		if (!s->close_ms || s->close_ms > now + SESSION_CLOSE_WAIT_MS)
			s->close_ms = now + SESSION_CLOSE_WAIT_MS;
		s->close_ms = later(s->close_ms, now + SESSION_LATE_GET_MS);
	} else {
		resume_clocks(s, now);
		for (size_t i = 0; i < s->socks_n; i++)
			tally_add_caller(&s->hub->clients, s->socks[i].caller, 0);
	}
	observe_adopted(s);
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
		TAILQ_REMOVE(&ss->lists[SESSION_GONE], all[i], entry);
		TAILQ_INSERT_TAIL(&ss->lists[SESSION_GONE], all[i], entry);
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
	ss->hub->has_sessions = true;
	store_adopted(ss);
	if (figure_get(ss->hub->figures, FIGURE_SESSIONS_ADOPTED))
		log_info("adopted", "%llu sessions of before the start",
			(unsigned long long)figure_get(ss->hub->figures, FIGURE_SESSIONS_ADOPTED));
	conn_let_in(ss->hub);
}

void sessions_adopt(struct sessions *ss)
{
	if (store_open(ss))
		sessions_adopted(ss);
}
