#include "session_again.h"

#include <stdlib.h>

#include "clock.h"
#include "conn.h"
#include "hub.h"
#include "mem.h"

#define DOUBT_MS 500

struct asked asked_of(const struct conn *c, uint64_t ticket, uint64_t tag)
{
	return (struct asked){.process = c->process,
		.ticket = ticket,
		.tag = tag,
		.is_cgi = c->role == WIRE_ROLE_CGI};
}

enum again session_again(
	struct session *s, const struct asked *last, const struct asked *now, bool is_told)
{
	bool has_mark = now->tag && !s->has_dull_tags;

	if (!last->process)
		return AGAIN_NO;
	if (last->process == now->process && last->ticket == now->ticket)
		return AGAIN_YES;
	if (last->tag != now->tag)
		return AGAIN_NO;
	/* POSTs without a mark of their own, of which nobody can tell: rather twice than not. */
	if (last == &s->put && !has_mark)
		return AGAIN_NO;
	if (is_told)
		return AGAIN_YES;
	if (last->process == now->process)
		return AGAIN_NO;
	if (!conn_has_process(s->hub, last->process))
		return last->is_cgi && !has_mark ? AGAIN_NO : AGAIN_YES;
	return has_mark || s->poll ? AGAIN_PERHAPS : AGAIN_NO;
}

void session_note_tag(struct session *s, uint64_t tag)
{
	if (tag && (tag == s->got.tag || tag == s->put.tag))
		s->has_dull_tags = true;
}

/* ---- doubts ---- */

struct doubt {
	struct doubts *all;
	struct conn *conn;
	uint64_t ticket;
	struct evbuffer *frame;
	look_again_fn *look;
	int64_t until_ms;
	struct event timer;
	TAILQ_ENTRY(doubt) entry;
};
TAILQ_HEAD(doubt_list, doubt);

struct doubts {
	struct hub *hub;
	struct doubt_list list;
	struct doubt *looked_at; /* it is in no list */
};

struct doubts *doubts_new(struct hub *hub)
{
	struct doubts *all = xcalloc(1, sizeof(*all));

	all->hub = hub;
	TAILQ_INIT(&all->list);
	return all;
}

static void session_again_forget(struct doubt *d)
{
	evtimer_del(&d->timer);
	evbuffer_free(d->frame);
	free(d);
}

static void session_again_list(struct doubt *d)
{
	int64_t left = d->until_ms - clock_ms();
	struct timeval tv = {.tv_usec = left > 0 ? left * 1000 : 0};

	TAILQ_INSERT_TAIL(&d->all->list, d, entry);
	evtimer_add(&d->timer, &tv);
}

static void look_again(evutil_socket_t fd, short what, void *arg)
{
	struct doubt *d = arg;
	struct doubts *all = d->all;
	bool is_decided = clock_ms() >= d->until_ms;
	struct wire_frame f;
	const char *why;

	TAILQ_REMOVE(&all->list, d, entry);
	all->looked_at = d;
	if (wire_peek(d->frame, WIRE_TO_POLLER_MAX, &f, &why) == WIRE_GOT_FRAME)
		d->look(d->conn, &f, is_decided);
	if (all->looked_at)
		session_again_forget(d);
	all->looked_at = NULL;
	all->hub->handler->done(all->hub);
}

void doubts_add(struct conn *c, const struct wire_frame *f, uint64_t ticket, look_again_fn *look)
{
	struct doubts *all = c->hub->doubts;
	struct doubt *d = all->looked_at;

	all->looked_at = NULL;
	if (!d) {
		char *bytes = xmalloc(f->size);

		d = xcalloc(1, sizeof(*d));
		d->all = all;
		d->conn = c;
		d->ticket = ticket;
		d->look = look;
		d->until_ms = clock_ms() + DOUBT_MS;
		d->frame = evbuffer_new();
		evbuffer_copyout(bufferevent_get_input(c->bev), bytes, f->size);
		evbuffer_add(d->frame, bytes, f->size);
		free(bytes);
		evtimer_assign(&d->timer, all->hub->base, look_again, d);
	}
	session_again_list(d);
}

static struct doubt *session_again_find(
	struct doubts *all, const struct conn *c, const uint64_t *ticket)
{
	struct doubt *d;

	TAILQ_FOREACH (d, &all->list, entry)
		if (d->conn == c && (!ticket || d->ticket == *ticket))
			return d;
	return NULL;
}

static void session_again_drop(struct doubt *d)
{
	TAILQ_REMOVE(&d->all->list, d, entry);
	session_again_forget(d);
}

void doubts_drop(struct conn *c, uint64_t ticket)
{
	struct doubt *d = session_again_find(c->hub->doubts, c, &ticket);

	if (d)
		session_again_drop(d);
}

void doubts_conn_gone(struct conn *c)
{
	struct doubts *all = c->hub->doubts;
	struct doubt *d;

	while ((d = session_again_find(all, c, NULL)))
		session_again_drop(d);
	TAILQ_FOREACH (d, &all->list, entry)
		event_active(&d->timer, EV_TIMEOUT, 0);
}

void doubts_free(struct doubts *all)
{
	while (!TAILQ_EMPTY(&all->list))
		session_again_drop(TAILQ_FIRST(&all->list));
	free(all);
}
