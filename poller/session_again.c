#include "session_again.h"

#include <stdlib.h>

#include "clock.h"
#include "conn.h"
#include "hub.h"
#include "mem.h"
#include "session_apply.h"
#include "session_poll.h"
#include "session_store.h"
#include "sessions.h"

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
	struct sessions *ss;
	struct conn *conn;
	uint64_t ticket;
	struct evbuffer *frame;
	int64_t until_ms;
	struct event timer;
	TAILQ_ENTRY(doubt) entry;
};

static void forget(struct doubt *d)
{
	evtimer_del(&d->timer);
	evbuffer_free(d->frame);
	free(d);
}

static void list(struct doubt *d)
{
	int64_t left = d->until_ms - clock_ms();
	struct timeval tv = {.tv_usec = left > 0 ? left * 1000 : 0};

	TAILQ_INSERT_TAIL(&d->ss->doubts, d, entry);
	evtimer_add(&d->timer, &tv);
}

static void look_again(evutil_socket_t fd, short what, void *arg)
{
	struct doubt *d = arg;
	struct sessions *ss = d->ss;
	bool is_decided = clock_ms() >= d->until_ms;
	struct wire_frame f;
	const char *why;

	TAILQ_REMOVE(&ss->doubts, d, entry);
	ss->doubted = d;
	if (wire_peek(d->frame, WIRE_TO_POLLER_MAX, &f, &why) == WIRE_GOT_FRAME) {
		if (f.type == WIRE_POLL)
			session_poll(d->conn, &f, is_decided);
		else if (f.type == WIRE_LOOKUP)
			session_lookup(d->conn, &f, is_decided);
		else
			session_apply(d->conn, &f, is_decided);
	}
	if (ss->doubted)
		forget(d);
	ss->doubted = NULL;
	store_flush(ss);
}

void doubts_add(struct sessions *ss, struct conn *c, const struct wire_frame *f, uint64_t ticket)
{
	struct doubt *d = ss->doubted;

	ss->doubted = NULL;
	if (!d) {
		char *bytes = xmalloc(f->size);

		d = xcalloc(1, sizeof(*d));
		d->ss = ss;
		d->conn = c;
		d->ticket = ticket;
		d->until_ms = clock_ms() + DOUBT_MS;
		d->frame = evbuffer_new();
		evbuffer_copyout(bufferevent_get_input(c->bev), bytes, f->size);
		evbuffer_add(d->frame, bytes, f->size);
		free(bytes);
		evtimer_assign(&d->timer, ss->hub->base, look_again, d);
	}
	list(d);
}

static struct doubt *find(struct sessions *ss, const struct conn *c, const uint64_t *ticket)
{
	struct doubt *d;

	TAILQ_FOREACH (d, &ss->doubts, entry)
		if (d->conn == c && (!ticket || d->ticket == *ticket))
			return d;
	return NULL;
}

static void drop(struct sessions *ss, struct doubt *d)
{
	TAILQ_REMOVE(&ss->doubts, d, entry);
	forget(d);
}

void doubts_drop(struct sessions *ss, struct conn *c, uint64_t ticket)
{
	struct doubt *d = find(ss, c, &ticket);

	if (d)
		drop(ss, d);
}

void doubts_conn_gone(struct sessions *ss, struct conn *c)
{
	struct doubt *d;

	while ((d = find(ss, c, NULL)))
		drop(ss, d);
	TAILQ_FOREACH (d, &ss->doubts, entry)
		event_active(&d->timer, EV_TIMEOUT, 0);
}

void doubts_free(struct sessions *ss)
{
	while (!TAILQ_EMPTY(&ss->doubts))
		drop(ss, TAILQ_FIRST(&ss->doubts));
}
