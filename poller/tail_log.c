/*
 * Which log it is that is followed, and where in it to begin.
 *
 * Ids are the order of all there is, so a table whose ids begin again is another log, and gets an
 * epoch of its own, even where the old epoch's name came back with it. Signs of that, each looked
 * for about once a second and on every new connection:
 *
 * - the next id is one that was seen already (TRUNCATE, a dump, a server that lacks the last
 *   commits)
 * - a floor of retention lies above the next id
 * - the epoch is older than the table that has it: it came with a dump
 * - an epoch of before is back
 * - table and newest event are others now: it was replaced, and has grown past that since
 *
 * What was seen outlives the process in the page it shares with cmdb-fcgi, and in ws_pollers.
 * Several pollers may notice at once: who changes the row makes the epoch, the others take it.
 */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "secret.h"
#include "shm.h"
#include "tail_internal.h"

#define REWIND_MAX 200000 /* how far back a start goes to where the last run ended */
#define WARM_EVENTS 5000  /* the ring begins with about that many; clients wait until it has */
#define CHECK_MS 1000

/* CREATE_TIME is cut to the second: who makes an epoch in a table makes it no earlier. */
static const struct db_stmt sql_log = {"log",
	"SELECT l.floor, l.brief_floor, l.epoch,"
	" (SELECT AUTO_INCREMENT FROM information_schema.TABLES"
	"  WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'ws_events'),"
	" l.made_at < (SELECT CREATE_TIME FROM information_schema.TABLES"
	"  WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'ws_log'),"
	" (SELECT CREATE_TIME FROM information_schema.TABLES"
	"  WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'ws_events')"
	" FROM ws_log l",
	0, RETENTION_N + 4};
enum { LOG_EPOCH = RETENTION_N, LOG_NEXT, LOG_IS_OLD, LOG_TABLE };
/* Never before the table was made, whatever clock its file goes by. */
static const struct db_stmt sql_new_epoch = {"new_epoch",
	"UPDATE ws_log SET epoch = ?, floor = ?, brief_floor = ?,"
	" made_at = GREATEST(NOW(3), COALESCE("
	"(SELECT CREATE_TIME FROM information_schema.TABLES"
	"  WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'ws_log'), NOW(3))) WHERE epoch = ?",
	RETENTION_N + 2, 0};
static const struct db_stmt sql_mark = {
	"mark", "SELECT created_at FROM ws_events WHERE id = ?", 1, 1};
static const struct db_stmt sql_largest = {
	"largest", "SELECT id FROM ws_events ORDER BY id DESC LIMIT 1", 0, 1};
static const struct db_stmt sql_own_tail = {
	"own_tail", "SELECT tail FROM ws_pollers WHERE node_id = ? AND epoch = ?", 2, 1};
static const struct db_stmt sql_any_tail = {
	"any_tail", "SELECT MAX(tail) FROM ws_pollers WHERE epoch = ?", 1, 1};

const struct db_set tail_log_sql = {"tail_log",
	(const struct db_stmt *const[]){&sql_log, &sql_new_epoch, &sql_mark, &sql_largest,
		&sql_own_tail, &sql_any_tail, NULL},
	false};

static void discard_start(struct mail *mail)
{
	free(mail);
}

static enum err read_u64(struct tail *t, const struct db_stmt *st, const struct db_val *in,
	size_t in_n, uint64_t *out)
{
	const struct db_val *row;
	enum err e = db_one(t->db, st, in, in_n, &row);

	*out = !e && row ? dbv_u(&row[0]) : 0;
	return e;
}

/* The log as the database has it now. */
struct found {
	char epoch[33];
	struct floors floors;
	uint64_t next_id; /* 0: not known, or there is none */
	uint64_t table;   /* when ws_events was made */
	bool is_old;      /* the epoch is of an earlier table */
};

static enum err find_log(struct tail *t, struct found *f)
{
	const struct db_val *row;
	enum err e = db_one(t->db, &sql_log, NULL, 0, &row);

