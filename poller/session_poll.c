#include "session_poll.h"

#include <stdlib.h>
#include <string.h>

#include "body.h"
#include "clock.h"
#include "conn.h"
#include "event.h"
#include "group.h"
#include "hub.h"
#include "log.h"
#include "mem.h"
#include "observer.h"
#include "packets.h"
#include "record.h"
#include "session.h"
#include "session_again.h"
#include "session_clock.h"
#include "session_queue.h"
#include "session_show.h"
#include "session_store.h"
#include "sessions.h"
#include "wait.h"

#define NOOP_CLOSE \
	"6\x1e"    \
	"1"
static void done(struct conn *c, uint64_t ticket, enum wire_done what)
{
	wire_put_done(bufferevent_get_output(c->bev), ticket, what, "");
}

uint64_t session_cursor(const struct session *s)
{
	/* What is parked has been looked through up to the tail. */
	return s->poll && s->poll->state == WAITER_PARKED ? s->hub->tail : s->cursor;
}

/* ---- answering ---- */

static void poll_answered(struct waiter *w, const struct body *b)
{
	struct session *s = w->owner;

	s->pace.shown = wait_shown(w, b->cursor);
	if (b->is_paced)
		pace_spent(&s->pace, b->rated_n, s->group->window_ms, clock_ms());
	s->poll = NULL;
	s->cursor = b->cursor;
	s->is_answered = true;
	s->sent_n += b->n;
	s->answers_n++;
	figure_add(s->hub->figures, FIGURE_MESSAGES_SENT, b->n);
	store_answered(s);
	observe_answered(s, b);
}

void session_reply(struct session *s, const char *text)
{
	struct body *b = body_new(WIRE_SOCKET, s->hub->epoch);
	struct waiter *w = s->poll;

	evbuffer_add(b->buf, text, strlen(text));
	body_finish(b, session_cursor(s), false);
	wait_give_one(w, b);
}

/* To a session that is closed. What is queued goes first, alone: stock clients take a close before
 * the packets that came with it. Then comes the close; a GET that was not held then gets a noop
 * with it, as from the reference server. */
static void answer_closing(struct session *s, bool was_held)
{
	struct body *b = session_take(s);

	if (b) {
		body_finish(b, s->cursor, false);
		wait_give_one(s->poll, b);
		session_wind(s);
	} else {
		bool is_bare = was_held || s->answer_packets == 1;

		session_reply(s, s->end == END_TRANSPORT_CLOSE ? "6" : is_bare ? "1" : NOOP_CLOSE);
		session_become_gone(s);
	}
}

static void answer_now(struct waiter *w, struct body *first)
{
	wait_recall(w);
	body_put(w->partial);
	w->partial = first;
	wait_answer(w);
}

/* From the waiter's cursor, with `first` before the events (NULL: nothing). */
static void go_on(struct session *s, struct body *first)
{
	struct waiter *w = s->poll;
	struct hub *hub = s->hub;

	if (s->begin_ms && first) {
		answer_now(w, first);
	} else if (s->begin_ms) {
		wait_recall(w);
	} else if (!first && w->cursor > hub->tail) {
		wait_ahead(w);
	} else if (first && (w->cursor > hub->tail || w->cursor < hub->ring.covered ||
				    !packets_is_empty(&s->queue))) {
		/* Old events take a while to read, beyond a tail that lags there are none, and what
		 * is still queued comes before them. */
		answer_now(w, first);
	} else {
		wait_recall(w);
		body_put(w->partial);
		w->partial = first;
		wait_start(w);
	}
}

void session_flush(struct session *s)
{
	struct waiter *w = s->poll;

	if (!w)
		return;
	if (s->state == SESSION_CLOSING) {
		answer_closing(s, true);
		return;
	}
	if (packets_is_empty(&s->queue)) {
		if (w->state == WAITER_NEW)
			go_on(s, session_take(s));
		return;
	}
	w->cursor = session_cursor(s);
	go_on(s, session_take(s));
}

