#include "sync.h"

#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "cache.h"
#include "floors.h"
#include "mem.h"
#include "ops.h"
#include "resources.h"
#include "room.h"
#include "stream.h"
#include "wire.h"
#include "worker.h"

#define LOOKED_AT_MAX 5000 /* events read to find SYNC_EVENTS_MAX that the caller sees */

static const struct db_stmt sql_missed = {"sync.missed",
	"SELECT id, event_type, payload, room, name FROM ws_events "
	"WHERE tenant_id = ? AND topic = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?",
	5, 5};
static const struct db_stmt sql_last = {"sync.last",
	"SELECT id FROM ws_events WHERE tenant_id = ? AND topic = ? AND id <= ? "
	"ORDER BY id DESC LIMIT 1",
	3, 1};

static const struct db_stmt *const stmts[] = {&floors_stmt, &sql_missed, &sql_last, NULL};
const struct db_set sync_sql = {"sync", stmts, false};

enum { COL_ID, COL_TYPE, COL_PAYLOAD, COL_ROOM, COL_NAME };

struct sync {
	struct task *task;
	const struct sync_ask *ask;
	struct sync_post *post;
	const struct crud *resource;
	struct cache_note note; /* what is sent is as of its tail */
	bool is_fresh;          /* the page, then: what is read may be shared */
	struct strlist rooms;   /* the caller's own */
	/* The missed events, rendered, one after the other. */
	struct str args;
	size_t ends[SYNC_EVENTS_MAX];
	size_t n;
	bool is_too_much;  /* of them: rows are sent instead */
	struct str body;   /* the event with the rows */
	struct str rights; /* of the caller, as they are for this */
};

static void take_note(struct sync *s)
{
	const struct shm *page = s->task->shm;

	s->is_fresh = cache_note(&s->note, page, s->task->who->tenant_id, s->ask->topic);
	if (!s->is_fresh)
		s->note = (struct cache_note){.page = page, .tail = atomic_load(&page->tail)};
}

/* Runs read, which has nothing left of an earlier run, on one state of the database. */
static enum err in_snapshot(struct sync *s, enum err (*read)(struct sync *s))
{
	struct db *db = s->task->db;
	enum err e;

	/* A lost connection shows when it is used. */
	for (int i = 0; i < 2; i++) {
		e = db_ensure(db);
		if (e != ERR_OK)
			return e;
		e = db_begin_snapshot(db);
		if (e == ERR_OK)
			e = read(s);
		db_rollback(db);
		if (e != ERR_DB_LOST)
			break;
	}
	return e;
}

static void put_emit(
	const struct sync *s, struct str *ops, const char *p, size_t len, const uint64_t *at)
{
	struct op op = {.type = OP_EMIT, .nsp = {"/", 1}, .bytes = {p, len}};

	if (at) {
		op.flags = OP_SYNC;
		op.id = *at;
		op.topic = (struct slice){s->ask->topic, strlen(s->ask->topic)};
		op.rights = (struct slice){s->rights.p, s->rights.len};
	}
	ops_put(ops, &op);
}

/* ---- what was missed ---- */

/* Up to where events of the topic may be gone. */
static uint64_t topic_floor(const struct sync *s, struct floors floors)
{
	return floors.of[stream_retention(s->ask->topic)];
}

/* Is `since` of this log, and not so old that the page knows it to be pruned? */
static bool may_have_events(const struct sync *s)
{
	const struct shm *page = s->note.page;
	const struct sync_ask *ask = s->ask;

	if (ask->since == 0 || ask->since > s->note.tail)
		return false;
	if (ask->epoch && strcmp(ask->epoch, page->epoch) != 0)
		return false;
	return ask->since >= topic_floor(s, floors_of_page(page));
}

static bool is_seen(const struct sync *s, const struct db_val *column)
{
	struct str room = STR_INIT;
	bool is_ours;

	event_add_text(&room, column);
	is_ours = room.len == 0 || room_is_among(&s->rooms, room.p);
	str_fini(&room);
	return is_ours;
}

static void render_event(struct sync *s, const struct db_val *row)
{
	int type = event_type_find(dbv_text(&row[COL_TYPE]));
	struct event_row event = {.id = dbv_u(&row[COL_ID]),
		.type = type < 0 ? EVENT_UPDATE : (enum event_type)type,
		.topic = s->ask->topic,
		.is_renamed = event_is_named_badly(&row[COL_NAME])};
	struct str name = STR_INIT;

	event_add_text(&name, &row[COL_NAME]);
	event.name = str_c(&name);
	event_take_payload(&event, &row[COL_PAYLOAD]);
	event_render_socket(&s->args, &event);
	str_fini(&name);
}

