#include "stream.h"

#include <assert.h>
#include <string.h>

#include "event.h"
#include "event_name.h"

/* ---- topics ---- */

const struct stream *stream_find(const char *topic)
{
	for (const struct stream *st = streams; st->topic; st++)
		if (strcmp(st->topic, topic) == 0)
			return st;
	return NULL;
}

static const struct stream_view *view_by(const struct stream *st, enum stream_grant grant)
{
	for (size_t i = 0; i < STREAM_VIEWS_MAX; i++)
		if (st->views[i].grant == grant)
			return &st->views[i];
	return NULL;
}

int stream_view_by(const struct stream *st, enum stream_grant grant)
{
	const struct stream_view *v = view_by(st, grant);

	return v ? (int)(v - st->views) : -1;
}

bool stream_is_asked(const struct stream *st)
{
	return view_by(st, STREAM_ON_ASKING) || view_by(st, STREAM_BY_EVENT) ||
	       view_by(st, STREAM_IN_EVENTS);
}

bool stream_view_is_asked(const struct stream *st, size_t view)
{
	enum stream_grant grant = view < STREAM_VIEWS_MAX ? st->views[view].grant : STREAM_NO_VIEW;

	return grant == STREAM_ON_ASKING || grant == STREAM_BY_EVENT;
}

const struct stream_filter *stream_filter(const struct stream *st)
{
	for (size_t i = 0; i < STREAM_VIEWS_MAX; i++)
		if (st->views[i].filter)
			return st->views[i].filter;
	return NULL;
}

static bool may_read(const struct principal *who, const struct stream *st)
{
	return st->perm ? perm_has(who, st->perm) : perm_has2(who, st->topic, "read");
}

void stream_put_perm(struct str *out, const struct stream *st)
{
	if (st->perm)
		str_adds(out, st->perm);
	else
		str_addf(out, "%s:read", st->topic);
}

bool stream_may_read(const struct principal *who, const char *topic)
{
	const struct stream *st = stream_find(topic);

	if (topic[0] == '_')
		return false;
	return st ? may_read(who, st) : perm_has2(who, topic, "read");
}

/* "<topic>:read", "<topic>:*" of a topic that has no row. */
static void add_named(const char *perm, struct strlist *topics)
{
	const char *colon = strrchr(perm, ':');
	char topic[PERM_MAX + 1];

	if (!colon || perm[0] == '_' || (size_t)(colon - perm) >= sizeof(topic) ||
		(strcmp(colon, ":read") != 0 && strcmp(colon, ":*") != 0))
		return;
	memcpy(topic, perm, (size_t)(colon - perm));
	topic[colon - perm] = '\0';
	if (!stream_find(topic) && !strlist_has(topics, topic))
		strlist_add(topics, topic, strlen(topic));
}

void stream_add_readable(const struct principal *who, struct strlist *topics)
{
	for (const struct stream *st = streams; st->topic; st++)
		if (stream_may_read(who, st->topic))
			strlist_add(topics, st->topic, strlen(st->topic));
	for (size_t i = 0; i < who->perms.n; i++)
		add_named(who->perms.v[i], topics);
}

/* ---- retention ---- */

static const char *const retention_names[RETENTION_N] = {
	[RETENTION_LASTING] = "lasting", [RETENTION_BRIEF] = "brief"};

enum retention stream_retention(const char *topic)
{
	const struct stream *st = stream_find(topic);

	return st ? st->retention : RETENTION_LASTING;
}

const char *retention_name(enum retention r)
{
	assert((unsigned)r < RETENTION_N);
	return retention_names[r];
}

int retention_find(const char *name)
{
	for (int r = 0; r < RETENTION_N; r++)
		if (strcmp(retention_names[r], name) == 0)
			return r;
	return -1;
}

/* ---- shapes ---- */

static void put_named(struct str *out, const char *name, struct slice payload)
{
	str_add_json(out, name);
	str_addc(out, ',');
	str_add(out, payload.p, payload.len);
}

/* What clients would take for something else goes out under a name that none minds. */
static void put_renamed(struct str *out, const char *name, struct slice payload)
{
	str_adds(out, "\"" EVENT_NAME_SAFE "\",{\"name\":");
	str_add_json(out, name);
	str_adds(out, ",\"data\":");
	str_add(out, payload.p, payload.len);
	str_addc(out, '}');
}

static void put_update(struct str *out, const struct event_row *e, struct slice payload)
{
	if (e->is_renamed) {
		put_renamed(out, e->name, payload);
		return;
	}
	if (*e->name) {
		put_named(out, e->name, payload);
		return;
	}
	str_add_json(out, e->topic);
	out->len--; /* its closing quote */
	str_addf(out,
		":update\",{\"eventId\":%llu,\"type\":\"%s\",\"data\":", (unsigned long long)e->id,
		event_type_name(e->type));
	str_add(out, payload.p, payload.len);
	str_addc(out, '}');
}

const struct stream_shape stream_shape_update = {.name = "update", .put = put_update};

const struct stream_shape *stream_shape(const char *topic)
{
	const struct stream *st = stream_find(topic);
	const struct stream_view *v = st ? view_by(st, STREAM_BY_RIGHT) : NULL;

	return v ? v->shape : &stream_shape_update;
}
