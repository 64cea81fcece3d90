#include "park.h"

#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "clock.h"
#include "http.h"
#include "link.h"
#include "log.h"
#include "loop.h"
#include "mem.h"

TAILQ_HEAD(park_list, park);

struct parks {
	struct app *app;
	struct event_base *base;
	struct link *link;
	struct park_list lists[PARK_STATES];
	size_t n[PARK_STATES];
	struct park *by_ticket;
	uint64_t last_ticket;
	struct revocations revocations;
	bool is_stopping;
};

static void on_io(evutil_socket_t fd, short what, void *arg);
static void end_stream(struct park *p, const struct str *last_words);

struct park *park_new(void)
{
	struct park *p = xcalloc(1, sizeof(*p));

	p->sink.fd = -1;
	p->token_ends_ms = INT64_MAX;
	return p;
}

void park_free(struct park *p)
{
	if (!p)
		return;
	sink_close(&p->sink);
	free(p->epoch);
	free(p->origin);
	str_fini(&p->interest);
	free(p);
}

struct parks *parks_new(struct app *app, struct event_base *base)
{
	struct parks *ps = xcalloc(1, sizeof(*ps));

	ps->app = app;
	ps->base = base;
	for (int i = 0; i < PARK_STATES; i++)
		TAILQ_INIT(&ps->lists[i]);
	return ps;
}

void parks_set_link(struct parks *ps, struct link *link)
{
	ps->link = link;
}

size_t parks_n(const struct parks *ps, enum park_state state)
{
	return ps->n[state];
}

size_t parks_total(const struct parks *ps)
{
	return ps->n[PARK_UNRESOLVED] + ps->n[PARK_WAITING] + ps->n[PARK_ANSWERING];
}

/* ---- states ---- */

/* PARK_NEW is in no list: it is the state before the first and after the last. */
static void set_state(struct park *p, enum park_state state)
{
	struct parks *ps = p->parks;

	if (p->state != PARK_NEW) {
		TAILQ_REMOVE(&ps->lists[p->state], p, entry);
		ps->n[p->state]--;
	}
	p->state = state;
	if (state != PARK_NEW) {
		TAILQ_INSERT_TAIL(&ps->lists[state], p, entry);
		ps->n[state]++;
	}
}

static void end(struct park *p)
{
	struct parks *ps = p->parks;
	struct loop *loop = ps->app->loop;

	if (p->state == PARK_WAITING)
		link_cancel(ps->link, p->ticket);
	stats_add(&ps->app->stats.hold_ms, (uint64_t)(clock_ms() - p->parked_ms));
	stats_add(&ps->app->stats.ended, 1);
	event_del(&p->io);
	set_state(p, PARK_NEW);
	if (p->ticket)
		HASH_DEL(ps->by_ticket, p);
	park_free(p);
	loop_release(loop);
}

static int64_t min64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Is it a long-poll that is really held, and its head still to be sent? */
static bool wants_head(const struct park *p)
{
	return !p->is_sse && !p->has_head && p->has_since && p->timeout_ms > PARK_HEAD_MS;
}

static int64_t deadline(const struct park *p)
{
	if (p->state == PARK_ANSWERING)
		return p->stalled_ms + PARK_WRITE_STALL_MS;
	if (p->is_sse)
		return min64(p->heartbeat_at_ms, p->token_ends_ms);
	if (wants_head(p))
		return min64(p->parked_ms + PARK_HEAD_MS, p->token_ends_ms);
	return min64(p->parked_ms + p->timeout_ms + PARK_GRACE_MS, p->token_ends_ms);
}

uint32_t park_timeout_left(const struct park *p)
{
	int64_t left = p->parked_ms + p->timeout_ms - clock_ms();

	if (p->is_sse)
		return p->timeout_ms;
	return left > 0 ? (uint32_t)left : 0;
}

/* Watches for what comes next in p's state: hang-up or room to write, and its deadline. */
static void watch(struct park *p)
{
	short what = p->state == PARK_ANSWERING ? EV_WRITE : EV_READ;
	int64_t left = deadline(p) - clock_ms();
	struct timeval tv;

	if (left < 0)
		left = 0;
	tv = (struct timeval){.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};
	/* Most polls of a busy log are answered before their head is due: until then a hang-up may
	 * wait, and the two calls it takes to watch for it are saved. */
	if (wants_head(p) && p->state == PARK_WAITING) {
		event_del(&p->io);
		event_assign(&p->io, p->parks->base, -1, 0, on_io, p);
		event_add(&p->io, &tv);
		return;
	}
	if (!event_pending(&p->io, what, NULL)) {
		event_del(&p->io);
		event_assign(&p->io, p->parks->base, p->sink.fd, what, on_io, p);
	}
	if (event_add(&p->io, &tv) == 0)
		return;
	/* A CGI program's output may be a plain file, which epoll refuses: there the deadline is
	 * enough. */
	event_assign(&p->io, p->parks->base, -1, 0, on_io, p);
	event_add(&p->io, &tv);
}

