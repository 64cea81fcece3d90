#include "park_events.h"

#include <stdlib.h>

#include "app.h"
#include "clock.h"
#include "link.h"
#include "mem.h"
#include "secret.h"
#include "shm.h"

static const char json[] = "application/json";

static void end_stream(struct park_events *e, const struct str *last_words);

static struct park_events *park_events_of(const struct park *p)
{
	return (struct park_events *)p;
}

static void park_events_fini(struct park *p)
{
	free(park_events_of(p)->epoch);
	free(park_events_of(p)->who);
	free(park_events_of(p)->address);
	str_fini(&park_events_of(p)->interest);
}

/* ---- the wait ---- */

/* Is it a long-poll that may turn out to be really held? */
static bool is_unsettled(const struct park_events *e)
{
	return !e->is_sse && !e->is_settled && e->has_since && e->timeout_ms > PARK_HEAD_MS;
}

static int64_t stream_deadline(const struct park_events *e)
{
	int64_t end_ms = e->park.parked_ms + e->short_ms;

	return e->short_ms && end_ms < e->heartbeat_at_ms ? end_ms : e->heartbeat_at_ms;
}

static int64_t park_events_deadline(const struct park *p)
{
	const struct park_events *e = park_events_of(p);

	if (e->is_sse)
		return stream_deadline(e);
	if (is_unsettled(e))
		return p->parked_ms + PARK_HEAD_MS;
	return p->parked_ms + e->timeout_ms + PARK_GRACE_MS;
}

/* Most polls of a busy log are answered before that: until then a hang-up may wait. */
static bool park_events_is_watched(const struct park *p)
{
	return !(is_unsettled(park_events_of(p)) && p->state == PARK_WAITING);
}

/* What of its time a long-poll has left; a stream's is always whole. */
static uint32_t timeout_left(const struct park_events *e)
{
	int64_t left = e->park.parked_ms + e->timeout_ms - clock_ms();

	if (e->is_sse)
		return e->timeout_ms;
	return left > 0 ? (uint32_t)left : 0;
}

static void say_wait(struct park_events *e)
{
	struct evbuffer *out = link_out(park_link(&e->park));
	const struct wire_holder holder = {e->who, e->address, e->was_said};

	if (!out)
		return;
	wire_put_wait(out, e->park.ticket, e->since, timeout_left(e), e->epoch ? e->epoch : "",
		str_c(&e->interest), e->interest.len, &holder);
	e->was_said = true;
}

/* Makes sure there is a cursor: the tail there is now, if that is known. */
static bool find_cursor(struct park_events *e)
{
	const struct link *link = park_link(&e->park);
	const struct shm *page = atomic_load(&park_app(&e->park)->shm);

	if (!e->has_since && (link_is_up(link) || shm_is_fresh(page))) {
		e->since = page ? atomic_load(&page->tail) : link_tail(link);
		e->has_since = true;
	}
	return e->has_since;
}

/* Waits for what comes after the cursor, or for a cursor. */
static void wait_for_more(struct park_events *e)
{
	bool can_ask = find_cursor(e);

	park_ask(&e->park, can_ask ? PARK_WAITING : PARK_UNRESOLVED);
	if (can_ask)
		say_wait(e);
}

static void park_events_on_written(struct park *p)
{
	struct park_events *e = park_events_of(p);

	if (e->is_sse && (e->is_leaving || park_is_stopping(p))) {
		end_stream(e, NULL);
		return;
	}
	if (p->state == PARK_ANSWERING || p->state == PARK_NEW)
		wait_for_more(e);
	park_watch(p);
}

/* ---- streams ---- */

static void send_text(struct park_events *e, const struct str *text)
{
	struct body *body = body_new(str_c(text), text->len);

	park_sent(&e->park, sink_send(&e->park.sink, NULL, body, e->park.is_last));
	body_put(body);
}

static void end_stream(struct park_events *e, const struct str *last_words)
{
	static const struct str none = STR_INIT;

	e->park.is_last = true;
	send_text(e, last_words ? last_words : &none);
}

