#include "subs.h"

#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "mem.h"
#include "room.h"
#include "stream.h"

#define VERSION 2

/* ---- the list ---- */

struct sub *subs_find(const struct subs *subs, const struct sub *s)
{
	for (size_t i = 0; i < subs->n; i++)
		if (subs->v[i].type == s->type && subs->v[i].view == s->view &&
			slice_same(subs->v[i].name, s->name))
			return &subs->v[i];
	return NULL;
}

void subs_rewind(struct subs *subs, uint64_t event_id)
{
	for (size_t i = 0; i < subs->n; i++)
		if (subs->v[i].is_paused && subs->v[i].since > event_id)
			subs->v[i].since = event_id;
}

static size_t filters_len(const struct subs *subs)
{
	size_t len = 0;

	for (size_t i = 0; i < subs->n; i++)
		len += subs->v[i].filter.len;
	return len;
}

static struct slice copy(struct slice from)
{
	return (struct slice){.p = slice_dup(from), .len = from.len};
}

static void sub_fini(struct sub *s)
{
	free((char *)s->name.p);
	free((char *)s->filter.p);
}

bool subs_add(struct subs *subs, const struct sub *s)
{
	struct sub *was = subs_find(subs, s);
	size_t others = filters_len(subs) - (was ? was->filter.len : 0);
	struct sub now = *s;

	if ((!was && subs->n == SUBS_MAX) || others + s->filter.len > SUBS_FILTERS_MAX ||
		s->name.len > EVENT_ROOM_MAX)
		return false;
	now.name = copy(s->name);
	now.filter = copy(s->filter);
	if (was) {
		now.is_command = now.is_command || was->is_command;
		sub_fini(was);
		*was = now;
		return true;
	}
	subs->v = xreallocarray(subs->v, subs->n + 1, sizeof(*subs->v));
	subs->v[subs->n++] = now;
	return true;
}

bool subs_drop(struct subs *subs, const struct sub *s)
{
	struct sub *was = subs_find(subs, s);

	if (!was || (was->is_command && !s->is_command))
		return false;
	sub_fini(was);
	*was = subs->v[--subs->n];
	return true;
}

void subs_fini(struct subs *subs)
{
	for (size_t i = 0; i < subs->n; i++)
		sub_fini(&subs->v[i]);
	free(subs->v);
	*subs = (struct subs){0};
}

/* ---- authority ---- */

static bool may_view(const struct sub *s, const struct principal *who)
{
	const struct stream *st = stream_find(s->name.p);

	return st && stream_view_is_asked(st, s->view) && stream_may_read(who, st->topic);
}

bool sub_may(const struct sub *s, const struct principal *who)
{
	if (s->type == SUB_VIEW)
		return may_view(s, who);
	return room_may(who, s->name.p) || (s->is_command && !room_kind_find(s->name.p));
}

void subs_judge(struct subs *subs, const struct principal *who, struct subs *gone)
{
	for (size_t i = 0; i < subs->n;) {
		if (sub_may(&subs->v[i], who)) {
			i++;
			continue;
		}
		gone->v = xreallocarray(gone->v, gone->n + 1, sizeof(*gone->v));
		gone->v[gone->n++] = subs->v[i];
		subs->v[i] = subs->v[--subs->n];
	}
}

/* ---- bytes ---- */

void subs_put(struct str *out, const struct subs *subs)
{
	bytes_put(out, VERSION, 1);
	bytes_put(out, subs->n, 2);
	for (size_t i = 0; i < subs->n; i++) {
		const struct sub *s = &subs->v[i];

		bytes_put(out, s->type, 1);
		bytes_put(out, s->is_command, 1);
		bytes_put(out, s->view, 1);
		bytes_put_slice(out, s->name);
		bytes_put_slice(out, s->filter);
		bytes_put(out, s->is_paused, 1);
		bytes_put(out, s->since, 8);
		bytes_put(out, s->mark, 8);
	}
}

/* Borrows; its name is not followed by a NUL. */
static struct sub read_sub(struct bytes *b)
{
	struct sub s = {.type = (enum sub_type)bytes_u8(b)};

	s.is_command = bytes_u8(b);
	s.view = bytes_u8(b);
	s.name = bytes_text(b);
	s.filter = bytes_text(b);
	s.is_paused = bytes_u8(b);
	s.since = bytes_u64(b);
	s.mark = bytes_u64(b);
	if (s.type < SUB_ROOM || s.type > SUB_VIEW || memchr(s.name.p, '\0', s.name.len))
		b->is_bad = true;
	return s;
}

bool subs_get(struct bytes *b, struct subs *subs)
{
	uint8_t version = bytes_u8(b);
	size_t n = bytes_u16(b);

	*subs = (struct subs){0};
	if (version != VERSION)
		b->is_bad = true;
	while (!b->is_bad && n-- > 0) {
		struct sub s = read_sub(b);

		if (!b->is_bad && !subs_add(subs, &s))
			b->is_bad = true;
	}
	if (b->is_bad)
		subs_fini(subs);
	return !b->is_bad;
}
