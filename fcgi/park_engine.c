#define _GNU_SOURCE /* memmem() */
#include "park_engine.h"

#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "cache.h"
#include "clock.h"
#include "link.h"
#include "log.h"
#include "mem.h"
#include "socket.h"
#include "worker.h"

#define WATCH_AFTER_MS 250 /* most GETs of a busy session are answered before */

static const char text_plain[] = "text/plain; charset=UTF-8", json[] = "application/json";
/* As the reference server has it: text/plain made some browsers offer a download. */
static const char text_html[] = "text/html";

static struct park_engine *park_engine_of(const struct park *p)
{
	return (struct park_engine *)p;
}

static void park_engine_fini(struct park *p)
{
	struct park_engine *e = park_engine_of(p);

	if (e->held_len)
		held_drop(&e->app->held, e->held_len);
	if (e->events) {
		sync_post_fini(&e->events->rows);
		str_fini(&e->events->body);
		str_fini(&e->events->state);
		free(e->events->pid);
		free(e->events->address);
		free(e->events);
	}
	str_fini(&e->ops);
	str_fini(&e->address);
	str_fini(&e->caller);
	str_fini(&e->about);
	str_fini(&e->packet);
	str_fini(&e->headers);
}

/* ---- events ---- */

/* May the packets ask for rows (request:<topic>, log:resume)? One that does so in escapes is done
 * where it is. */
static bool asks_for_rows(const struct str *body)
{
	static const char request[] = "\"request:", resume[] = "\"log:resume\"";

	return memmem(str_c(body), body->len, request, sizeof(request) - 1) ||
	       memmem(str_c(body), body->len, resume, sizeof(resume) - 1);
}

/* ---- errors ---- */

int engine_status(enum engine_error e)
{
	return e == ENGINE_FORBIDDEN ? 403 : 400;
}

void engine_put_error(struct str *body, enum engine_error e, const char *message)
{
	static const char *const messages[] = {"Transport unknown", "Session ID unknown",
		"Bad handshake method", "Bad request", "Forbidden", "Unsupported protocol version"};

	str_addf(body, "{\"code\":%d,\"message\":", (int)e);
	str_add_json(body, message ? message : messages[e]);
	str_addc(body, '}');
}

static void answer_text(struct park_engine *e, int status, const char *type, const char *text)
{
	struct body *body = body_new(text, strlen(text));

	park_answer(&e->park, status, type, str_c(&e->headers), body);
	body_put(body);
}

static void answer_error(struct park_engine *e, enum engine_error error, const char *message)
{
	struct str text = STR_INIT;

	figure_add(park_app(&e->park)->stats, STAT_ENGINE_REFUSED, 1);
	engine_put_error(&text, error, message);
	str_clear(&e->headers);
	answer_text(e, engine_status(error), json, str_c(&text));
	str_fini(&text);
}

/* Nobody can say what became of it, and it took too long to find out. */
static void answer_unavailable(struct park_engine *e)
{
	figure_add(park_app(&e->park)->stats, STAT_REFUSED, 1);
	str_clear(&e->headers);
	str_adds(&e->headers, "Retry-After: 1\r\n");
	answer_text(e, 503, text_plain, "");
}

static void answer_noop(struct park_engine *e)
{
	figure_add(park_app(&e->park)->stats, STAT_EXPIRED, 1);
	answer_text(e, 200, text_plain, "6");
}

/* ---- asking ---- */

static void done_with(const void *p, size_t len, void *rows)
{
	cached_put(rows);
}

static void say_bodies(const struct park_engine *e, struct evbuffer *out)
{
	const struct sync_post *rows = &e->events->rows;

	for (size_t i = 0; i < rows->n; i++) {
		struct cached *c = rows->v[i].rows;

		if (c)
			wire_put_body(out, c->body.p, c->body.len, done_with, cached_ref(c));
	}
}

static void park_engine_say(struct park_engine *e)
{
	struct evbuffer *out = link_out(park_link(&e->park));
	uint64_t ticket = e->park.ticket;
	uint8_t flags = e->is_again ? WIRE_IS_AGAIN : 0;

	if (!out)
		return;
	switch (e->what) {
	case ENGINE_HANDSHAKE:
		wire_put_open(
			out, ticket, e->sid, str_c(&e->address), e->packets, &e->caller, &e->about);
		break;
	case ENGINE_GET:
		wire_put_poll(out, ticket, e->sid, e->tag, e->user, flags);
		/* A web server does a request again once, and not twice. So this one is not held:
		 * its client's next one may be done again in its turn. */
		if (e->is_again)
			wire_put_release(out, ticket);
		break;
	case ENGINE_POST:
		if (e->has_bodies)
			say_bodies(e, out);
		if (e->is_applying)
			wire_put_apply(out, ticket, e->sid, e->tag, e->user, flags, &e->ops);
		else
			wire_put_lookup(out, ticket, e->sid, e->tag, e->user, flags, e->events->n,
				e->events->pid);
		break;
	case ENGINE_REFUSAL:
		wire_put_lookup(out, ticket, e->sid, e->tag, e->user, flags, 0, "");
		break;
	}
}

