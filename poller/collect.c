#include "collect.h"

#include "body.h"
#include "conn.h"
#include "group.h"
#include "hub.h"
#include "record.h"
#include "view.h"
#include "wait.h"

static bool skips(const struct waiter *w, const struct record *r, bool by_view)
{
	return w->kind->skips && w->kind->skips(w, r, by_view);
}

static bool is_wanted(const struct waiter *w, const struct record *r)
{
	return group_wants_by_right(w->group, r) && !skips(w, r, false);
}

/* Makes room for so many packets more. Who has much to read already is given no more to it. */
static bool has_room(struct waiter *w, size_t packets_n)
{
	if (conn_is_clogged(w->conn))
		return false;
	if (!w->partial)
		w->partial = body_new((enum wire_format)w->group->want.format, w->conn->hub->epoch);
	return body_has_room(w->partial, w->group->want.limit, packets_n);
}

static bool collect_plain(struct waiter *w, const struct record *r)
{
	if (!is_wanted(w, r))
		return true;
	if (!has_room(w, 1))
		return false;
	body_add(w->partial, r);
	return true;
}

/* Is it this walk that shows it? */
static bool is_due(struct waiter *w, const struct hit *hit)
{
	uint64_t id = hit->record->item.id;

	if (skips(w, hit->record, hit->row))
		return false;
	if (!hit_is_paced(hit))
		return id > w->start.plain;
	if (w->start.is_open)
		return id > wait_shown(w, w->start.plain);
	if (w->held == WAIT_HOLDS_NOTHING)
		w->held = w->cursor;
	return false;
}

/* How many packets it makes, at most: an event may be the first of its view that is dropped. */
static size_t keep_due(struct waiter *w, struct hits *h)
{
	size_t kept = 0, packets_n = 0;

	for (size_t i = 0; i < h->n; i++) {
		if (!is_due(w, &h->v[i]))
			continue;
		packets_n += 1 + (hit_is_paced(&h->v[i]) && h->v[i].row->pace->per_s);
		h->v[kept++] = h->v[i];
	}
	h->n = kept;
	return packets_n;
}

static bool add_hits(struct waiter *w, const struct hits *h, size_t packets_n)
{
	if (!packets_n)
		return true;
	if (!has_room(w, packets_n))
		return false;
	w->partial->budget = w->start.budget;
	if (w->partial->offset < w->start.plain)
		w->partial->offset = w->start.plain;
	for (size_t i = 0; i < h->n; i++) {
		if (h->v[i].row)
			body_add_hit(w->partial, h, &h->v[i]);
		else
			body_add(w->partial, h->v[i].record);
	}
	return true;
}

static bool collect_views(struct waiter *w, const struct record *r)
{
	struct hits h = {0};
	bool ok;

	group_match(w->group, r, &h);
	for (size_t i = 0; i < w->group->views_n; i++)
		w->work += (size_t)w->group->views[i].looks * r->digests_len;
	ok = add_hits(w, &h, keep_due(w, &h));
	hits_fini(&h);
	return ok;
}

bool collect_record(struct waiter *w, const struct record *r)
{
	if (r->item.id <= w->cursor)
		return true;
	if (!(w->group->views_n ? collect_views(w, r) : collect_plain(w, r)))
		return false;
	w->cursor = r->item.id;
	return true;
}

bool collect_is_alike(const struct start *a, const struct start *b, const struct body *made)
{
	return a->cursor == b->cursor && a->plain == b->plain && a->held == b->held &&
	       a->is_open == b->is_open &&
	       (made->has_dropped ? a->budget == b->budget : b->budget >= made->rated_n);
}