/* ---- answers ---- */

/* The tail there is now, if that is known. */
static bool find_tail(const struct parks *ps, uint64_t *tail)
{
	const struct shm *page = atomic_load(&ps->app->shm);

	if (!link_is_up(ps->link) && !shm_is_fresh(page))
		return false;
	*tail = page ? atomic_load(&page->tail) : link_tail(ps->link);
	return true;
}

/* Waits for what comes after the cursor, or for a cursor. A ticket is used for one WAIT, so that an
 * answer to one that was cancelled cannot be taken for this one's. */
static void wait_for_more(struct park *p)
{
	struct parks *ps = p->parks;

	if (!p->has_since && find_tail(ps, &p->since))
		p->has_since = true;
	if (p->ticket)
		HASH_DEL(ps->by_ticket, p);
	p->ticket = ++ps->last_ticket;
	HASH_ADD(hh, ps->by_ticket, ticket, sizeof(p->ticket), p);
	set_state(p, p->has_since ? PARK_WAITING : PARK_UNRESOLVED);
	if (p->has_since)
		link_wait(ps->link, p);
}

/* After something was sent: p is freed, has more to write, or waits. */
static void sent(struct park *p, enum sink_state state)
{
	if (state == SINK_GONE) {
		stats_add(&p->parks->app->stats.hung_up, 1);
		end(p);
	} else if (state == SINK_FULL) {
		p->stalled_ms = clock_ms();
		if (p->state == PARK_WAITING)
			link_cancel(p->parks->link, p->ticket);
		set_state(p, PARK_ANSWERING);
		watch(p);
	} else if (p->is_last) {
		end(p);
	} else if (p->is_sse && (p->is_leaving || p->parks->is_stopping)) {
		end_stream(p, NULL);
	} else {
		if (p->state == PARK_ANSWERING || p->state == PARK_NEW)
			wait_for_more(p);
		watch(p);
	}
}

static void send_text(struct park *p, const struct str *text)
{
	struct body *body = body_new(str_c(text), text->len);

	sent(p, sink_send(&p->sink, NULL, body, p->is_last));
	body_put(body);
}

static void end_stream(struct park *p, const struct str *last_words)
{
	static const struct str none = STR_INIT;

	p->is_last = true;
	send_text(p, last_words ? last_words : &none);
}

static void put_head(
	struct park *p, struct str *head, int status, const char *headers, int64_t length)
{
	struct http_head h = {.status = status,
		.content_type = "application/json",
		.content_length = length,
		.request_id = p->request_id,
		.origin = p->origin,
		.headers = headers};

	http_put_head(head, &h);
}

static void send_head(struct park *p)
{
	struct str head = STR_INIT;

	put_head(p, &head, 200, NULL, -1);
	p->has_head = true;
	sent(p, sink_send(&p->sink, &head, NULL, false));
	str_fini(&head);
}

/* The answer of a long-poll, whole or what is left of it. */
static enum sink_state put_answer(
	struct park *p, int status, const char *headers, struct body *body)
{
	struct str head = STR_INIT;
	enum sink_state state;

	if (!p->has_head)
		put_head(p, &head, status, headers, (int64_t)body->len);
	p->is_last = true;
	state = sink_send(&p->sink, &head, body, true);
	str_fini(&head);
	return state;
}

static void answer(struct park *p, int status, const char *headers, struct body *body)
{
	sent(p, put_answer(p, status, headers, body));
}

/* Nothing new at its cursor, said without the poller. */
static struct body *empty_body(const struct park *p)
{
	const struct shm *page = atomic_load(&p->parks->app->shm);
	const char *epoch = p->epoch ? p->epoch : link_epoch(p->parks->link);
	struct str text = STR_INIT;
	struct body *body;

	if (!epoch[0] && page)
		epoch = page->epoch;
	str_addf(&text,
		"{\"events\":[],\"lastEventId\":%llu,\"epoch\":", (unsigned long long)p->since);
	str_add_json(&text, epoch);
	str_adds(&text, ",\"more\":false}");
	body = body_new(text.p, text.len);
	str_fini(&text);
	return body;
}