static void add_event(struct sync *s, const struct db_val *row)
{

	if (s->n == SYNC_EVENTS_MAX) {
		s->is_too_much = true;
		return;
	}
	render_event(s, row);
	s->ends[s->n++] = s->args.len;
	/* The session keeps no more than queue_bytes, and something may be there already. */
	if ((s->n > 1 || s->post->ops->len) &&
		s->post->ops->len + s->args.len > (size_t)s->task->cfg->socketio.queue_bytes / 2)
		s->is_too_much = true;
}

/* Sets is_too_much also when events may have been pruned. */
static enum err read_missed(struct sync *s)
{
	struct db *db = s->task->db;
	uint64_t after = s->ask->since, looked_at = 0, chunk = SYNC_EVENTS_MAX + 1, got = chunk;
	const struct db_val *row;
	enum err e;

	str_clear(&s->args);
	s->n = 0;
	s->is_too_much = false;
	while (got == chunk && !s->is_too_much) {
		const struct db_val in[] = {DBV_U(s->task->who->tenant_id), dbv_s(s->ask->topic),
			DBV_U(after), DBV_U(s->note.tail), DBV_U(chunk)};

		e = db_query(db, &sql_missed, in, 5);
		if (e != ERR_OK)
			return e;
		for (got = 0; !s->is_too_much && (row = db_fetch(db)); got++) {
			after = dbv_u(&row[COL_ID]);
			if (is_seen(s, &row[COL_ROOM]))
				add_event(s, row);
		}
		looked_at += got;
		s->is_too_much = s->is_too_much || looked_at > LOOKED_AT_MAX;
	}
	if (s->is_too_much)
		return ERR_OK;
	/* Pruning raises a floor before it deletes: who does not see rows sees the floor. */
	e = db_one(db, &floors_stmt, NULL, 0, &row);
	if (e == ERR_OK)
		s->is_too_much = !row || topic_floor(s, floors_of_row(row)) > s->ask->since;
	return e;
}

static void put_missed(const struct sync *s, struct str *ops)
{
	if (s->n == 0)
		put_emit(s, ops, "", 0, &s->note.tail);
	for (size_t i = 0, from = 0; i < s->n; from = s->ends[i++])
		put_emit(s, ops, s->args.p + from, s->ends[i] - from,
			i + 1 == s->n ? &s->note.tail : NULL);
}

/* ---- all rows ---- */

static enum err read_version(struct sync *s, uint64_t *version)
{
	const uint64_t floor = topic_floor(s, floors_of_page(s->note.page)), tail = s->note.tail;
	const struct db_val in[] = {
		DBV_U(s->task->who->tenant_id), dbv_s(s->ask->topic), DBV_U(tail)};
	const struct db_val *row;
	enum err e = db_one(s->task->db, &sql_last, in, 3, &row);

	if (e == ERR_OK)
		*version = row ? dbv_u(&row[0]) : floor < tail ? floor : tail;
	return e;
}

static enum err read_rows(struct sync *s)
{
	struct db *db = s->task->db;
	uint64_t total, version;
	enum err e;

	str_clear(&s->body);
	str_addf(&s->body, "\"%s:initial\",{\"items\":[", s->ask->topic);
	e = crud_all(db, s->resource, s->task->who->tenant_id, SYNC_ITEMS_MAX, SYNC_BYTES_MAX,
		&s->body, &total);
	if (e == ERR_OK)
		e = read_version(s, &version);
	if (e == ERR_OK)
		str_addf(&s->body, "],\"total\":%llu,\"version\":%llu,\"lastEventId\":%llu}",
			(unsigned long long)total, (unsigned long long)version,
			(unsigned long long)s->note.tail);
	return e;
}

static enum err make_rows(struct sync *s, struct cached **rows)
{
	enum err e = in_snapshot(s, read_rows);

	if (e == ERR_OK)
		*rows = cached_new(&s->body, &s->note.tail);
	return e;
}

/* Looks in the cache, by what is true now. The poller has to tell the session what came after the
 * rows, and has the last ring_events in memory. */
static bool find_rows(struct sync *s, struct cache *cache, const char *path, struct cached **rows)
{
	const uint64_t far = (uint64_t)s->task->cfg->poller.ring_events / 2;

	take_note(s);
	*rows = NULL;
	if (s->is_fresh)
		*rows = cache_get_since(
			cache, s->task->who->tenant_id, path, "", &s->note, s->task->arrived_ms);
	if (*rows && s->note.tail - (*rows)->tail > far) {
		cached_put(*rows);
		*rows = NULL;
	}
	return *rows;
}

/* From the cache, or made: once for all who wait. */
static enum err share_rows(struct sync *s, struct cached **rows)
{
	const uint32_t tenant_id = s->task->who->tenant_id;
	struct app *app = s->task->worker->app;
	struct str path = STR_INIT;
	bool is_made = false;
	enum err e = ERR_OK;