/* The cursor is stated as soon as it is known, so that a stream that breaks before its first event
 * goes on from where it began; and again when it has moved without an event, so that it does not
 * fall out of retention. */
static void add_cursor(struct park_events *e, struct str *text)
{
	if (!e->has_since || (e->is_told && e->told == e->since))
		return;
	str_addf(text, "id: %llu\n", (unsigned long long)e->since);
	e->told = e->since;
	e->is_told = true;
}

static void heartbeat(struct park_events *e)
{
	struct str text = STR_INIT;

	e->heartbeat_at_ms = clock_ms() + e->heartbeat_ms;
	str_adds(&text, ": hb\n");
	add_cursor(e, &text);
	str_addc(&text, '\n');
	send_text(e, &text);
	str_fini(&text);
}

/* Other for each, so that not all that lost their process come back at one moment. */
static uint32_t retry_ms(void)
{
	uint32_t random;

	secret_random(&random, sizeof(random));
	return PARK_RETRY_MIN_MS + random % (PARK_RETRY_MAX_MS - PARK_RETRY_MIN_MS + 1);
}

static void start_stream(struct park_events *e)
{
	struct park *p = &e->park;
	struct str head = STR_INIT, text = STR_INIT;
	struct body *body;

	park_put_head(
		p, &head, 200, "text/event-stream; charset=utf-8", "X-Accel-Buffering: no\r\n", -1);
	e->has_head = true;
	str_addf(&text, "retry: %u\n", retry_ms());
	add_cursor(e, &text);
	str_addc(&text, '\n');
	body = body_new(text.p, text.len);
	park_sent(p, sink_send(&p->sink, &head, body, false));
	body_put(body);
	str_fini(&head);
	str_fini(&text);
}

static void park_events_start(struct park *p)
{
	struct park_events *e = park_events_of(p);

	e->heartbeat_at_ms = p->parked_ms + e->heartbeat_ms;
	if (e->is_sse)
		start_stream(e);
	else
		park_events_on_written(p);
}

/* ---- answers of a long-poll ---- */

static void send_head(struct park_events *e)
{
	struct str head = STR_INIT;

	park_put_head(&e->park, &head, 200, json, NULL, -1);
	e->has_head = true;
	park_sent(&e->park, sink_send(&e->park.sink, &head, NULL, false));
	str_fini(&head);
}

/* The answer, or what is left of it when the head is gone. */
static enum sink_state put_answer(struct park_events *e, struct body *body)
{
	if (!e->has_head)
		return park_put_answer(&e->park, 200, json, NULL, body);
	e->park.is_last = true;
	return sink_send(&e->park.sink, NULL, body, true);
}

/* Nothing new at its cursor, said without the poller. */
static struct body *empty_body(const struct park_events *e)
{
	const struct shm *page = atomic_load(&park_app(&e->park)->shm);
	const char *epoch = e->epoch ? e->epoch : link_epoch(park_link(&e->park));
	struct str text = STR_INIT;
	struct body *body;

	if (!epoch[0] && page)
		epoch = page->epoch;
	str_addf(&text,
		"{\"events\":[],\"lastEventId\":%llu,\"epoch\":", (unsigned long long)e->since);
	str_add_json(&text, epoch);
	str_adds(&text, ",\"more\":false}");
	body = body_new(text.p, text.len);
	str_fini(&text);
	return body;
}

static void answer_empty(struct park_events *e)
{
	struct body *body = empty_body(e);

	park_sent(&e->park, put_answer(e, body));
	body_put(body);
}

/* ---- ways to end ---- */

/* Its client is gone, or will send no more: what it is told, if it can still hear, is to come
 * again. A complete answer, lest the web server takes us for broken. */
static void park_events_on_hang_up(struct park *p)
{
	struct park_events *e = park_events_of(p);
	struct body *body;

	figure_add(park_app(p)->stats, STAT_HUNG_UP, 1);
	if (e->is_sse) {
		sink_send(&p->sink, NULL, NULL, true);
	} else if (e->has_since) {
		body = empty_body(e);
		put_answer(e, body);
		body_put(body);
	}
	park_end(p);
}