static void answer_empty(struct park *p)
{
	struct body *body = empty_body(p);

	answer(p, 200, NULL, body);
	body_put(body);
}

static void answer_error(struct park *p, enum err e)
{
	struct str text = STR_INIT, headers = STR_INIT;
	struct body *body;

	http_put_error(&text, e, NULL, "");
	http_put_error_headers(&headers, e);
	body = body_new(text.p, text.len);
	answer(p, err_status(e), str_c(&headers), body);
	body_put(body);
	str_fini(&text);
	str_fini(&headers);
}

/* Its client is gone, or will send no more: what it is told, if it can still hear, is to come
 * again. A complete answer, lest the web server takes us for broken. */
static void hang_up(struct park *p)
{
	struct body *body;

	stats_add(&p->parks->app->stats.hung_up, 1);
	if (p->is_sse) {
		sink_send(&p->sink, NULL, NULL, true);
	} else if (p->has_since) {
		body = empty_body(p);
		put_answer(p, 200, NULL, body);
		body_put(body);
	}
	end(p);
}

/* Ends a request for a reason its client is told. */
static void refuse(struct park *p, enum err e)
{
	struct str text = STR_INIT;

	stats_add(e == ERR_UNAVAILABLE ? &p->parks->app->stats.refused
				       : &p->parks->app->stats.revoked,
		1);
	if (!p->is_sse && p->has_head) {
		answer_empty(p);
		return;
	}
	if (!p->is_sse) {
		answer_error(p, e);
		return;
	}
	str_adds(&text, "event: error\ndata: {\"code\":");
	str_add_json(&text, err_code(e));
	str_adds(&text, ",\"message\":");
	str_add_json(&text, err_text(e));
	str_adds(&text, "}\n\n");
	end_stream(p, &text);
	str_fini(&text);
}

/* The cursor is stated as soon as it is known, so that a stream that breaks before its first event
 * goes on from where it began; and again when it has moved without an event, so that it does not
 * fall out of retention. */
static void add_cursor(struct park *p, struct str *text)
{
	if (!p->has_since || (p->is_told && p->told == p->since))
		return;
	str_addf(text, "id: %llu\n", (unsigned long long)p->since);
	p->told = p->since;
	p->is_told = true;
}

static void heartbeat(struct park *p, int64_t now)
{
	struct str text = STR_INIT;

	p->heartbeat_at_ms = now + p->heartbeat_ms;
	str_adds(&text, ": hb\n");
	add_cursor(p, &text);
	str_addc(&text, '\n');
	send_text(p, &text);
	str_fini(&text);
}

/* ---- what happens to a parked request ---- */

static void on_deadline(struct park *p)
{
	int64_t now = clock_ms();

	if (p->state == PARK_ANSWERING) {
		log_info("park", "client reads nothing, dropped: request_id=%s", p->request_id);
		stats_add(&p->parks->app->stats.hung_up, 1);
		end(p);
	} else if (now >= p->token_ends_ms) {
		refuse(p, p->token_end);
	} else if (p->is_sse) {
		heartbeat(p, now);
	} else if (wants_head(p)) {
		send_head(p);
	} else if (!p->has_since || p->timeout_ms == 0) {
		refuse(p, ERR_UNAVAILABLE);
	} else {
		stats_add(&p->parks->app->stats.expired, 1);
		answer_empty(p);
	}
}

static void on_io(evutil_socket_t fd, short what, void *arg)
{
	struct park *p = arg;

	if (what & EV_WRITE) {
		p->stalled_ms = clock_ms();
		sent(p, sink_flush(&p->sink));
	} else if ((what & EV_READ) && sink_is_abandoned(&p->sink)) {
		hang_up(p);
	} else if (clock_ms() >= deadline(p)) {
		on_deadline(p);
	} else {
		watch(p);
	}
}

static void start_stream(struct park *p)
{
	struct str head = STR_INIT, text = STR_INIT;
	struct http_head h = {.status = 200,
		.content_type = "text/event-stream",
		.content_length = -1,
		.request_id = p->request_id,
		.origin = p->origin,
		.headers = "X-Accel-Buffering: no\r\n"};
	struct body *body;

	http_put_head(&head, &h);
	str_adds(&text, "retry: 1000\n");
	add_cursor(p, &text);
	str_addc(&text, '\n');
	body = body_new(text.p, text.len);
	sent(p, sink_send(&p->sink, &head, body, false));
	body_put(body);
	str_fini(&head);
	str_fini(&text);
}

