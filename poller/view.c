#include "view.h"

#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "mem.h"
#include "record.h"

/* ---- views ---- */

bool view_is_costly(const struct stream *st, size_t view, struct slice filter)
{
	const struct stream_filter *f =
		st && view < STREAM_VIEWS_MAX ? st->views[view].filter : NULL;

	return f && f->looks && filter.len && f->looks(filter) > 1;
}

/* Those of sockets and those of /events are not each other's. */
static bool resolve(const struct wire_view *want, uint8_t format, struct asked_view *v)
{
	const struct stream *st = stream_find(want->topic);

	if (!st || want->view >= STREAM_VIEWS_MAX ||
		(format == WIRE_SOCKET ? !stream_view_is_asked(st, want->view)
				       : st->views[want->view].grant != STREAM_IN_EVENTS))
		return false;
	*v = (struct asked_view){
		.stream = st, .row = &st->views[want->view], .filter = want->filter, .looks = 1};
	if (v->row->filter && v->row->filter->looks && v->filter.len)
		v->looks = v->row->filter->looks(v->filter);
	return true;
}

size_t views_of(const struct wire_interest *want, struct asked_view **out)
{
	struct asked_view *all = want->views_n ? xcalloc(want->views_n, sizeof(*all)) : NULL;
	size_t n = 0;

	for (size_t i = 0; i < want->views_n; i++)
		n += resolve(&want->views[i], want->format, &all[n]);
	*out = all;
	return n;
}

/* ---- hits ---- */

static struct hit *view_add(struct hits *h, const struct record *r, const struct stream_view *row)
{
	if (h->n == h->cap) {
		h->cap = h->cap ? h->cap * 2 : 8;
		h->v = xreallocarray(h->v, h->cap, sizeof(*h->v));
	}
	h->v[h->n] = (struct hit){.record = r, .row = row, .n = HIT_ALL};
	return &h->v[h->n++];
}

void hits_add(struct hits *h, const struct record *r)
{
	view_add(h, r, NULL);
}

static void view_add_entry(struct hits *h, uint32_t i)
{
	if (h->entries_n == h->entries_cap) {
		h->entries_cap = h->entries_cap ? h->entries_cap * 2 : 16;
		h->entries = xreallocarray(h->entries, h->entries_cap, sizeof(*h->entries));
	}
	h->entries[h->entries_n++] = i;
}

void hits_add_view(struct hits *h, const struct asked_view *v, const struct record *r)
{
	size_t first = h->entries_n;
	struct hit *hit;

	if (v->stream != r->stream || !r->entries_n)
		return;
	if (!v->row->filter || !v->filter.len) {
		view_add(h, r, v->row);
		return;
	}
	for (uint32_t i = 0; i < r->entries_n; i++)
		if (v->row->filter->matches(v->filter, record_digest(r, i)))
			view_add_entry(h, i);
	if (h->entries_n == first)
		return;
	hit = view_add(h, r, v->row);
	if (h->entries_n - first == r->entries_n) {
		h->entries_n = first;
		return;
	}
	hit->first = (uint32_t)first;
	hit->n = (uint32_t)(h->entries_n - first);
}

void hits_add_entry(struct hits *h, const struct asked_view *v, const struct record *r, uint32_t i)
{
	struct hit *last = h->n ? &h->v[h->n - 1] : NULL;

	if (v->stream != r->stream || !v->row->filter ||
		!v->row->filter->matches(v->filter, record_digest(r, i)))
		return;
	if (!last || last->record != r || last->row != v->row) {
		last = view_add(h, r, v->row);
		last->first = (uint32_t)h->entries_n;
		last->n = 0;
	}
	view_add_entry(h, i);
	last->n++;
}

void hits_clear(struct hits *h)
{
	h->n = h->entries_n = 0;
}

void hits_fini(struct hits *h)
{
	free(h->v);
	free(h->entries);
	*h = (struct hits){0};
}

bool hit_is_paced(const struct hit *hit)
{
	return hit->row && hit->row->pace;
}

uint32_t hit_entries_n(const struct hit *hit)
{
	return hit->n == HIT_ALL ? hit->record->entries_n : hit->n;
}

uint64_t hit_entry_id(const struct hits *h, const struct hit *hit, uint32_t i)
{
	const struct stream_filter *f = hit->row->filter;

	if (!f || !f->entry_id)
		return hit->record->item.id;
	return f->entry_id(
		record_digest(hit->record, hit->n == HIT_ALL ? i : h->entries[hit->first + i]));
}

struct slice hit_entry(const struct hits *h, const struct hit *hit, uint32_t i)
{
	return record_entry(hit->record, hit->n == HIT_ALL ? i : h->entries[hit->first + i]);
}

static void put_payload(const struct hits *h, const struct hit *hit, struct str *out)
{
	const struct record *r = hit->record;

	if (hit->n == HIT_ALL) {
		str_add(out, r->json + r->payload_at, r->payload_len);
		return;
	}
	for (uint32_t i = 0; i < hit->n; i++) {
		struct slice entry = hit_entry(h, hit, i);

		str_addc(out, i ? ',' : '[');
		str_add(out, entry.p, entry.len);
	}
	str_addc(out, ']');
}

void hit_put_json(const struct hits *h, const struct hit *hit, struct str *out)
{
	const struct record *r = hit->record;
	size_t behind = r->payload_at + r->payload_len;

	str_add(out, r->json, r->payload_at);
	put_payload(h, hit, out);
	str_add(out, r->json + behind, r->json_len - behind);
}

void hit_put(const struct hits *h, const struct hit *hit, struct str *out)
{
	const struct record *r = hit->record;
	struct str payload = STR_INIT;
	char date[RECORD_DATE_SIZE];
	struct event_row e;

	if (!hit->row) {
		record_socket_args(r, out);
		return;
	}
	e = record_row(r, date);
	put_payload(h, hit, &payload);
	hit->row->shape->put(out, &e, slice_str(&payload));
	str_fini(&payload);
}