	if (!e && !row)
		e = ERR_DB;
	if (e)
		return e;
	*f = (struct found){.floors = floors_of_row(row),
		.next_id = dbv_u(&row[LOG_NEXT]),
		.table = record_stamp(&row[LOG_TABLE]),
		.is_old = dbv_u(&row[LOG_IS_OLD])};
	/* It stays there once that id is used up: no sign of another log. */
	if (f->next_id == UINT64_MAX)
		f->next_id = 0;
	memccpy(f->epoch, dbv_text(&row[LOG_EPOCH]), '\0', sizeof(f->epoch) - 1);
	return ERR_OK;
}

/* ---- what was seen of it ---- */

/* What is known of the log from before: all of it is to be there still. */
struct known {
	uint64_t newest; /* 0: nothing */
	struct tail_mark mark;
};

/* In a table that is another one too: a row that was changed by hand is not another log. */
static enum err is_mark_another(
	struct tail *t, const struct found *f, const struct known *k, bool *is_another)
{
	const struct db_val *row;
	enum err e;

	*is_another = false;
	if (!k->mark.id || k->mark.table == f->table)
		return ERR_OK;
	e = db_one(t->db, &sql_mark, &DBV_U(k->mark.id), 1, &row);
	/* Gone: pruned, or deleted by hand. That alone shows nothing. */
	*is_another = !e && row && record_stamp(&row[0]) != k->mark.stamp;
	return e;
}

static bool is_past(const struct tail *t, const char *epoch)
{
	for (size_t i = 0; i < TAIL_PAST_N && i < t->past_n; i++)
		if (!strcmp(t->past[i], epoch))
			return true;
	return false;
}

/* Why the log found is not the one that was known; empty if it may be. */
static enum err compare(
	struct tail *t, const struct found *f, const struct known *k, struct str *why)
{
	uint64_t floor = floors_min(&f->floors, FLOORS_ALL);
	bool is_another;
	enum err e;

	/* Where nothing can be written an epoch is not to be judged: it comes from the writer. */
	if (t->writer.is_replica || t->writer.is_read_only)
		return ERR_OK;
	e = is_mark_another(t, f, k, &is_another);
	if (e)
		return e;
	if (is_past(t, f->epoch))
		str_adds(why, "an epoch of before is back, as after a dump was loaded");
	else if (f->is_old)
		str_adds(why,
			"the table ws_log is younger than its epoch, as after a dump was loaded");
	else if (f->next_id && f->next_id <= k->newest)
		str_addf(why, "the next event's id is %llu, event %llu was there before",
			(unsigned long long)f->next_id, (unsigned long long)k->newest);
	else if (f->next_id && f->next_id <= floor)
		str_addf(why, "the next event's id is %llu, events up to %llu were pruned before",
			(unsigned long long)f->next_id, (unsigned long long)floor);
	else if (is_another)
		str_addf(why, "event %llu is another one now", (unsigned long long)k->mark.id);
	return ERR_OK;
}

/* ---- another log ---- */

/* One that lies above all there is was the log's before. */
static uint64_t floor_in_new_log(const struct found *f, uint64_t floor)
{
	return f->next_id && floor >= f->next_id ? 0 : floor;
}

/* ERR_OK with f->epoch as it was: another poller came first, look again. */
static enum err make_epoch(struct tail *t, struct found *f)
{
	unsigned char random[16];
	char hex[33];
	struct db_val in[RETENTION_N + 2];
	uint64_t n;
	enum err e;

	secret_random(random, sizeof(random));
	secret_hex(hex, random, sizeof(random));
	in[0] = dbv_s(hex);
	for (int r = 0; r < RETENTION_N; r++)
		in[1 + r] = DBV_U(floor_in_new_log(f, f->floors.of[r]));
	in[1 + RETENTION_N] = dbv_s(f->epoch);
	e = db_exec(t->db, &sql_new_epoch, in, RETENTION_N + 2, &n, NULL);
	if (e == ERR_DB_DENIED && !t->is_refused)
		log_error("epoch", "cannot begin a new epoch: the poller's account lacks UPDATE on "
				   "ws_log (cmdbctl migrate --grants)");
	t->is_refused = e == ERR_DB_DENIED;
	return e;
}

