/* The ordering rule (order.h), applied to the table. */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "event.h"
#include "log.h"
#include "mem.h"
#include "tail_internal.h"

#define READ_ROWS_MAX 2000
#define READ_ROWS_FIRST 64                 /* of rows that nobody has measured */
#define READ_GROWS 4                       /* times the rows of the read before */
#define READ_BYTES_AIM (16u * 1024 * 1024) /* a read ends with the row that reaches it */
#define CONTROL_MAX 1000                   /* control events told ahead in one look */

static const struct db_stmt sql_read = {"read",
	"SELECT " RECORD_COLUMNS " FROM ws_events WHERE id > ? ORDER BY id LIMIT ?", 2,
	RECORD_COLUMNS_N};
static const struct db_stmt sql_range = {"range",
	"SELECT " RECORD_COLUMNS " FROM ws_events WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?", 3,
	RECORD_COLUMNS_N};
static const struct db_stmt sql_sizes = {"sizes",
	"SELECT OCTET_LENGTH(payload) FROM ws_events WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?",
	3, 1};
static const struct db_stmt sql_probe = {"probe",
	"SELECT id FROM ws_events WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ? LOCK IN SHARE MODE",
	3, 1};

/* In index order, and out of the index alone: usually there is none. */
static const struct db_stmt sql_control = {"control",
	"SELECT id FROM ws_events WHERE topic IN (?, ?) AND id > ? ORDER BY id LIMIT ?", 4, 1};

const struct db_set tail_read_sql = {"tail",
	(const struct db_stmt *const[]){&sql_read, &sql_range, &sql_sizes, &sql_control, NULL},
	false};
const struct db_set tail_probe_sql = {
	"probe", (const struct db_stmt *const[]){&sql_probe, NULL}, false};

static void take_announced(struct tail *t)
{
	uint64_t ids[TAIL_ANNOUNCED_MAX];
	int64_t now = clock_ms();
	bool is_unpromised;
	struct span late;
	size_t n;

	pthread_mutex_lock(&t->lock);
	n = t->announced_n;
	memcpy(ids, t->announced, n * sizeof(ids[0]));
	t->announced_n = 0;
	is_unpromised = t->is_unpromised;
	t->is_unpromised = false;
	pthread_mutex_unlock(&t->lock);
	for (size_t i = 0; i < n; i++) {
		if (order_announce(&t->order, ids[i], now, &late)) {
			watch_add(&t->watch, late);
			t->watched_ms = 0;
		}
	}
	if (is_unpromised) {
		order_unpromise(&t->order);
		t->checked_ms = 0; /* it may have been all of them */
	}
	if (n)
		t->awaited_retry_us = 0;
}

/* Posts what is in order now. (A gap always has an event behind it, so the tail never moves alone.)
 */
static void release(struct tail *t)
{
	struct record **records = NULL;
	struct order_item *item;
	size_t n = 0, cap = 0;

	while ((item = order_next(&t->order))) {
		if (n == cap) {
			cap = cap ? cap * 2 : 16;
			records = xreallocarray(records, cap, sizeof(*records));
		}
		records[n] = (struct record *)item;
		records[n]->is_told = told_take(&t->told, item->id);
		t->pending_bytes -= record_size(records[n]);
		n++;
	}
	figure_add(t->figures, FIGURE_RELEASED, n);
	if (!n)
		return;
	t->newest = (struct tail_mark){records[n - 1]->item.id, records[n - 1]->stamp, t->table};
	if (!t->mark.id)
		t->mark = t->newest;
	tail_post(t, records, n, BATCH_RELEASED);
}

/* How many rows of the span may be read at once: what one read brings is in memory as a whole, and
 * a row may be of any size, whatever those before it were. No more than `most`: to measure a row
 * the server reads all of it. */
static enum err measure(struct tail *t, struct span span, int64_t most, int64_t *limit)
{
	const struct db_val in[] = {DBV_U(span.first), DBV_U(span.last),
		DBV_I(most < READ_ROWS_MAX ? most : READ_ROWS_MAX)};
	const struct db_val *row;
	uint64_t bytes = 0;
	enum err e = db_query(t->db, &sql_sizes, in, 3);

	*limit = 0;
	if (e)
		return e;
	while (bytes < READ_BYTES_AIM && (row = db_fetch(t->db))) {
		bytes += dbv_u(&row[0]);
		++*limit;
	}
	db_done(t->db);
	if (*limit == 0)
		*limit = 1;
	return ERR_OK;
}

