#include "session_over.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "hub.h"
#include "mem.h"
#include "saver.h"
#include "session.h"
#include "session_store.h"
#include "sessions.h"

#define LATE_MS 60000 /* how far a row's seen_at may be behind: fcgi/socket_connect.c */

struct over {
	unsigned char pid[SESSION_KEY_SIZE], key[SESSION_KEY_SIZE];
	int64_t at_ms;     /* monotonic */
	UT_hash_handle hh; /* by pid, oldest first */
};

static void session_over_drop(struct sessions *ss, struct over *o)
{
	HASH_DEL(ss->overs, o);
	free(o);
}

static struct over *session_over_find(const struct sessions *ss, const unsigned char *pid)
{
	struct over *o;

	HASH_FIND(hh, ss->overs, pid, SESSION_KEY_SIZE, o);
	return o;
}

static struct over *session_over_add(
	struct sessions *ss, const void *pid, const void *key, int64_t at_ms)
{
	struct over *o = session_over_find(ss, pid);

	if (o)
		session_over_drop(ss, o);
	/* As many as may come back. */
	else if (HASH_COUNT(ss->overs) >= (size_t)ss->hub->cfg->socketio.max_sessions)
		session_over_drop(ss, ss->overs);
	o = xcalloc(1, sizeof(*o));
	memcpy(o->pid, pid, sizeof(o->pid));
	memcpy(o->key, key, sizeof(o->key));
	o->at_ms = at_ms;
	HASH_ADD(hh, ss->overs, pid, SESSION_KEY_SIZE, o);
	return o;
}

bool sessions_is_over(const struct sessions *ss, const unsigned char pid[SESSION_KEY_SIZE])
{
	return session_over_find(ss, pid) != NULL;
}

/* In place of the row of its session. */
static void session_over_save(struct sessions *ss, const struct over *o)
{
	int64_t now = clock_wall_ms();
	struct saver_row row = {.has_pid = true,
		.is_over = true,
		.epoch = ss->hub->epoch,
		.connected_at_ms = now,
		.seen_at_ms = now,
		.ended_at_ms = now - (clock_ms() - o->at_ms)};

	memcpy(row.id, o->key, sizeof(row.id));
	memcpy(row.pid, o->pid, sizeof(row.pid));
	saver_put(ss->saver, &row, 1);
}

void session_over(struct session *s)
{
	struct sessions *ss = s->hub->sessions;
	const struct over *o;

	if (!s->has_pid)
		return;
	o = session_over_add(ss, s->pid, s->key, clock_ms());
	session_set_pid(s, NULL);
	s->is_saved = false;
	store_over(ss, o);
	session_over_save(ss, o);
}

void sessions_over_save(struct sessions *ss)
{
	struct over *o, *next;
	struct session *s;

	HASH_ITER (hh, ss->overs, o, next) {
		HASH_FIND(hh, ss->by_key, o->key, SESSION_KEY_SIZE, s);
		/* One that has come back under another pid is about to be written itself. */
		if (!s || !s->has_pid)
			session_over_save(ss, o);
	}
}

/* ---- in the journal and the table ---- */

void sessions_over_put(const struct sessions *ss, struct str *rec, const struct over *o)
{
	str_add(rec, o->pid, sizeof(o->pid));
	str_add(rec, o->key, sizeof(o->key));
	bytes_put(rec, ss->boot, 8);
	bytes_put(rec, (uint64_t)o->at_ms, 8);
}

void sessions_over_get(struct sessions *ss, struct bytes *b)
{
	struct slice pid = bytes_take(b, SESSION_KEY_SIZE), key = bytes_take(b, SESSION_KEY_SIZE);
	uint64_t boot = bytes_u64(b);
	int64_t at_ms = (int64_t)bytes_u64(b), now = clock_ms();

	/* Of another boot: nobody knows how long ago. */
	if (!b->is_bad && at_ms > -CLOCK_S_MAX * 1000)
		session_over_add(ss, pid.p, key.p, boot == ss->boot && at_ms < now ? at_ms : now);
}

void sessions_over_load(struct sessions *ss, const struct saver_row *row)
{
	int64_t age = clock_wall_ms() - row->ended_at_ms;

	if (row->has_pid)
		session_over_add(ss, row->pid, row->id, clock_ms() - (age > 0 ? age : 0));
}

struct over *sessions_over_next(const struct sessions *ss, const struct over *o)
{
	return o ? o->hh.next : ss->overs;
}

void sessions_over_tick(struct sessions *ss, int64_t now)
{
	int64_t keep = ss->hub->cfg->socketio.recovery_ms + LATE_MS;

	while (ss->overs && now - ss->overs->at_ms > keep)
		session_over_drop(ss, ss->overs);
}

void sessions_over_free(struct sessions *ss)
{
	while (ss->overs)
		session_over_drop(ss, ss->overs);
}