/* Makes sure that f is the log that is known, or one that is known to be another: then *why says
 * so, and f has its epoch. */
static enum err settle_log(
	struct tail *t, struct found *f, const char *epoch, const struct known *k, struct str *why)
{
	static const struct known nothing = {0};

	for (int tries = 0; tries < 8; tries++) {
		struct str sign = STR_INIT;
		bool is_same = !*epoch || !strcmp(f->epoch, epoch);
		enum err e = compare(t, f, is_same ? k : &nothing, &sign);

		if (!e && sign.len) {
			str_clear(why);
			str_add(why, sign.p, sign.len);
			e = make_epoch(t, f);
			if (!e)
				e = find_log(t, f);
			str_fini(&sign);
			if (e)
				return e;
			continue;
		}
		str_fini(&sign);
		if (!e && !is_same && !why->len)
			str_adds(why, "ws_log has another epoch");
		return e;
	}
	str_adds(why, "its epoch changes all the time");
	return ERR_DB;
}

/* ---- beginning ---- */

/* Where to begin: at the tail of the last run, or further back so that the ring holds what clients
 * are likely to ask for. Going over settled ground again costs a probe per hole and nothing else.
 */
static enum err find_begin(struct tail *t, const struct found *f, uint64_t *begin)
{
	const uint64_t floor = f->floors.of[RETENTION_LASTING]; /* up to it, nothing is left */
	const struct db_val in[] = {DBV_I(t->cfg->poller.node_id), dbv_s(f->epoch)};
	uint64_t largest, own;
	enum err e = read_u64(t, &sql_largest, NULL, 0, &largest);

	if (!e)
		e = read_u64(t, &sql_own_tail, in, 2, &own);
	if (e)
		return e;
	if (largest < floor)
		largest = floor;
	*begin = largest > WARM_EVENTS ? largest - WARM_EVENTS : 0;
	if (own && own < *begin)
		*begin = own;
	if (largest > REWIND_MAX && *begin < largest - REWIND_MAX)
		*begin = largest - REWIND_MAX;
	if (*begin < floor)
		*begin = floor;
	return ERR_OK;
}

static void post_start(struct tail *t, const struct found *f, uint64_t begin, const struct str *why)
{
	struct tail_start *s = xcalloc(1, sizeof(*s));

	s->mail.open = t->open_start;
	s->mail.discard = discard_start;
	memcpy(s->epoch, f->epoch, sizeof(s->epoch));
	memccpy(s->why, str_c(why), '\0', sizeof(s->why) - 1);
	s->floors = f->floors;
	s->tail = begin;
	mailbox_post(t->to, &s->mail);
}

/* Nothing of the log before counts any more. */
static void tail_log_forget(struct tail *t)
{
	struct order_item *item;

	while ((item = order_drain(&t->order)))
		record_free((struct record *)item);
	t->pending_bytes = 0;
	told_fini(&t->told);
	t->watch.n = 0;
	t->mark = t->newest = (struct tail_mark){0};
	pthread_mutex_lock(&t->lock);
	t->announced_n = 0;
	pthread_mutex_unlock(&t->lock);
	t->is_ready = false;
	t->resume = 0;
}

static enum err tail_log_begin(struct tail *t, const struct found *f, const struct str *why)
{
	uint64_t at;
	enum err e = find_begin(t, f, &at);

	if (e)
		return e;
	tail_log_forget(t);
	order_init(&t->order, at, t->cfg->poller.grace_ms, t->cfg->poller.hold_limit_ms);
	if (why->len) {
		log_error("new_epoch", "the event log is another one: %s; epoch %s, was %s",
			str_c(why), f->epoch, *t->epoch ? t->epoch : "not known");
		figure_add(t->figures, FIGURE_EPOCH_CHANGES, 1);
	}
	if (*t->epoch)
		memcpy(t->past[t->past_n++ % TAIL_PAST_N], t->epoch, sizeof(t->epoch));
	memcpy(t->epoch, f->epoch, sizeof(t->epoch));
	t->table = f->table;
	post_start(t, f, at, why);
	t->is_started = true;
	t->started_ms = t->checked_ms = clock_ms();
	log_info("tail_start", "epoch %s, from event %llu, next %llu, floors %llu and %llu",
		f->epoch, (unsigned long long)at, (unsigned long long)f->next_id,
		(unsigned long long)f->floors.of[RETENTION_LASTING],
		(unsigned long long)f->floors.of[RETENTION_BRIEF]);
	return ERR_OK;
}

