#include "session_show.h"

#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "event.h"
#include "group.h"
#include "hub.h"
#include "mem.h"
#include "record.h"
#include "ring.h"
#include "session.h"
#include "session_poll.h"
#include "session_queue.h"
#include "session_store.h"
#include "view.h"
#include "wait.h"

/* ---- what is left out ---- */

bool session_skips(const struct session *s, const struct record *r, bool by_view)
{
	if (!by_view && !record_is_row(r))
		return false;
	for (size_t i = 0; i < s->skips_n; i++)
		if (r->item.id <= s->skips[i].upto && s->skips[i].by_view == by_view &&
			strcmp(r->topic, s->skips[i].topic) == 0)
			return true;
	return false;
}

void session_skip(struct session *s, struct slice topic, bool by_view, uint64_t upto)
{
	for (size_t i = 0; i < s->skips_n; i++) {
		if (s->skips[i].by_view == by_view && slice_is(topic, s->skips[i].topic)) {
			s->skips[i].upto = upto;
			return;
		}
	}
	if (s->skips_n == SESSION_SKIPS_MAX)
		return; /* then it is told more than it needs */
	s->skips = xreallocarray(s->skips, s->skips_n + 1, sizeof(*s->skips));
	s->skips[s->skips_n++] =
		(struct skip){.topic = slice_dup(topic), .by_view = by_view, .upto = upto};
}

void session_forget_skips(struct session *s)
{
	for (size_t i = s->skips_n; i-- > 0;) {
		if (s->skips[i].upto > (s->skips[i].by_view ? s->pace.shown : s->cursor))
			continue;
		free(s->skips[i].topic);
		s->skips[i] = s->skips[--s->skips_n];
	}
}

/* ---- what is queued ---- */

struct shown_hit {
	struct session *s;
	struct sock *k;
	uint64_t id;
	bool is_alive;
};

static void emit_part(struct slice args, void *arg)
{
	struct shown_hit *to = arg;

	if (to->is_alive)
		to->is_alive = session_emit(to->s, to->k, args, to->id, false);
}

bool session_emit_hit(
	struct session *s, struct sock *k, const struct hits *h, const struct hit *hit)
{
	struct shown_hit to = {s, k, hit->record->item.id, true};
	struct str args = STR_INIT;
	char date[RECORD_DATE_SIZE];
	struct event_row e = record_row(hit->record, date);

	if (hit_is_paced(hit)) {
		struct batch *b = batch_new(hit->row);

		for (uint32_t i = 0; i < hit_entries_n(hit); i++)
			batch_add(b, &e, hit_entry(h, hit, i));
		batch_put(b, SIZE_MAX, emit_part, &to);
		batch_free(b);
	} else {
		hit_put(h, hit, &args);
		emit_part(slice_str(&args), &to);
		str_fini(&args);
	}
	return to.is_alive;
}

/* ---- pausing ---- */

/* By its cursors alone. */
static uint64_t passed(const struct session *s, const struct sub *view)
{
	const struct waiter *w = s->poll;
	const struct stream *st = stream_find(view->name.p);
	bool is_paced = st && st->views[view->view].pace;

	if (!w)
		return is_paced ? s->pace.shown : s->cursor;
	if (w->state == WAITER_PARKED)
		return is_paced ? wait_shown(w, s->hub->tail) : s->hub->tail;
	if (!is_paced)
		return wait_seen(w);
	return w->start.is_open ? w->cursor : wait_shown(w, w->cursor);
}

uint64_t session_shown(const struct session *s, const struct sub *view)
{
	uint64_t upto = passed(s, view);

	for (size_t i = 0; i < s->skips_n; i++)
		if (s->skips[i].by_view && slice_is(view->name, s->skips[i].topic) &&
			s->skips[i].upto > upto)
			upto = s->skips[i].upto;
	return upto;
}

/* What of the view the session's cursor has passed already, behind that event. */
static bool show_passed(
	struct session *s, const struct asked_view *v, uint64_t behind, uint64_t upto)
{
	const struct ring *ring = &s->hub->ring;
	struct sock *k = session_sock(s, slice_of(NSP_MAIN));
	struct hits h = {0};
	bool ok = true;

	for (size_t i = ring_after(ring, behind); ok && i < ring->n; i++) {
		const struct record *r = ring_at(ring, i);

		if (r->item.id > upto)
			break;
		hits_clear(&h);
		if (r->tenant_id == s->group->want.tenant_id && !r->room[0])
			hits_add_view(&h, v, r);
		ok = !h.n || session_emit_hit(s, k, &h, h.v);
	}
	hits_fini(&h);
	return ok;
}

bool session_show_again(struct session *s, const struct sub *view, uint64_t behind)
{
	const struct stream *st = stream_find(view->name.p);
	struct asked_view v = {.stream = st, .row = &st->views[view->view], .filter = view->filter};
	uint64_t cursor = session_cursor(s), upto = session_shown(s, view);

	if (upto < cursor)
		upto = cursor;
	if (upto < behind)
		upto = behind;
	session_skip(s, view->name, true, upto);
	store_session(s);
	return show_passed(s, &v, behind, cursor);
}