static void park_engine_ask(struct park_engine *e)
{
	park_ask(&e->park, PARK_WAITING);
	park_engine_say(e);
	park_watch(&e->park);
}

/* Has the poller answer it, or if that is away, does so: then it is gone, and true. */
static bool release_now(struct park_engine *e)
{
	struct evbuffer *out = link_out(park_link(&e->park));

	if (!out) {
		answer_noop(e);
		return true;
	}
	if (!e->is_released)
		wire_put_release(out, e->park.ticket);
	e->is_released = true;
	return false;
}

static void park_engine_release(struct park *p)
{
	/* The others are soon done, or have to wait for the poller whatever we do. */
	if (park_engine_of(p)->what == ENGINE_GET && p->state == PARK_WAITING)
		release_now(park_engine_of(p));
}

static void park_engine_start(struct park *p)
{
	struct park_engine *e = park_engine_of(p);

	e->is_applying = e->what == ENGINE_POST && !e->events;
	e->asked_ms = p->parked_ms;
	park_engine_ask(e);
}

static void park_engine_on_up(struct park *p, const char *old_epoch)
{
	struct park_engine *e = park_engine_of(p);

	e->has_bodies = false; /* it may have them */
	park_engine_say(e);
	if (e->is_released) {
		e->is_released = false;
		park_engine_release(p);
	}
}

/* ---- time ---- */

static int64_t park_engine_deadline(const struct park *p)
{
	const struct park_engine *e = park_engine_of(p);

	if (e->what == ENGINE_POST)
		return p->parked_ms + ENGINE_POST_MS;
	if (e->what != ENGINE_GET)
		return p->parked_ms + ENGINE_AWAY_MS;
	if (!e->is_settled)
		return p->parked_ms + WATCH_AFTER_MS;
	if (e->short_ms && !e->is_released)
		return p->parked_ms + e->short_ms;
	return e->asked_ms + ENGINE_AWAY_MS;
}

static void park_engine_on_deadline(struct park *p)
{
	struct park_engine *e = park_engine_of(p);

	if (e->what != ENGINE_GET) {
		answer_unavailable(e);
	} else if (!e->is_settled) {
		e->is_settled = true;
		park_watch(p);
	} else if (e->short_ms && !e->is_released) {
		if (!release_now(e))
			park_watch(p);
	} else if (link_is_up(park_link(p))) {
		/* The poller has it, and ends it by itself. */
		e->asked_ms = clock_ms();
		park_watch(p);
	} else {
		answer_noop(e);
	}
}

static bool park_engine_is_watched(const struct park *p)
{
	return park_engine_of(p)->is_settled;
}

static void park_engine_on_hang_up(struct park *p)
{
	struct body *body = body_new("6", 1);

	/* A complete answer, lest the web server takes us for broken. */
	figure_add(park_app(p)->stats, STAT_HUNG_UP, 1);
	park_put_answer(p, 200, text_plain, NULL, body);
	body_put(body);
	park_end(p);
}

/* ---- what the poller says ---- */

static void refused(struct park_engine *e, enum wire_done what, struct slice why)
{
	char *text = why.len ? slice_dup(why) : NULL;

	switch (what) {
	case WIRE_DONE_UNKNOWN:
		answer_error(e, ENGINE_UNKNOWN_SID, NULL);
		break;
	case WIRE_DONE_FORBIDDEN:
		answer_error(e, ENGINE_FORBIDDEN, NULL);
		break;
	case WIRE_DONE_LIMIT:
		answer_error(e, ENGINE_FORBIDDEN, text);
		break;
	case WIRE_DONE_BAD:
		answer_error(e, ENGINE_BAD_REQUEST, NULL);
		break;
	default:
		answer_unavailable(e);
	}
	free(text);
}

static void done(struct park_engine *e)
{
	figure_add(park_app(&e->park)->stats, STAT_ANSWERED, 1);
	if (e->what == ENGINE_HANDSHAKE)
		answer_text(e, 200, text_plain, str_c(&e->packet));
	else if (e->what == ENGINE_POST && !e->is_bad)
		answer_text(e, 200, text_html, "ok");
	else
		answer_error(e, ENGINE_BAD_REQUEST, NULL);
}