static bool is_full(const struct tail *t)
{
	return t->order.pending_n >= TAIL_PENDING_MAX || t->pending_bytes >= TAIL_PENDING_BYTES_MAX;
}

/* Reads what lies beyond all seen. *full: how many rows the read before had if it was full, else 0;
 * then, this one. */
static enum err read_new(struct tail *t, int64_t *full)
{
	int64_t before = *full, limit = READ_ROWS_FIRST, n = 0;
	const struct db_val *row;
	enum err e = ERR_OK;

	*full = 0;
	if (is_full(t) || t->order.seen == UINT64_MAX)
		return ERR_OK;
	if (before)
		e = measure(t, (struct span){t->order.seen + 1, UINT64_MAX}, before * READ_GROWS,
			&limit);
	if (e)
		return e;
	figure_add(t->figures, FIGURE_READS, 1);
	e = db_query(t->db, &sql_read, (struct db_val[]){DBV_U(t->order.seen), DBV_I(limit)}, 2);
	if (e)
		return e;
	while ((row = db_fetch(t->db))) {
		struct record *r = record_new(row);

		n++;
		t->pending_bytes += record_size(r);
		order_add(&t->order, &r->item);
	}
	db_done(t->db);
	*full = n == limit ? n : 0;
	return ERR_OK;
}

/* Reads rows that have come into the lowest gap. */
static enum err read_gap(struct tail *t, struct span gap, size_t *filled)
{
	const struct db_val *row;
	int64_t limit;
	enum err e = measure(t, gap, READ_ROWS_FIRST * READ_GROWS, &limit);

	*filled = 0;
	if (e)
		return e;
	figure_add(t->figures, FIGURE_READS, 1);
	e = db_query(t->db, &sql_range,
		(struct db_val[]){DBV_U(gap.first), DBV_U(gap.last), DBV_I(limit)}, 3);
	if (e)
		return e;
	while ((row = db_fetch(t->db))) {
		struct record *r = record_new(row);

		if (order_fill(&t->order, &r->item)) {
			(*filled)++;
			t->pending_bytes += record_size(r);
		} else {
			record_free(r);
		}
	}
	db_done(t->db);
	return ERR_OK;
}

/* Locks are looked for where rows are read: during a failover an address may lead to two servers.
 */
static enum err is_same_server(struct tail *t)
{
	struct writer w = {0};
	enum err e = writer_server(t->probe, &w);

	if (e || !strcmp(w.server, t->writer.server))
		return e;
	log_warn("writer", "two connections to one address led to two servers (%s and %s): again",
		t->writer.server, w.server);
	db_close(t->db);
	db_close(t->probe);
	return ERR_DB_LOST;
}

enum probe_says { PROBE_IN_FLIGHT, PROBE_HAS_ROWS, PROBE_EMPTY };

static enum err probe_gap(struct tail *t, struct span gap, enum probe_says *says)
{
	const struct db_val in[] = {DBV_U(gap.first), DBV_U(gap.last), DBV_I(READ_ROWS_MAX)};
	enum err e = db_ensure(t->probe);

	if (!e && t->probe_generation != db_generation(t->probe)) {
		e = db_script(t->probe, "SET SESSION innodb_lock_wait_timeout = 0");
		if (!e)
			e = is_same_server(t);
		if (!e)
			t->probe_generation = db_generation(t->probe);
	}
	if (e)
		return e;
	figure_add(t->figures, FIGURE_PROBES, 1);
	e = db_query(t->probe, &sql_probe, in, 3);
	if (e == ERR_DB_RETRY) {
		*says = PROBE_IN_FLIGHT;
		return ERR_OK;
	}
	if (e)
		return e;
	*says = db_rows_n(t->probe) ? PROBE_HAS_ROWS : PROBE_EMPTY;
	db_done(t->probe);
	return ERR_OK;
}

static void give_up(struct tail *t, struct span gap)
{
	log_warn("gap_given_up",
		"events %llu..%llu are held by an open transaction for longer than "
		"poller.hold_limit_ms=%lld; going on, they will be delivered late",
		(unsigned long long)gap.first, (unsigned long long)gap.last,
		(long long)t->cfg->poller.hold_limit_ms);
	figure_add(t->figures, FIGURE_GIVEN_UP_IDS, gap.last - gap.first + 1);
	order_gap_give_up(&t->order, gap);
	watch_add(&t->watch, gap);
}

/* Settles gaps from the lowest up, as far as can be said now. *is_held: one is left. */
static enum err settle(struct tail *t, bool *is_held)
{
	struct span gap;
	enum order_age age;
	enum probe_says says;
	size_t filled;
	enum err e;

