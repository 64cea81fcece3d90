#include "park.h"

#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "clock.h"
#include "http.h"
#include "jobs.h"
#include "link.h"
#include "log.h"
#include "loop.h"
#include "mem.h"
#include "worker.h"

TAILQ_HEAD(park_list, park);

struct parks {
	struct app *app;
	struct event_base *base;
	struct link *link;
	struct park_list lists[PARK_STATES];
	size_t n[PARK_STATES];
	struct park *by_ticket;
	uint64_t last_ticket, last_walk;
	struct revocations revocations;
	int64_t all_away_ms; /* when more was revoked than could be told; 0: never */
	bool is_stopping;
};

/* Those that wait for the poller's word. */
static const enum park_state held[] = {PARK_WAITING, PARK_UNRESOLVED};
#define HELD_N (sizeof(held) / sizeof(held[0]))

static void park_on_io(evutil_socket_t fd, short what, void *arg);

struct park *park_new(const struct park_kind *kind, size_t size)
{
	struct park *p = xcalloc(1, size);

	p->kind = kind;
	p->sink.fd = -1;
	p->token_ends_ms = INT64_MAX;
	return p;
}

void park_free(struct park *p)
{
	if (!p)
		return;
	if (p->kind->fini)
		p->kind->fini(p);
	sink_close(&p->sink);
	caller_unref(p->caller);
	free(p->origin);
	free(p);
}