static void on_done(struct park_engine *e, const struct wire_frame *f)
{
	enum wire_done what = (enum wire_done)f->done.what;

	if (what == WIRE_DONE_OK) {
		done(e);
	} else if (what == WIRE_DONE_STALE && e->events && e->events->tries < ENGINE_TRIES) {
		e->is_applying = e->has_bodies = false;
		park_engine_ask(e);
	} else if (what == WIRE_DONE_LACKS && e->events && e->lacks_n++ < ENGINE_BODIES_MAX) {
		e->has_bodies = true;
		park_engine_ask(e);
	} else {
		refused(e, what, f->done.why);
	}
}

/* Who the events are of, if the session has shown it. */
static uint64_t owner_of(struct slice state)
{
	struct ops_state st;

	if (!ops_state_get(state, &st))
		return 0;
	return caller_number(st.sockets_n ? &st.sockets[0].caller : &st.caller);
}

static void on_session(struct park_engine *e, const struct wire_frame *f)
{
	if (!e->events) {
		done(e);
		return;
	}
	str_clear(&e->events->state);
	str_add(&e->events->state, f->session.state.p, f->session.state.len);
	e->events->tries++;
	e->park.job.owner = owner_of(f->session.state);
	park_work(&e->park);
}

static void park_engine_on_reply(struct park *p, const struct wire_frame *f, struct body *body)
{
	struct park_engine *e = park_engine_of(p);

	if (f->type == WIRE_DELIVER && e->what == ENGINE_GET) {
		figure_add(park_app(p)->stats, STAT_ANSWERED, 1);
		park_answer(p, 200, text_plain, NULL, body);
	} else if (f->type == WIRE_SESSION && !e->is_applying && e->what >= ENGINE_POST) {
		on_session(e, f);
	} else if (f->type == WIRE_DONE) {
		on_done(e, f);
	} else {
		log_error("poller", "an answer out of place: %d", (int)f->type);
		answer_unavailable(e);
	}
}

/* ---- events ---- */

static bool work(struct park *p, struct worker *w)
{
	struct park_engine *e = park_engine_of(p);
	static const char why[] = "it asks for more than one answer can have";
	const struct op too_much = {.type = OP_BAD, .code = {why, sizeof(why) - 1}};
	const struct socket_post post = {.body = &e->events->body,
		.state = &e->events->state,
		.pid = e->events->pid,
		.address = e->events->address,
		.sid = e->sid,
		.number = &e->events->number,
		.request_id = p->request_id,
		.arrived_ms = p->parked_ms};

	str_clear(&e->ops);
	w->needs = NULL;
	/* Before anything is done, so that nothing is done twice. */
	if (w->pool == e->app->events && asks_for_rows(post.body)) {
		w->needs = e->app->lists;
		return false;
	}
	sync_post_fini(&e->events->rows);
	e->events->rows.app = e->app;
	e->events->rows.ops = &e->ops;
	e->is_bad = !socket_run(w, &post, &e->events->rows);
	if (e->ops.len > WIRE_OPS_MAX) {
		log_warn("socket", "a POST makes %zu bytes of answers: its session is closed",
			e->ops.len);
		e->is_bad = true;
		sync_post_fini(&e->events->rows);
		str_clear(&e->ops);
		ops_put(&e->ops, &too_much);
	}
	return !w->needs;
}

static void on_worked(struct park *p)
{
	park_engine_of(p)->is_applying = true;
	park_engine_ask(park_engine_of(p));
}

/* Nothing is sent ahead of an answer. */
static void park_engine_on_written(struct park *p)
{
	park_end(p);
}

/* A stock client gives up its session at any answer but 200. */
static void park_engine_give_up(struct park *p)
{
	if (park_engine_of(p)->what == ENGINE_GET)
		answer_noop(park_engine_of(p));
	else
		answer_unavailable(park_engine_of(p));
}

static const struct park_kind engine_kind = {
	.start = park_engine_start,
	.deadline = park_engine_deadline,
	.on_deadline = park_engine_on_deadline,
	.is_watched = park_engine_is_watched,
	.on_hang_up = park_engine_on_hang_up,
	.on_written = park_engine_on_written,
	.on_up = park_engine_on_up,
	.on_reply = park_engine_on_reply,
	.release = park_engine_release,
	.give_up = park_engine_give_up,
	.work = work,
	.on_worked = on_worked,
	.fini = park_engine_fini,
};

struct park_engine *park_engine_new(enum engine_what what)
{
	struct park_engine *e = park_engine_of(park_new(&engine_kind, sizeof(*e)));

	e->what = what;
	return e;
}