/* ---- the beginning of events ---- */

#define MORE_LISTS_MS 250 /* between two requests of a client that asks for several lists */

/* Topics that it is shown and could ask a list of; of these, how many it has not. */
static size_t lists_n(const struct session *s, size_t *missing_n)
{
	const struct strlist *topics = &s->group->want.topics;
	size_t n = 0;

	*missing_n = 0;
	for (size_t i = 0; i < topics->n; i++) {
		const struct stream *st = stream_find(topics->v[i]);

		if (!st || !st->has_rows)
			continue;
		n++;
		*missing_n += !strlist_has(&s->requested, topics->v[i]);
	}
	return n;
}

void session_begin_later(struct session *s)
{
	size_t missing_n;
	bool has_lists = s->hub->cfg->socketio.list_wait_ms > 0 && lists_n(s, &missing_n) > 0;

	s->begin_ms = has_lists ? SESSION_BEGIN_LATER : 0;
}

void session_begin(struct session *s)
{
	s->begin_ms = 0;
	store_clocks(s);
	session_wind(s);
	session_flush(s);
}

/* Its client has the answer to its CONNECT. */
static void begin_soon(struct session *s)
{
	int64_t wait = s->requested.n ? MORE_LISTS_MS : s->hub->cfg->socketio.list_wait_ms;

	s->begin_ms = clock_ms() + wait;
	store_clocks(s);
	session_wind(s);
}

void session_listed(struct session *s)
{
	int64_t soon = clock_ms() + MORE_LISTS_MS;
	size_t missing_n;

	if (!s->begin_ms)
		return;
	lists_n(s, &missing_n);
	if (!missing_n) {
		s->begin_ms = 0; /* what is queued goes before them */
		store_clocks(s);
	} else if (s->begin_ms != SESSION_BEGIN_LATER && soon < s->begin_ms) {
		begin_soon(s);
	}
}

/* ---- a GET ---- */

/* Two GETs at once: the first is told that the session is closed, the second is refused. */
static void refuse_second(struct session *s, struct conn *c, uint64_t ticket)
{
	figure_add(s->hub->figures, FIGURE_TWO_POLLS_AT_ONCE, 1);
	session_drop(s, END_TRANSPORT_ERROR);
	done(c, ticket, WIRE_DONE_BAD);
}

/* To what has arrived. */
static void session_rewind(struct session *s)
{
	s->cursor = s->acked;
	s->pace.shown = s->pace.acked;
	subs_rewind(&s->subs, s->pace.acked);
}

void session_begin_at(struct session *s, uint64_t cursor, uint64_t shown)
{
	s->acked = s->cursor = cursor;
	s->pace.acked = s->pace.shown = shown < cursor ? shown : cursor;
	subs_rewind(&s->subs, s->pace.acked);
}

void session_set_waiter(struct session *s)
{
	struct waiter *w = s->poll;

	w->pace = &s->pace;
	w->cursor = s->cursor;
	w->held = s->pace.shown < s->cursor ? s->pace.shown : WAIT_HOLDS_NOTHING;
}

void session_settle(struct session *s, bool is_again)
{
	if (!s->is_answered)
		return;
	if (is_again) {
		figure_add(s->hub->figures, FIGURE_ANSWERS_RESENT, 1);
		s->resent_n++;
		session_rewind(s);
	} else {
		if (s->begin_ms == SESSION_BEGIN_LATER && !packets_is_empty(&s->inflight))
			begin_soon(s);
		s->acked = s->cursor;
		s->pace.acked = s->pace.shown;
		session_arrived(s);
	}
	s->is_answered = false;
}

/* ---- as a waiter ---- */

/* Its cursor is below a floor that counts for it: it cannot be told all it missed, and has to start
 * anew. */
static void expire(struct session *s)
{
	s->has_lost = true;
	session_close(s, END_FORCED_CLOSE);
}

static void poll_ended(struct waiter *w)
{
	struct session *s = w->owner;

	if (s->poll == w)
		s->poll = NULL;
}

