#include "log_replay.h"

#include <string.h>

#include "clock.h"
#include "config.h"
#include "event.h"
#include "floors.h"
#include "json_walk.h"
#include "log_filter.h"
#include "stream.h"
#include "worker.h"

#define BATCH_MAX 50
#define SCAN_BYTES_MAX (16u * 1024 * 1024) /* payloads looked through, */
#define SCAN_MS 1000                       /* for so long at most: others want the thread, too */
#define PAGE_BYTES (1024u * 1024)          /* so much is asked for at a time, by what came before */
#define PAGE_ROWS_MAX 16                   /* for the next ones may be the largest there are */
#define PAGE_ROWS_FIRST 4

static const struct db_stmt sql_page = {"log_replay.page",
	"SELECT id, payload FROM ws_events WHERE tenant_id = ? AND topic = 'logs' AND id > ? "
	"AND id <= ? AND room = '' ORDER BY id LIMIT ?",
	4, 2};
static const struct db_stmt sql_newest = {"log_replay.newest", "SELECT MAX(id) FROM logs", 0, 1};

const struct db_set log_replay_sql = {"log_replay",
	(const struct db_stmt *const[]){&sql_page, &sql_newest, &floors_stmt, NULL}, true};

struct replay {
	struct task *task;
	const struct sub *view;
	uint64_t since, upto;
	uint64_t scanned;
	int64_t deadline_ms;
	/* What is sent. */
	struct strlist *packets;
	size_t bytes;
	struct str batch; /* lines, joined by commas */
	size_t batch_n, lines_n;
	/* What is not. */
	uint64_t dropped_n, dropped_from, dropped_to;
	bool is_expired; /* there was something before what is left, and it has not been told yet */
	bool is_cut;     /* there is more than was read */
	uint64_t last_id; /* of any line that was read */
};

/* ---- packets ---- */

static void add_packet_of(struct replay *r, const struct str *args)
{
	strlist_add(r->packets, args->p, args->len);
	r->bytes += args->len;
}

static void flush(struct replay *r)
{
	struct str args = STR_INIT;

	if (!r->batch_n)
		return;
	stream_shape_log.put_batch(&args, slice_str(&r->batch), r->batch_n);
	add_packet_of(r, &args);
	str_fini(&args);
	str_clear(&r->batch);
	r->batch_n = 0;
}

/* n 0: it is not known how many. */
static void tell_dropped(struct replay *r, uint64_t n, uint64_t from, uint64_t to)
{
	struct str args = STR_INIT;

	if (n)
		stream_shape_log.put_dropped(&args, n, from, to);
	else
		str_addf(&args, "\"log:dropped\",{\"count\":null,\"from\":%llu,\"to\":%llu}",
			(unsigned long long)from, (unsigned long long)to);
	add_packet_of(r, &args);
	str_fini(&args);
}

static bool replay_is_full(const struct replay *r, size_t len)
{
	const struct config *cfg = r->task->cfg;

	return r->dropped_n || r->lines_n >= (size_t)cfg->logs.replay ||
	       r->bytes + r->batch.len + len > (size_t)cfg->socketio.queue_bytes / 2;
}

static void drop_line(struct replay *r, uint64_t id)
{
	if (!r->dropped_n || id < r->dropped_from)
		r->dropped_from = id;
	if (!r->dropped_n || id > r->dropped_to)
		r->dropped_to = id;
	r->dropped_n++;
}

static void add_line(struct replay *r, struct slice line, uint64_t id)
{
	if (replay_is_full(r, line.len)) {
		drop_line(r, id);
		return;
	}
	if (r->batch_n)
		str_addc(&r->batch, ',');
	str_add(&r->batch, line.p, line.len);
	r->lines_n++;
	if (++r->batch_n == BATCH_MAX)
		flush(r);
}

/* ---- events ---- */

/* The first one tells where what is gone ended. */
static void look_at_line(struct replay *r, const struct event_row *e, struct slice line)
{
	struct str digest = STR_INIT;
	uint64_t id;

	log_stream_filter.digest(&digest, e, line);
	id = log_stream_filter.entry_id(slice_str(&digest));
	if (r->is_expired)
		tell_dropped(r, 0, r->view->mark + 1, id ? id - 1 : 0);
	r->is_expired = false;
	r->last_id = id;
	if (log_filter_matches(r->view->filter, slice_str(&digest)))
		add_line(r, line, id);
	str_fini(&digest);
}