/* ---- which server ---- */

/* A server that was the writer and is it no more, as after a failover, is left: the address leads
 * to the new one. */
static enum err look_at_server(struct tail *t, bool is_new_connection)
{
	bool is_named = config_names_writer(t->cfg), was_writer = !t->writer_problem;
	struct writer w;
	const char *problem;
	enum err e = writer_look(t->db, &w);

	if (e)
		return e;
	problem = writer_problem(&w, is_named);
	if (problem && (was_writer || strcmp(problem, t->writer_problem) != 0))
		log_error("writer", "%s: events can be lost here (have [events] name the writer)",
			problem);
	else if (!problem && !was_writer)
		log_info("writer", "events are written through this server");
	pthread_mutex_lock(&t->lock);
	t->writer = w;
	t->writer_problem = problem;
	pthread_mutex_unlock(&t->lock);
	if (!problem || !was_writer || is_new_connection || !is_named)
		return ERR_OK;
	db_close(t->db);
	db_close(t->probe);
	return ERR_DB_LOST;
}

/* ---- what the thread calls ---- */

/* What the last run of this host knew, if it was of this epoch. */
static struct known tail_log_read_page(const struct tail *t, const struct found *f)
{
	struct known k = {0};
	struct str path = STR_INIT;
	struct shm *page;

	config_page_path(t->cfg, &path);
	page = shm_attach(str_c(&path));
	if (page && !strncmp(page->epoch, f->epoch, SHM_EPOCH_SIZE)) {
		k.newest = atomic_load(&page->tail);
		k.mark.id = atomic_load(&page->mark_id);
		k.mark.stamp = atomic_load(&page->mark_stamp);
		k.mark.table = atomic_load(&page->mark_table);
	}
	shm_detach(page);
	str_fini(&path);
	return k;
}

static enum err first(struct tail *t)
{
	struct str why = STR_INIT;
	struct found f;
	struct known k;
	char was[sizeof(f.epoch)];
	uint64_t newest = 0;
	enum err e = find_log(t, &f);

	if (!e)
		e = read_u64(t, &sql_any_tail, (struct db_val[]){dbv_s(f.epoch)}, 1, &newest);
	if (!e) {
		k = tail_log_read_page(t, &f);
		k.newest = k.newest > newest ? k.newest : newest;
		memcpy(was, f.epoch, sizeof(was));
		e = settle_log(t, &f, was, &k, &why);
	}
	if (!e)
		e = tail_log_begin(t, &f, &why);
	if (!e && !why.len)
		t->resume = k.newest;
	str_fini(&why);
	return e;
}

/* The log is the one it was: what was released by now is of it. What is released from now on may be
 * of another one, until the next check has compared it with this. */
static void know(struct tail *t, uint64_t table)
{
	t->table = table;
	if (!t->newest.id)
		return;
	t->mark = t->newest;
	t->mark.table = table;
}

static enum err check(struct tail *t)
{
	const struct known k = {.newest = t->order.seen, .mark = t->mark};
	struct str why = STR_INIT;
	struct found f;
	enum err e = find_log(t, &f);

	if (!e)
		e = settle_log(t, &f, t->epoch, &k, &why);
	if (!e && why.len)
		e = tail_log_begin(t, &f, &why);
	else if (!e)
		know(t, f.table);
	if (!e)
		t->checked_ms = clock_ms();
	str_fini(&why);
	return e;
}

enum err tail_log_check(struct tail *t, bool is_new_connection)
{
	enum err e;

	if (!is_new_connection && clock_ms() - t->checked_ms < CHECK_MS)
		return ERR_OK;
	e = look_at_server(t, is_new_connection);
	if (e)
		return e;
	return t->is_started ? check(t) : first(t);
}