void parks_add(struct parks *ps, struct park *p)
{
	enum revoked_answer revoked = revocations_find(&ps->revocations, &p->caller, p->checked_ms);

	p->parks = ps;
	p->parked_ms = clock_ms();
	p->heartbeat_at_ms = p->parked_ms + p->heartbeat_ms;
	p->token_end = ERR_TOKEN_EXPIRED;
	event_assign(&p->io, ps->base, p->sink.fd, 0, on_io, p);
	stats_add(&ps->app->stats.parked_n, 1);
	if (revoked != REVOKED_NO)
		answer_error(p, revoked == REVOKED_YES ? ERR_TOKEN_REVOKED : ERR_UNAVAILABLE);
	else if (p->is_sse)
		start_stream(p);
	else
		sent(p, SINK_CLEAR);
	if (ps->is_stopping)
		parks_release(ps);
}

void parks_free(struct parks *ps)
{
	struct park *p;

	if (!ps)
		return;
	for (int i = 0; i < PARK_STATES; i++)
		while ((p = TAILQ_FIRST(&ps->lists[i])))
			end(p);
	free(ps);
}

/* ---- what the link tells ---- */

/* Makes all that wait come again: a long-poll has its cursor in an empty answer, a stream in its
 * Last-Event-ID. */
static void send_away(struct parks *ps)
{
	static const enum park_state held[] = {PARK_UNRESOLVED, PARK_WAITING};
	struct park *p;

	for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++) {
		while ((p = TAILQ_FIRST(&ps->lists[held[i]]))) {
			p->has_since = p->has_since || find_tail(ps, &p->since);
			if (p->is_sse)
				end_stream(p, NULL);
			else if (p->has_since)
				answer_empty(p);
			else
				refuse(p, ERR_UNAVAILABLE);
		}
	}
	TAILQ_FOREACH (p, &ps->lists[PARK_ANSWERING], entry)
		p->is_leaving = true;
}

void parks_release(struct parks *ps)
{
	ps->is_stopping = true;
	send_away(ps);
}

void parks_on_up(struct parks *ps, const char *old_epoch)
{
	struct park *p;

	TAILQ_FOREACH (p, &ps->lists[PARK_WAITING], entry) {
		/* Its cursor is of the log there was: let the poller see that. */
		if (!p->epoch && old_epoch)
			p->epoch = xstrdup(old_epoch);
		link_wait(ps->link, p);
	}
	while ((p = TAILQ_FIRST(&ps->lists[PARK_UNRESOLVED]))) {
		wait_for_more(p);
		if (p->is_sse)
			heartbeat(p, clock_ms());
	}
}

void parks_on_deliver(struct parks *ps, const struct wire_frame *f, struct body *body)
{
	for (uint32_t i = 0; i < f->deliver.tickets_n; i++) {
		uint64_t ticket = wire_ticket(f, i);
		struct park *p;

		HASH_FIND(hh, ps->by_ticket, &ticket, sizeof(ticket), p);
		/* It may have ended while this was on its way. */
		if (!p || p->state != PARK_WAITING)
			continue;
		set_state(p, PARK_ANSWERING);
		if (!p->is_sse) {
			stats_add(&ps->app->stats.answered, 1);
			answer(p, 200, NULL, body);
			continue;
		}
		p->since = f->deliver.cursor;
		free(p->epoch); /* the cursor is of this log now */
		p->epoch = NULL;
		if (body->len > 0) {
			p->told = p->since;
			p->is_told = true;
		}
		p->is_last = false;
		sent(p, sink_send(&p->sink, NULL, body, false));
	}
}

void parks_on_revoked(struct parks *ps, enum wire_revoke what, uint64_t id, struct slice jti)
{
	const struct revoked *r;
	struct park *p, *next;

	if (what == WIRE_REVOKE_ALL) {
		send_away(ps);
		return;
	}
	r = revocations_add(&ps->revocations, what, id, jti, clock_ms());
	HASH_ITER (hh, ps->by_ticket, p, next) {
		if (!revoked_is(r, &p->caller))
			continue;
		p->token_end = ERR_TOKEN_REVOKED;
		p->token_ends_ms = 0; /* a stream that is being written ends after that */
		if (p->state != PARK_ANSWERING)
			refuse(p, p->token_end);
	}
}
