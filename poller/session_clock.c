#include "session_clock.h"

#include "clock.h"
#include "hub.h"
#include "session.h"
#include "session_auth.h"
#include "session_poll.h"
#include "session_queue.h"
#include "session_store.h"

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

void session_on_timer(evutil_socket_t fd, short what, void *arg)
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