void park_set_caller(struct park *p, const struct principal *who, int64_t checked_ms)
{
	struct caller_view v = caller_of(who);

	p->caller = caller_new(&v);
	p->job.owner = caller_number(&v);
	p->checked_ms = checked_ms;
	if (who->expires_at_s > 0)
		p->token_ends_ms = clock_ms() + (who->expires_at_s * 1000 - clock_wall_ms());
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

size_t parks_total(const struct parks *ps)
{
	return ps->n[PARK_UNRESOLVED] + ps->n[PARK_WAITING] + ps->n[PARK_WORKING] +
	       ps->n[PARK_ANSWERING];
}

struct app *park_app(const struct park *p)
{
	return p->parks->app;
}

struct link *park_link(const struct park *p)
{
	return p->parks->link;
}

bool park_is_stopping(const struct park *p)
{
	return p->parks->is_stopping;
}

/* ---- states ---- */

void park_set_state(struct park *p, enum park_state state)
{
	struct parks *ps = p->parks;

	if (p->state != PARK_NEW) {
		TAILQ_REMOVE(&ps->lists[p->state], p, entry);
		ps->n[p->state]--;
	}
	p->state = state;
	if (state != PARK_NEW) {
		TAILQ_INSERT_TAIL(&ps->lists[state], p, entry);
		p->walk = ps->last_walk;
		ps->n[state]++;
	}
}

void park_ask(struct park *p, enum park_state state)
{
	struct parks *ps = p->parks;

	if (p->ticket)
		HASH_DEL(ps->by_ticket, p);
	p->ticket = ++ps->last_ticket;
	p->says_n = 0;
	HASH_ADD(hh, ps->by_ticket, ticket, sizeof(p->ticket), p);
	park_set_state(p, state);
}

/* On a job thread. */
static void run_job(struct job *j, struct worker *w)
{
	struct park *p = (struct park *)((char *)j - offsetof(struct park, job));
	struct app *app = p->parks->app;
	int64_t from = clock_us();
	bool is_done;

	worker_take_settings(w);
	is_done = p->kind->work(p, w);
	if (!is_done) {
		w->is_refusing = !jobs_add(w->needs, j,
			w->needs == app->passwords ? (size_t)w->settings->cfg.auth.password_queue
						   : SIZE_MAX);
		if (w->is_refusing)
			is_done = p->kind->work(p, w);
		w->is_refusing = false;
	}
	worker_put_settings(w);
	figure_add(app->stats, STAT_JOB_US, (uint64_t)(clock_us() - from));
	if (!is_done)
		return;
	figure_add(app->stats, STAT_JOBS, 1);
	loop_worked(app->loop, p);
}

void park_work(struct park *p)
{
	event_del(&p->io);
	park_set_state(p, PARK_WORKING);
	p->job.run = run_job;
	jobs_add(p->parks->app->events, &p->job, SIZE_MAX);
}

void park_end(struct park *p)
{
	struct parks *ps = p->parks;
	struct loop *loop = ps->app->loop;

	if (p->state == PARK_WAITING)
		link_cancel(ps->link, p->ticket);
	figure_add(ps->app->stats, STAT_HOLD_MS, (uint64_t)(clock_ms() - p->parked_ms));
	figure_add(ps->app->stats, STAT_HELD, 1);
	event_del(&p->io);
	park_set_state(p, PARK_NEW);
	if (p->ticket)
		HASH_DEL(ps->by_ticket, p);
	loop_keep(loop, &p->sink);
	park_free(p);
	loop_release(loop);
}

static int64_t park_deadline(const struct park *p)
{
	int64_t due;

	if (p->state == PARK_ANSWERING)
		return p->stalled_ms + PARK_WRITE_STALL_MS;
	due = p->kind->deadline(p);
	return due < p->token_ends_ms ? due : p->token_ends_ms;
}

static bool wants_io(const struct park *p)
{
	return p->state == PARK_ANSWERING || (p->kind->is_watched && p->kind->is_watched(p));
}

/* Its hang-up shows only when one looks. */
static bool is_looked_at(const struct park *p)
{
	return p->state != PARK_ANSWERING && sink_is_looked_at(&p->sink) && wants_io(p);
}

void park_watch(struct park *p)
{
	short what = p->state == PARK_ANSWERING ? EV_WRITE : EV_READ;
	int64_t left = park_deadline(p) - clock_ms();
	struct timeval tv;

	if (left < 0)
		left = 0;
	if (is_looked_at(p) && left > SINK_LOOK_MS)
		left = SINK_LOOK_MS;
	tv = (struct timeval){.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};
	if (!wants_io(p) || is_looked_at(p)) {
		event_del(&p->io);
		event_assign(&p->io, p->parks->base, -1, 0, park_on_io, p);
		event_add(&p->io, &tv);
		return;
	}
	if (!event_pending(&p->io, what, NULL)) {
		event_del(&p->io);
		event_assign(&p->io, p->parks->base, p->sink.fd, what, park_on_io, p);
	}
	if (event_add(&p->io, &tv) == 0)
		return;
	/* A CGI program's output may be a plain file, which epoll refuses: there the deadline is
	 * enough. */
	event_assign(&p->io, p->parks->base, -1, 0, park_on_io, p);
	event_add(&p->io, &tv);
}

/* ---- answers ---- */

/* Answers that their clients do not read take no more than so much: whoever has read nothing for
 * longest is dropped, and comes again. */
static void park_make_room(struct park *p)
{
	struct parks *ps = p->parks;
	struct settings *set = app_settings_get(ps->app);
	struct park *oldest;

	while (body_bytes() > (size_t)set->cfg.fcgi.memory_bytes &&
		(oldest = TAILQ_FIRST(&ps->lists[PARK_ANSWERING])) != p) {
		log_info("park", "client reads nothing, dropped for others: request_id=%s",
			oldest->request_id);
		figure_add(ps->app->stats, STAT_HUNG_UP, 1);
		park_end(oldest);
	}
	app_settings_put(set);
}

void park_sent(struct park *p, enum sink_state state)
{
	if (state == SINK_GONE) {
		figure_add(p->parks->app->stats, STAT_HUNG_UP, 1);
		park_end(p);
	} else if (state == SINK_FULL) {
		p->stalled_ms = clock_ms();
		if (p->state == PARK_WAITING)
			link_cancel(p->parks->link, p->ticket);
		park_set_state(p, PARK_ANSWERING);
		park_watch(p);
		park_make_room(p);
	} else if (p->is_last) {
		park_end(p);
	} else {
		p->kind->on_written(p);
	}
}

void park_put_head(struct park *p, struct str *head, int status, const char *type,
	const char *headers, int64_t length)
{
	struct http_head h = {.status = status,
		.content_type = type,
		.content_length = length,
		.request_id = p->request_id,
		.origin = p->origin,
		.headers = headers};

	http_put_head(head, &h);
	stats_add_status(p->parks->app->stats, status);
}

enum sink_state park_put_answer(
	struct park *p, int status, const char *type, const char *headers, struct body *body)
{
	struct str head = STR_INIT;
	enum sink_state state;

	park_put_head(p, &head, status, type, headers, (int64_t)body->len);
	p->is_last = true;
	state = sink_send(&p->sink, &head, body, true);
	str_fini(&head);
	return state;
}

void park_answer(
	struct park *p, int status, const char *type, const char *headers, struct body *body)
{
	park_sent(p, park_put_answer(p, status, type, headers, body));
}

void park_fail(struct park *p, enum err e, const char *message, const char *details)
{
	struct str text = STR_INIT, headers = STR_INIT;
	struct body *body;

	http_put_error(&text, e, message, details);
	http_put_error_headers(&headers, e);
	body = body_new(text.p, text.len);
	park_answer(p, err_status(e), "application/json", str_c(&headers), body);
	body_put(body);
	str_fini(&text);
	str_fini(&headers);
}

/* ---- what happens to a parked request ---- */

void park_refuse(struct park *p, enum err e)
{
	_Atomic uint64_t *stats = p->parks->app->stats;

	figure_add(stats, err_status(e) == 401 ? STAT_REVOKED : STAT_REFUSED, 1);
	p->kind->refuse(p, e);
}

static void park_on_deadline(struct park *p)
{
	if (p->state == PARK_ANSWERING) {
		log_info("park", "client reads nothing, dropped: request_id=%s", p->request_id);
		figure_add(p->parks->app->stats, STAT_HUNG_UP, 1);
		park_end(p);
	} else if (clock_ms() >= p->token_ends_ms) {
		park_refuse(p, p->token_end);
	} else {
		p->kind->on_deadline(p);
	}
}

static void park_on_io(evutil_socket_t fd, short what, void *arg)
{
	struct park *p = arg;

	if (what & EV_WRITE) {
		p->stalled_ms = clock_ms();
		park_sent(p, sink_flush(&p->sink));
	} else if (((what & EV_READ) || is_looked_at(p)) && sink_is_abandoned(&p->sink)) {
		p->kind->on_hang_up(p);
	} else if (clock_ms() >= park_deadline(p)) {
		park_on_deadline(p);
	} else {
		park_watch(p);
	}
}

static enum err park_revoked(const struct park *p)
{
	struct caller_view caller = caller_view(p->caller);

	switch (revocations_find(&p->parks->revocations, &caller, p->checked_ms)) {
	case REVOKED_NO:
		return ERR_OK;
	case REVOKED_YES:
		return ERR_TOKEN_REVOKED;
	default:
		return ERR_UNAVAILABLE;
	}
}

enum err park_refused(struct park *p)
{
	enum err e = clock_ms() >= p->token_ends_ms ? p->token_end : park_revoked(p);

	if (e == ERR_OK && p->parks->all_away_ms >= p->checked_ms)
		e = ERR_UNAVAILABLE;
	/* What is told from now on is found from now on. */
	p->checked_ms = clock_ms();
	return e;
}

void parks_add(struct parks *ps, struct park *p)
{
	enum err refused;

	p->parks = ps;
	p->parked_ms = clock_ms();
	p->token_end = ERR_TOKEN_EXPIRED;
	refused = p->kind->refuse ? park_revoked(p) : ERR_OK;
	event_assign(&p->io, ps->base, p->sink.fd, 0, park_on_io, p);
	figure_add(ps->app->stats, STAT_PARKED, 1);
	if (refused != ERR_OK)
		park_refuse(p, refused);
	else
		p->kind->start(p);
	if (ps->is_stopping)
		parks_release(ps);
}

void parks_on_worked(struct parks *ps, struct park *p)
{
	p->kind->on_worked(p);
}

void parks_free(struct parks *ps)
{
	struct park *p;

	if (!ps)
		return;
	for (int i = 0; i < PARK_STATES; i++)
		while ((p = TAILQ_FIRST(&ps->lists[i])))
			park_end(p);
	free(ps);
}

/* Calls back for all in that state now. A call may end any of them: the walk keeps no next one,
 * but moves each it visits to the end of the list, behind those that were not yet. */
static void each_in(struct parks *ps, enum park_state state,
	void (*visit)(struct park *p, const void *arg), const void *arg)
{
	struct park_list *list = &ps->lists[state];
	uint64_t walk = ++ps->last_walk;
	struct park *p;

	while ((p = TAILQ_FIRST(list)) && p->walk < walk) {
		TAILQ_REMOVE(list, p, entry);
		TAILQ_INSERT_TAIL(list, p, entry);
		p->walk = walk;
		visit(p, arg);
	}
}

static void each_held(
	struct parks *ps, void (*visit)(struct park *p, const void *arg), const void *arg)
{
	for (size_t i = 0; i < HELD_N; i++)
		each_in(ps, held[i], visit, arg);
}

static void park_release(struct park *p, const void *arg)
{
	p->kind->release(p);
}

void parks_release(struct parks *ps)
{
	ps->is_stopping = true;
	each_held(ps, park_release, NULL);
}

/* ---- what the link tells ---- */

static void say_again(struct park *p, const void *old_epoch)
{
	if (p->state == PARK_WAITING && p->says_n++ == PARK_SAYS_MAX)
		p->kind->give_up(p);
	else
		p->kind->on_up(p, old_epoch);
}

void parks_on_up(struct parks *ps, const char *old_epoch)
{
	each_held(ps, say_again, old_epoch);
}

/* The one whose question is open; it may have ended while the answer was on its way. */
static struct park *find_waiting(struct parks *ps, uint64_t ticket)
{
	struct park *p;

	HASH_FIND(hh, ps->by_ticket, &ticket, sizeof(ticket), p);
	return p && p->state == PARK_WAITING ? p : NULL;
}

void parks_on_deliver(struct parks *ps, const struct wire_frame *f, struct body *body)
{
	for (uint32_t i = 0; i < f->deliver.tickets_n; i++) {
		struct park *p = find_waiting(ps, wire_ticket(f, i));

		if (!p)
			continue;
		park_set_state(p, PARK_ANSWERING);
		p->kind->on_reply(p, f, body);
	}
}

void parks_on_reply(struct parks *ps, uint64_t ticket, const struct wire_frame *f)
{
	struct park *p = find_waiting(ps, ticket);

	if (!p)
		return;
	park_set_state(p, PARK_ANSWERING);
	p->kind->on_reply(p, f, NULL);
}

/* More was revoked than can be told: who is held has to show anew who it is. */
static void send_away(struct park *p, const void *arg)
{
	if (p->kind->refuse)
		p->kind->release(p);
}

static bool is_concerned(const struct park *p, const struct revoked *r)
{
	struct caller_view caller = caller_view(p->caller);

	return p->kind->refuse && revoked_concerns(r, &caller);
}

static void revoke(struct park *p, const void *revoked)
{
	if (!is_concerned(p, revoked))
		return;
	p->token_end = ERR_TOKEN_REVOKED;
	p->token_ends_ms = 0; /* a stream that is being written ends after that */
	if (p->state != PARK_ANSWERING)
		park_refuse(p, p->token_end);
}

/* They may see more than what they asked for then could show. */
static void send_away_for_more(struct park *p, const void *more)
{
	if (is_concerned(p, more))
		send_away(p, NULL);
}

void parks_on_revoked(struct parks *ps, enum wire_revoke what, uint64_t id, struct slice jti)
{
	struct revoked r = {.what = what, .id = id};

	if (jti.len < sizeof(r.jti))
		memcpy(r.jti, jti.p, jti.len);
	if (what == WIRE_MORE_USER || what == WIRE_MORE_APIKEY) {
		each_held(ps, send_away_for_more, &r);
		return;
	}
	if (what == WIRE_REVOKE_ALL) {
		ps->all_away_ms = clock_ms();
		each_in(ps, PARK_ANSWERING, send_away, NULL);
		each_held(ps, send_away, NULL);
		return;
	}
	revocations_add(&ps->revocations, &r, clock_ms());
	each_in(ps, PARK_ANSWERING, revoke, &r);
	each_held(ps, revoke, &r);
}