/* As the poller makes it of the row. */
static void look_at_event(struct replay *r, const struct db_val *row)
{
	struct event_row e = {
		.id = dbv_u(&row[0]), .topic = "logs", .room = "", .name = "", .created_at = ""};
	struct str json = STR_INIT;
	struct event_place place;
	struct slice payload, line;
	struct json_walk walk;

	event_take_payload(&e, &row[1]);
	event_render(&json, &e, &place);
	payload = (struct slice){json.p + place.at, place.len};
	r->scanned += place.len;
	if (!json_walk_into(&walk, payload, '['))
		look_at_line(r, &e, payload);
	else
		while (json_walk_element(&walk, &line))
			look_at_line(r, &e, line);
	str_fini(&json);
}

static uint64_t page_rows(const struct replay *r, uint64_t rows_n)
{
	uint64_t each = rows_n ? r->scanned / rows_n + 1 : PAGE_BYTES / PAGE_ROWS_FIRST;
	uint64_t n = PAGE_BYTES / each;

	return n < 1 ? 1 : n > PAGE_ROWS_MAX ? PAGE_ROWS_MAX : n;
}

static enum err read_events(struct replay *r)
{
	uint64_t after = r->since, all = 0, asked, got;
	const struct db_val *row;

	do {
		const struct db_val in[] = {DBV_U(r->task->who->tenant_id), DBV_U(after),
			DBV_U(r->upto), DBV_U(asked = page_rows(r, all))};
		enum err e = db_query(r->task->db, &sql_page, in, 4);

		if (e != ERR_OK)
			return e;
		for (got = 0; (row = db_fetch(r->task->db)); got++) {
			after = dbv_u(&row[0]);
			look_at_event(r, row);
		}
		all += got;
		r->is_cut = got == asked &&
			    (r->scanned > SCAN_BYTES_MAX || clock_ms() >= r->deadline_ms);
	} while (got == asked && !r->is_cut);
	return ERR_OK;
}

/* Pruning raises a floor before it deletes: who does not see rows sees the floor. */
static enum err read_floor(struct replay *r)
{
	const struct db_val *row;
	uint64_t floor;
	enum err e = db_one(r->task->db, &floors_stmt, NULL, 0, &row);

	if (e != ERR_OK)
		return e;
	floor = row ? floors_of_row(row).of[stream_retention("logs")] : 0;
	r->is_expired = floor > r->since;
	return ERR_OK;
}

static enum err read_newest(struct task *task, uint64_t *id)
{
	const struct db_val *row;
	enum err e = db_one(task->db, &sql_newest, NULL, 0, &row);

	if (e == ERR_OK)
		*id = row ? dbv_u(&row[0]) : 0;
	return e;
}

/* ---- all of it ---- */

/* Behind what was sent. */
static enum err tell_rest(struct replay *r)
{
	uint64_t newest = 0;
	enum err e = ERR_OK;

	if (r->is_cut || r->is_expired)
		e = read_newest(r->task, &newest);
	if (e != ERR_OK)
		return e;
	if (r->is_expired)
		tell_dropped(r, 0, r->view->mark + 1, newest);
	else if (r->is_cut)
		tell_dropped(r, 0, r->dropped_n ? r->dropped_from : r->last_id + 1, newest);
	else if (r->dropped_n)
		tell_dropped(r, r->dropped_n, r->dropped_from, r->dropped_to);
	return ERR_OK;
}

static enum err replay_read(struct replay *r)
{
	enum err e = read_floor(r);

	if (e == ERR_OK)
		e = read_events(r);
	if (e != ERR_OK)
		return e;
	flush(r);
	return tell_rest(r);
}

enum err log_replay(
	struct task *task, const struct sub *view, uint64_t upto, struct strlist *packets)
{
	enum err e = ERR_OK;

	/* A lost connection shows when it is used. */
	for (int i = 0; i < 2; i++) {
		struct replay r = {.task = task,
			.view = view,
			.since = view->since,
			.upto = upto,
			.deadline_ms = clock_ms() + SCAN_MS,
			.packets = packets};

		e = db_ensure(task->db);
		if (e == ERR_OK)
			e = db_begin_snapshot(task->db);
		if (e == ERR_OK)
			e = replay_read(&r);
		db_rollback(task->db);
		str_fini(&r.batch);
		if (e != ERR_OK)
			strlist_fini(packets);
		if (e != ERR_DB_LOST)
			break;
	}
	return e;
}

enum err log_replay_mark(struct task *task, uint64_t *mark)
{
	enum err e = db_ensure(task->db);

	if (e == ERR_OK)
		e = read_newest(task, mark);
	if (e != ERR_DB_LOST)
		return e;
	e = db_ensure(task->db);
	return e == ERR_OK ? read_newest(task, mark) : e;
}