	str_addf(&path, "sync:%s", s->ask->topic);
	if (!find_rows(s, app->cache, path.p, rows)) {
		cache_lock_fill(app->cache, tenant_id, path.p, "");
		is_made = !find_rows(s, app->cache, path.p, rows);
		if (is_made)
			e = make_rows(s, rows);
		if (is_made && s->is_fresh && e == ERR_OK)
			cache_add(app->cache, tenant_id, path.p, "", &s->note, *rows);
		cache_unlock_fill(app->cache, tenant_id, path.p, "");
	}
	figure_add(app->stats, is_made ? STAT_CACHE_MISSES : STAT_CACHE_HITS, 1);
	str_fini(&path);
	return e;
}

/* ---- the answer ---- */

void sync_post_fini(struct sync_post *post)
{
	for (size_t i = 0; i < post->n; i++) {
		free(post->v[i].topic);
		cached_put(post->v[i].rows);
	}
	if (post->rows_bytes)
		held_drop(&post->app->held, post->rows_bytes);
	post->n = post->rows_bytes = 0;
}

/* Has this been answered, or what tells more? */
static const struct sync_topic *find_done(const struct sync_post *post, const struct sync_ask *ask)
{
	for (size_t i = 0; i < post->n; i++) {
		const struct sync_topic *t = &post->v[i];
		bool is_covered = ask->since >= t->since && t->has_epoch == (ask->epoch != NULL);

		if (strcmp(t->topic, ask->topic) == 0 && (t->rows || (ask->since && is_covered)))
			return t;
	}
	return NULL;
}

static void note_done(struct sync *s, struct cached *rows, uint64_t at)
{
	struct sync_post *post = s->post;

	if (post->n < OPS_REQUESTED_MAX)
		post->v[post->n++] = (struct sync_topic){.topic = xstrdup(s->ask->topic),
			.since = s->ask->since,
			.at = at,
			.has_epoch = s->ask->epoch != NULL,
			.rows = rows};
}

/* Takes rows if it succeeds. */
static enum err put_rows(struct sync *s, struct cached *rows)
{
	struct sync_post *post = s->post;
	const size_t len = rows->body.len, max = (size_t)s->task->cfg->fcgi.memory_bytes;
	struct op op = {.type = OP_ROWS,
		.id = rows->tail,
		.topic = {s->ask->topic, strlen(s->ask->topic)},
		.bytes = {(const char *)rows->key, sizeof(rows->key)},
		.rights = {s->rights.p, s->rights.len}};

	if (post->n == OPS_REQUESTED_MAX || len > WIRE_BODY_MAX ||
		len > WIRE_BODIES_MAX - post->rows_bytes || !held_add(&post->app->held, len, max))
		return ERR_BUSY;
	post->rows_bytes += len;
	ops_put(post->ops, &op);
	note_done(s, rows, rows->tail);
	return ERR_OK;
}

static enum err answer(struct sync *s, struct str *ops, uint64_t *last_event_id)
{
	struct cached *rows = NULL;
	enum err e = ERR_OK;

	s->is_too_much = !may_have_events(s);
	if (!s->is_too_much && s->ask->since < s->note.tail)
		e = in_snapshot(s, read_missed);
	if (e == ERR_OK && !s->is_too_much) {
		put_missed(s, ops);
		note_done(s, NULL, s->note.tail);
		*last_event_id = s->note.tail;
		return ERR_OK;
	}
	if (e == ERR_OK)
		e = s->is_fresh && s->task->cfg->fcgi.cache ? share_rows(s, &rows)
							    : make_rows(s, &rows);
	if (e != ERR_OK)
		return e;
	*last_event_id = rows->tail;
	e = put_rows(s, rows);
	if (e != ERR_OK)
		cached_put(rows);
	return e;
}

enum err sync_answer(struct task *task, const struct sync_ask *ask, struct sync_post *post,
	uint64_t *last_event_id)
{
	struct sync s = {
		.task = task, .ask = ask, .post = post, .resource = resource_find(ask->topic)};
	const struct sync_topic *done;
	enum err e;

	if (!s.resource)
		return ERR_NOT_FOUND;
	if (!stream_may_read(task->who, ask->topic))
		return ERR_FORBIDDEN;
	if (!task->shm)
		return ERR_UNAVAILABLE;
	done = find_done(post, ask);
	if (done) {
		*last_event_id = done->at;
		return ERR_OK;
	}
	take_note(&s);
	room_add_own(task->who, &s.rooms);
	perm_rights_put(&s.rights, task->who);
	e = answer(&s, post->ops, last_event_id);
	strlist_fini(&s.rooms);
	str_fini(&s.args);
	str_fini(&s.body);
	str_fini(&s.rights);
	return e;
}
