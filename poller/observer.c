#include "observer.h"

#include <assert.h>
#include <stdlib.h>

#include "group.h"
#include "hub.h"
#include "mem.h"
#include "session.h"

struct row {
	const struct observer *is;
	void *me;
};

struct observers {
	struct row *rows;
	size_t n;
	size_t watchers_n;
};

struct observers *observers_new(struct hub *hub, const struct observer *const *table)
{
	struct observers *os = xcalloc(1, sizeof(*os));

	while (table[os->n])
		os->n++;
	os->rows = xcalloc(os->n + 1, sizeof(*os->rows));
	for (size_t i = 0; i < os->n; i++)
		os->rows[i] = (struct row){.is = table[i], .me = table[i]->start(hub)};
	return os;
}

void observers_free(struct observers *os)
{
	if (!os)
		return;
	for (size_t i = 0; i < os->n; i++)
		os->rows[i].is->stop(os->rows[i].me);
	free(os->rows);
	free(os);
}

void observers_watch(struct observers *os)
{
	os->watchers_n++;
}

void observers_unwatch(struct observers *os)
{
	assert(os->watchers_n > 0);
	os->watchers_n--;
}

bool observers_are_watched(const struct observers *os)
{
	return os->watchers_n > 0;
}

/* Calls what each observer has for it. */
#define TELL(os, what, ...)                                                   \
	for (struct row *row = (os)->rows; row < (os)->rows + (os)->n; row++) \
		if (row->is->what)                                            \
	row->is->what(row->me, __VA_ARGS__)

void observers_tick(struct observers *os, int64_t now)
{
	TELL(os, tick, now);
}

void observe_adopted(struct session *s)
{
	TELL(s->hub->observers, adopted, s);
}

void observe_joined(struct session *s, struct sock *k)
{
	TELL(s->hub->observers, joined, s, k);
}

void observe_left(struct session *s, struct sock *k, enum session_end how)
{
	TELL(s->hub->observers, left, s, k, how);
}

void observe_regrouped(struct session *s, const struct group *was)
{
	const struct strlist *before = &was->want.rooms, *now = &s->group->want.rooms;
	struct observers *os = s->hub->observers;
	struct sock *k = session_sock(s, (struct slice){NSP_MAIN, 1});

	if (was == s->group || !k)
		return;
	for (size_t i = 0; i < before->n; i++)
		if (!strlist_has(now, before->v[i]))
			TELL(os, room, s, k, before->v[i], false);
	for (size_t i = 0; i < now->n; i++)
		if (!strlist_has(before, now->v[i]))
			TELL(os, room, s, k, now->v[i], true);
	TELL(os, regrouped, s, was);
}

void observe_heard(struct session *s, struct sock *k, struct slice args)
{
	if (observers_are_watched(s->hub->observers))
		TELL(s->hub->observers, heard, s, k, args);
}

void observe_sent(struct session *s, struct sock *k, struct slice args)
{
	if (observers_are_watched(s->hub->observers))
		TELL(s->hub->observers, sent, s, k, args);
}

void observe_answered(struct session *s, const struct body *b)
{
	if (observers_are_watched(s->hub->observers))
		TELL(s->hub->observers, answered, s, b);
}