static void poll_is_reset(struct waiter *w)
{
	expire(w->owner);
}

static void poll_hung_up(struct waiter *w)
{
	struct session *s = w->owner;

	wait_end(w);
	session_drop(s, END_TRANSPORT_ERROR);
}

static void poll_released(struct waiter *w)
{
	struct session *s = w->owner;

	if (!packets_is_empty(&s->queue)) {
		session_flush(s);
	} else if (!packets_is_empty(&s->inflight)) {
		/* It waits for old events, with packets to go before them. */
		w->cursor = s->cursor;
		answer_now(w, session_take(s));
	} else {
		session_reply(s, "6");
	}
}

static bool poll_is_choosy(const struct waiter *w)
{
	const struct session *s = w->owner;

	return s->skips_n > 0;
}

static bool poll_skips(const struct waiter *w, const struct record *r, bool by_view)
{
	return session_skips(w->owner, r, by_view);
}

static void poll_window_over(struct waiter *w)
{
	struct sessions *ss = w->conn->hub->sessions;

	wait_window_over(w);
	store_flush(ss);
}

static const struct waiter_kind poll_kind = {
	.is_told_late = true,
	.answered = poll_answered,
	.ended = poll_ended,
	.is_reset = poll_is_reset,
	.hung_up = poll_hung_up,
	.released = poll_released,
	.window_over = poll_window_over,
	.is_choosy = poll_is_choosy,
	.skips = poll_skips,
};

static bool hold(struct session *s, struct conn *c, uint64_t ticket)
{
	struct hub *hub = s->hub;
	struct waiter *w = wait_new(c, ticket, s->group, &poll_kind, s);

	if (!w)
		return false;
	if (s->group == hub->sessions->nothing)
		s->cursor = hub->tail;
	w->deadline_ms = INT64_MAX;
	s->poll = w;
	session_set_waiter(s);
	if (s->state == SESSION_CLOSING) {
		answer_closing(s, false);
	} else if (wait_has_expired(hub, s->group, w->cursor)) {
		expire(s);
	} else {
		go_on(s, session_take(s));
	}
	return true;
}

/* NULL: it has been refused. */
static struct session *session_poll_find(struct conn *c, const struct wire_frame *f)
{
	struct session *s = session_find(c->hub->sessions, f->poll.sid);

	if (s && session_is_overdue(s, clock_ms())) {
		session_drop(s, END_PING_TIMEOUT);
		s = NULL;
	}
	if (s && session_is_of(s, f->poll.user))
		return s;
	done(c, f->poll.ticket, s ? WIRE_DONE_FORBIDDEN : WIRE_DONE_UNKNOWN);
	return NULL;
}

static void poll_again(struct conn *c, const struct wire_frame *f, bool is_decided)
{
	session_poll(c, f, is_decided);
}

bool session_poll(struct conn *c, const struct wire_frame *f, bool is_decided)
{
	struct asked now = asked_of(c, f->poll.ticket, f->poll.tag);
	struct session *s = session_poll_find(c, f);
	enum again again;

	if (!s)
		return true;
	again = session_again(s, &s->got, &now, f->poll.flags & WIRE_IS_AGAIN);
	if (again == AGAIN_PERHAPS && !is_decided && (s->poll || s->is_answered)) {
		doubts_add(c, f, f->poll.ticket, poll_again);
		return true;
	}
	if (again != AGAIN_YES)
		session_note_tag(s, now.tag);
	if (s->poll) {
		if (again != AGAIN_YES) {
			refuse_second(s, c, f->poll.ticket);
			return true;
		}
		/* Whoever has it so far has lost its client. */
		session_reply(s, "6");
		s->is_answered = false;
		session_rewind(s);
	}
	s->got = now;
	session_settle(s, again == AGAIN_YES);
	session_fetched(s);
	session_forget_skips(s);
	store_polled(s, again == AGAIN_YES);
	return hold(s, c, f->poll.ticket);
}