static void park_events_refuse(struct park *p, enum err error)
{
	struct park_events *e = park_events_of(p);
	struct str text = STR_INIT;

	if (!e->has_head) {
		park_fail(p, error, NULL, "");
	} else if (!e->is_sse) {
		answer_empty(e);
	} else {
		if (error == ERR_BUSY || error == ERR_TOO_MANY_HELD)
			str_addf(&text, "retry: %d\n", PARK_RETRY_BUSY_MS);
		str_adds(&text, "event: error\ndata: {\"code\":");
		str_add_json(&text, err_code(error));
		str_adds(&text, ",\"message\":");
		str_add_json(&text, err_text(error));
		str_adds(&text, "}\n\n");
		end_stream(e, &text);
		str_fini(&text);
	}
}

/* A long-poll has its cursor in an empty answer, a stream in its Last-Event-ID. */
static void park_events_release(struct park *p)
{
	struct park_events *e = park_events_of(p);

	if (p->state == PARK_ANSWERING)
		e->is_leaving = true;
	else if (e->is_sse)
		end_stream(e, NULL);
	else if (find_cursor(e))
		answer_empty(e);
	else
		park_refuse(p, ERR_UNAVAILABLE);
}

static void park_events_on_deadline(struct park *p)
{
	struct park_events *e = park_events_of(p);

	if (e->is_sse && e->short_ms && clock_ms() >= p->parked_ms + e->short_ms) {
		end_stream(e, NULL);
	} else if (e->is_sse) {
		heartbeat(e);
	} else if (is_unsettled(e)) {
		e->is_settled = true;
		if (e->needs_head)
			send_head(e);
		else
			park_watch(p);
	} else if (!e->has_since || e->timeout_ms == 0) {
		park_refuse(p, ERR_UNAVAILABLE);
	} else {
		figure_add(park_app(p)->stats, STAT_EXPIRED, 1);
		answer_empty(e);
	}
}

/* ---- what the poller says ---- */

static void park_events_on_up(struct park *p, const char *old_epoch)
{
	struct park_events *e = park_events_of(p);

	if (p->state == PARK_UNRESOLVED) {
		wait_for_more(e);
		if (e->is_sse)
			heartbeat(e);
		return;
	}
	/* Its cursor is of the log there was: let the poller see that. */
	if (!e->epoch && old_epoch)
		e->epoch = xstrdup(old_epoch);
	say_wait(e);
}

static void park_events_on_reply(struct park *p, const struct wire_frame *f, struct body *body)
{
	struct park_events *e = park_events_of(p);

	if (f->type == WIRE_DONE && f->done.what == WIRE_DONE_LIMIT) {
		park_refuse(p, slice_is(f->done.why, "host") ? ERR_BUSY : ERR_TOO_MANY_HELD);
		return;
	}
	if (f->type != WIRE_DELIVER) { /* the poller is not of this version */
		park_refuse(p, ERR_UNAVAILABLE);
		return;
	}
	if (!e->is_sse) {
		figure_add(park_app(p)->stats, STAT_ANSWERED, 1);
		park_sent(p, put_answer(e, body));
		return;
	}
	e->since = f->deliver.cursor;
	free(e->epoch); /* the cursor is of this log now */
	e->epoch = NULL;
	if (body->len > 0) {
		e->told = e->since;
		e->is_told = true;
	}
	p->is_last = false;
	park_sent(p, sink_send(&p->sink, NULL, body, false));
}

static const struct park_kind events_kind = {
	.start = park_events_start,
	.deadline = park_events_deadline,
	.on_deadline = park_events_on_deadline,
	.is_watched = park_events_is_watched,
	.on_hang_up = park_events_on_hang_up,
	.on_written = park_events_on_written,
	.on_up = park_events_on_up,
	.on_reply = park_events_on_reply,
	.release = park_events_release,
	.give_up = park_events_release,
	.refuse = park_events_refuse,
	.fini = park_events_fini,
};

struct park_events *park_events_new(void)
{
	return park_events_of(park_new(&events_kind, sizeof(struct park_events)));
}