	for (;;) {
		release(t);
		*is_held = order_gap(&t->order, clock_ms(), &gap, &age);
		if (!*is_held)
			return ERR_OK;
		if (age == ORDER_EXPIRED) {
			give_up(t, gap);
			continue;
		}
		if (age == ORDER_OLD) {
			e = probe_gap(t, gap, &says);
			if (e || says == PROBE_IN_FLIGHT)
				return e;
			if (says == PROBE_EMPTY) {
				order_gap_dead(&t->order, gap);
				continue;
			}
		}
		e = read_gap(t, gap, &filled);
		if (e || !filled)
			return e;
	}
}

/* Looks for events that came behind the tail. */
enum err tail_look_behind(struct tail *t)
{
	size_t n = t->watch.n;

	for (size_t i = 0; i < n; i++) {
		struct span span = t->watch.spans[0];
		struct record **records;
		const struct db_val *row;
		enum probe_says says;
		int64_t found = 0, limit;
		enum err e = probe_gap(t, span, &says);

		if (!e)
			e = measure(t, span, READ_ROWS_MAX, &limit);
		if (!e)
			e = db_query(t->db, &sql_range,
				(struct db_val[]){
					DBV_U(span.first), DBV_U(span.last), DBV_I(limit)},
				3);
		if (e)
			return e;
		watch_drop_first(&t->watch);
		records = xcalloc(db_rows_n(t->db) + 1, sizeof(*records));
		while ((row = db_fetch(t->db))) {
			struct record *r = record_new(row);

			if (says == PROBE_IN_FLIGHT && span.first < r->item.id)
				watch_add(&t->watch, (struct span){span.first, r->item.id - 1});
			span.first = r->item.id + 1;
			order_late_seen(&t->order, r->item.id);
			r->is_told = told_take(&t->told, r->item.id);
			records[found++] = r;
			log_warn("event_late", "event %llu came behind the tail %llu",
				(unsigned long long)r->item.id, (unsigned long long)t->order.tail);
		}
		db_done(t->db);
		if (says == PROBE_IN_FLIGHT || found == limit)
			watch_add(&t->watch, span);
		figure_add(t->figures, FIGURE_LATE_EVENTS, (uint64_t)found);
		if (found)
			tail_post(t, records, (size_t)found, BATCH_LATE);
		else
			free(records);
	}
	return ERR_OK;
}

/* ---- control ---- */

/* The ids of control events that are visible and wait behind a gap. */
static enum err find_control(struct tail *t, uint64_t ids[CONTROL_MAX], size_t *n)
{
	const struct db_val in[] = {dbv_s(EVENT_TOPIC_AUTH), dbv_s(EVENT_TOPIC_HOSTS),
		DBV_U(t->order.tail), DBV_I(TOLD_MAX)};
	const struct db_val *row;
	enum err e;

	*n = 0;
	e = db_query(t->db, &sql_control, in, 4);
	if (e)
		return e;
	while ((row = db_fetch(t->db)) && *n < CONTROL_MAX)
		if (!told_has(&t->told, dbv_u(&row[0])))
			ids[(*n)++] = dbv_u(&row[0]);
	db_done(t->db);
	return ERR_OK;
}

/* What revokes a token or a right, or throws somebody out, does not wait for the events before it:
 * it is told now, out of turn, and will not be told again in its turn. */
static enum err tell_control(struct tail *t)
{
	uint64_t ids[CONTROL_MAX];
	struct record **records;
	size_t n, found = 0;
	enum err e = find_control(t, ids, &n);

	if (e || !n)
		return e;
	records = xcalloc(n, sizeof(*records));
	for (size_t i = 0; i < n && !e; i++) {
		const struct db_val in[] = {DBV_U(ids[i]), DBV_U(ids[i]), DBV_I(1)};
		const struct db_val *row;

		e = db_one(t->db, &sql_range, in, 3, &row);
		if (!e && row) {
			records[found++] = record_new(row);
			told_add(&t->told, ids[i]);
		}
	}
	/* What was read before an error counts as told: it is. */
	tail_post(t, records, found, BATCH_CONTROL);
	return e;
}

/* ---- all of it ---- */

enum err tail_look(struct tail *t, bool *is_held)
{
	int64_t full = 0;
	enum err e;

	do {
		take_announced(t);
		e = read_new(t, &full);
		if (e)
			return e;
		order_sample(&t->order, clock_ms());
		e = settle(t, is_held);
		if (e)
			return e;
	} while (full && !is_full(t));
	return *is_held ? tell_control(t) : ERR_OK;
}
