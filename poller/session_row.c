#include "session_row.h"

#include <string.h>

#include "clock.h"
#include "connection.h"
#include "hub.h"
#include "saver.h"
#include "session.h"
#include "session_adopt.h"
#include "session_over.h"
#include "session_record.h"
#include "session_store.h"
#include "sessions.h"

#define SAVE_MS 1000
#define REFRESH_ALL_MS (3600 * 1000)

void session_row_touch(struct session *s)
{
	struct sessions *ss = s->hub->sessions;

	if (s->is_dirty || !s->has_pid || s->state == SESSION_CLOSING)
		return;
	s->is_dirty = true;
	TAILQ_INSERT_TAIL(&ss->dirty, s, dirty_entry);
}

void session_row_forget(struct session *s)
{
	struct saver_row row = {.is_gone = true};

	if (!s->is_saved)
		return;
	memcpy(row.id, s->key, sizeof(row.id));
	saver_put(s->hub->sessions->saver, &row, 1);
}

/* ---- the table ---- */

static struct saver_row session_row_row_of(
	const struct session *s, struct str *record, struct str *topics, struct str *subscription)
{
	const struct sock *k = session_sock((struct session *)s, (struct slice){"/", 1});
	int64_t now = clock_wall_ms();
	struct saver_row row = {.has_pid = true,
		.epoch = s->has_lost ? "" : s->hub->epoch,
		.address = s->address,
		.cursor_id = s->has_lost ? INT64_MAX : s->acked,
		.connected_at_ms = s->opened_wall_ms,
		.seen_at_ms = now};

	memcpy(row.id, s->key, sizeof(row.id));
	memcpy(row.pid, s->pid, sizeof(row.pid));
	if (s->state == SESSION_GONE)
		row.ended_at_ms = now - (clock_ms() - s->ended_ms);
	if (k) {
		row.socket_id = k->id;
		row.username = k->caller->username;
		row.jti = k->caller->jti;
		row.tenant_id = k->caller->tenant_id;
		row.user_id = k->caller->user_id;
		row.apikey_id = k->caller->apikey_id;
		row.token_expires_at_ms = k->caller->expires_s * 1000;
		row.connected_at_ms = k->joined_wall_ms;
	}
	for (size_t i = 0; i < s->requested.n; i++)
		str_addf(topics, i ? ",%s" : "%s", s->requested.v[i]);
	row.topics = str_c(topics);
	row.client_id = s->client_id;
	connection_put_subscription(subscription, s);
	row.subscription = str_c(subscription);
	session_record_put(record, s);
	row.record = (struct slice){record->p, record->len};
	return row;
}

static void session_row_save(struct session *s)
{
	struct str record = STR_INIT, topics = STR_INIT, subscription = STR_INIT;
	struct saver_row row = session_row_row_of(s, &record, &topics, &subscription);

	saver_put(s->hub->sessions->saver, &row, 1);
	s->is_saved = true;
	s->saved_cursor = s->acked;
	str_fini(&record);
	str_fini(&topics);
	str_fini(&subscription);
}

/* A row whose cursor lies too far back would not do for a recovery, and one that is not seen for a
 * day is pruned. */
static void session_row_refresh(struct sessions *ss, int64_t now)
{
	uint64_t far = (uint64_t)ss->hub->cfg->socketio.max_replay / 10;
	bool is_time = now - ss->refreshed_ms > REFRESH_ALL_MS;
	struct session *s;

	TAILQ_FOREACH (s, &ss->lists[SESSION_JOINED], entry)
		if (is_time || s->acked - s->saved_cursor > far)
			session_row_touch(s);
	if (is_time)
		ss->refreshed_ms = now;
}

void session_rows_tick(struct sessions *ss, int64_t now)
{
	struct session *s;

	if (now - ss->saved_ms < SAVE_MS)
		return;
	ss->saved_ms = now;
	session_row_refresh(ss, now);
	while ((s = TAILQ_FIRST(&ss->dirty))) {
		TAILQ_REMOVE(&ss->dirty, s, dirty_entry);
		s->is_dirty = false;
		if (s->has_pid)
			session_row_save(s);
	}
}

void session_rows_loaded(struct mail *mail, void *owner)
{
	struct saver_mail *m = (struct saver_mail *)mail;
	struct hub *hub = owner;
	struct sessions *ss = hub->sessions;

	for (size_t i = 0; i < m->n; i++) {
		struct bytes b = bytes_of(m->rows[i]->record.p, m->rows[i]->record.len);
		struct session *s;

		if (m->rows[i]->is_over) {
			sessions_over_load(ss, m->rows[i]);
			continue;
		}
		/* A cursor of another log is none: its client is told that its sid is not known,
		 * and begins anew. */
		if (strcmp(m->rows[i]->epoch, hub->epoch) != 0)
			continue;
		s = session_record_get(ss, SESSION_ANY_NUM, &b);
		if (!s)
			continue;
		/* Rows are not written with each ping. */
		s->ping_ms = s->pong_ms = s->connect_ms = s->close_ms = s->begin_ms = 0;
		s->is_saved = true;
		store_session(s);
	}
	saver_mail_free(m);
	sessions_adopted(ss);
}
