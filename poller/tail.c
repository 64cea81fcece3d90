#include "tail.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "clock.h"
#include "db.h"
#include "log.h"
#include "mem.h"
#include "order.h"
#include "watch.h"

#define READ_ROWS_MAX 2000
#define READ_BYTES_AIM (16u * 1024 * 1024) /* rows a read asks for shrink with their size */
#define PENDING_MAX 200000 /* above it nothing more is read until a gap is settled */
#define REWIND_MAX 200000  /* how far back a start goes to where the last run ended */
#define WARM_EVENTS 20000  /* the ring begins with about that many */
#define READY_WAIT_MS 1000 /* a start waits that long for gaps before it takes clients */
#define GAP_RETRY_MS 5
#define AWAITED_RETRY_US \
	100 /* the binlog tells of a row a moment before it is visible; doubled each time */
#define AWAITED_RETRY_MAX_US 3200
#define ANNOUNCED_MAX 4096

static const struct db_stmt sql_log = {"log", "SELECT epoch, floor FROM ws_log", 0, 2};
static const struct db_stmt sql_largest = {
	"largest", "SELECT id FROM ws_events ORDER BY id DESC LIMIT 1", 0, 1};
static const struct db_stmt sql_own_tail = {
	"own_tail", "SELECT tail FROM ws_pollers WHERE node_id = ?", 1, 1};
static const struct db_stmt sql_read = {"read",
	"SELECT " RECORD_COLUMNS " FROM ws_events WHERE id > ? ORDER BY id LIMIT ?", 2,
	RECORD_COLUMNS_N};
static const struct db_stmt sql_range = {"range",
	"SELECT " RECORD_COLUMNS " FROM ws_events WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?", 3,
	RECORD_COLUMNS_N};
static const struct db_stmt sql_probe = {"probe",
	"SELECT id FROM ws_events WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ? LOCK IN SHARE MODE",
	3, 1};

static const struct db_set read_set = {"tail",
	(const struct db_stmt *const[]){
		&sql_log, &sql_largest, &sql_own_tail, &sql_read, &sql_range, NULL},
	false};
static const struct db_set probe_set = {
	"probe", (const struct db_stmt *const[]){&sql_probe, NULL}, false};

struct tail {
	const struct config *cfg;
	struct mailbox *to;
	void (*open_start)(struct mail *, void *);
	void (*open_batch)(struct mail *, void *);
	pthread_t thread;

	pthread_mutex_t lock; /* what wakes: the next five */
	pthread_cond_t cond;
	bool is_woken, is_stopping;
	uint64_t announced[ANNOUNCED_MAX];
	size_t announced_n;
	_Atomic bool is_pushed;

	/* the thread's own */
	struct db *db, *probe;
	unsigned probe_generation;
	char epoch[33];
	bool is_started, is_ready;
	int64_t started_ms;
	struct order order;
	uint64_t row_bytes;               /* average, for the size of a read */
	struct watch watch; /* where an event may still show up behind the tail */
	int64_t watched_ms;
	int64_t awaited_retry_us;
	struct tail_stats stats;
};

static void discard_start(struct mail *mail)
{
	free(mail);
}

void tail_batch_free(struct tail_batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		record_free(b->records[i]);
	free(b->records);
	free(b);
}

static void discard_batch(struct mail *mail)
{
	tail_batch_free((struct tail_batch *)mail);
}

struct tail *tail_new(const struct config *cfg, struct mailbox *to,
	void (*open_start)(struct mail *, void *), void (*open_batch)(struct mail *, void *))
{
	static const struct db_set *const read_sets[] = {&read_set, NULL};
	static const struct db_set *const probe_sets[] = {&probe_set, NULL};
	struct tail *t = xcalloc(1, sizeof(*t));
	struct db_login login = config_login(cfg, CONFIG_POLLER);
	pthread_condattr_t attr;

	t->cfg = cfg;
	t->to = to;
	t->open_start = open_start;
	t->open_batch = open_batch;
	t->row_bytes = 512;
	t->awaited_retry_us = AWAITED_RETRY_US;
	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->cond, &attr);
	pthread_condattr_destroy(&attr);
	t->db = db_new(&login, read_sets);
	t->probe = db_new(&login, probe_sets);
	order_init(&t->order, 0, cfg->poller.grace_ms, cfg->poller.hold_limit_ms);
	return t;
}

void tail_free(struct tail *t)
{
	struct order_item *item;

	if (!t)
		return;
	while ((item = order_drain(&t->order)))
		record_free((struct record *)item);
	db_free(t->db);
	db_free(t->probe);
	pthread_cond_destroy(&t->cond);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

void tail_wake(struct tail *t, enum source source)
{
	atomic_fetch_add(&t->stats.wakes[source], 1);
	pthread_mutex_lock(&t->lock);
	t->is_woken = true;
	pthread_cond_signal(&t->cond);
	pthread_mutex_unlock(&t->lock);
}

void tail_announce(struct tail *t, const uint64_t *ids, size_t n)
{
	atomic_fetch_add(&t->stats.wakes[SOURCE_BINLOG], 1);
	pthread_mutex_lock(&t->lock);
	/* What does not fit is found by the read it wakes, and protected by its lock until then. */
	for (size_t i = 0; i < n && t->announced_n < ANNOUNCED_MAX; i++)
		t->announced[t->announced_n++] = ids[i];
	t->is_woken = true;
	pthread_cond_signal(&t->cond);
	pthread_mutex_unlock(&t->lock);
}

void tail_set_pushed(struct tail *t, bool is_pushed)
{
	atomic_store(&t->is_pushed, is_pushed);
}

const struct tail_stats *tail_stats(const struct tail *t)
{
	return &t->stats;
}

/* ---- the thread ---- */

/* Sleeps until woken or due. false: the thread is to end. */
static bool wait_until(struct tail *t, int64_t due_us)
{
	struct timespec at = {.tv_sec = due_us / 1000000, .tv_nsec = (due_us % 1000000) * 1000};
	bool go_on;

	pthread_mutex_lock(&t->lock);
	while (!t->is_woken && !t->is_stopping) {
		if (pthread_cond_timedwait(&t->cond, &t->lock, &at) == ETIMEDOUT) {
			atomic_fetch_add(&t->stats.wakes[SOURCE_TIMER], 1);
			break;
		}
	}
	t->is_woken = false;
	go_on = !t->is_stopping;
	pthread_mutex_unlock(&t->lock);
	return go_on;
}

static void take_announced(struct tail *t)
{
	uint64_t ids[ANNOUNCED_MAX];
	struct span late;
	size_t n;

	pthread_mutex_lock(&t->lock);
	n = t->announced_n;
	memcpy(ids, t->announced, n * sizeof(ids[0]));
	t->announced_n = 0;
	pthread_mutex_unlock(&t->lock);
	for (size_t i = 0; i < n; i++) {
		if (order_announce(&t->order, ids[i], &late)) {
			watch_add(&t->watch, late);
			t->watched_ms = 0;
		}
	}
}

static void post_batch(struct tail *t, struct record **records, size_t n, enum tail_batch_kind kind)
{
	struct tail_batch *b = xcalloc(1, sizeof(*b));

	b->mail.open = t->open_batch;
	b->mail.discard = discard_batch;
	b->records = records;
	b->n = n;
	b->tail = t->order.tail;
	b->kind = kind;
	mailbox_post(t->to, &b->mail);
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
		records[n++] = (struct record *)item;
	}
	atomic_fetch_add(&t->stats.released, n);
	if (n)
		post_batch(t, records, n, BATCH_RELEASED);
}

static int64_t read_limit(const struct tail *t)
{
	uint64_t limit = READ_BYTES_AIM / t->row_bytes;

	return limit > READ_ROWS_MAX ? READ_ROWS_MAX : limit < 16 ? 16 : (int64_t)limit;
}

/* Reads what lies beyond all seen. *is_more: the read was full. */
static enum err read_new(struct tail *t, bool *is_more)
{
	int64_t limit = read_limit(t);
	const struct db_val in[] = {DBV_U(t->order.seen), DBV_I(limit)};
	const struct db_val *row;
	enum err e;
	int64_t n = 0;
	uint64_t bytes = 0;

	*is_more = false;
	if (t->order.pending_n >= PENDING_MAX)
		return ERR_OK;
	atomic_fetch_add(&t->stats.reads, 1);
	e = db_query(t->db, &sql_read, in, 2);
	if (e)
		return e;
	while ((row = db_fetch(t->db))) {
		struct record *r = record_new(row);

		bytes += record_size(r);
		n++;
		order_add(&t->order, &r->item);
	}
	db_done(t->db);
	if (n)
		t->row_bytes = (t->row_bytes * 3 + bytes / (uint64_t)n) / 4 + 1;
	*is_more = n == limit;
	return ERR_OK;
}

/* Reads rows that have come into the lowest gap. */
static enum err read_gap(struct tail *t, struct span gap, size_t *filled)
{
	const struct db_val in[] = {DBV_U(gap.first), DBV_U(gap.last), DBV_I(read_limit(t))};
	const struct db_val *row;
	enum err e;

	*filled = 0;
	atomic_fetch_add(&t->stats.reads, 1);
	e = db_query(t->db, &sql_range, in, 3);
	if (e)
		return e;
	while ((row = db_fetch(t->db))) {
		struct record *r = record_new(row);

		if (order_fill(&t->order, &r->item))
			(*filled)++;
		else
			record_free(r);
	}
	db_done(t->db);
	return ERR_OK;
}

enum probe_says { PROBE_IN_FLIGHT, PROBE_HAS_ROWS, PROBE_EMPTY };

static enum err probe_gap(struct tail *t, struct span gap, enum probe_says *says)
{
	const struct db_val in[] = {DBV_U(gap.first), DBV_U(gap.last), DBV_I(READ_ROWS_MAX)};
	enum err e = db_ensure(t->probe);

	if (!e && t->probe_generation != db_generation(t->probe)) {
		e = db_script(t->probe, "SET SESSION innodb_lock_wait_timeout = 0");
		if (!e)
			t->probe_generation = db_generation(t->probe);
	}
	if (e)
		return e;
	atomic_fetch_add(&t->stats.probes, 1);
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
	atomic_fetch_add(&t->stats.given_up, gap.last - gap.first + 1);
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
static enum err look_behind(struct tail *t)
{
	size_t n = t->watch.n;

	for (size_t i = 0; i < n; i++) {
		struct span span = t->watch.spans[0];
		const struct db_val in[] = {
			DBV_U(span.first), DBV_U(span.last), DBV_I(READ_ROWS_MAX)};
		struct record **records;
		const struct db_val *row;
		enum probe_says says;
		size_t found = 0;
		enum err e = probe_gap(t, span, &says);

		if (!e)
			e = db_query(t->db, &sql_range, in, 3);
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
			records[found++] = r;
			log_warn("event_late", "event %llu came behind the tail %llu",
				(unsigned long long)r->item.id, (unsigned long long)t->order.tail);
		}
		db_done(t->db);
		if (says == PROBE_IN_FLIGHT || found == READ_ROWS_MAX)
			watch_add(&t->watch, span);
		atomic_fetch_add(&t->stats.late, found);
		if (found)
			post_batch(t, records, found, BATCH_LATE);
		else
			free(records);
	}
	return ERR_OK;
}

/* One look at the table: everything that can be released is. */
static enum err cycle(struct tail *t, int64_t *due_us)
{
	bool is_more, is_held;
	int64_t now;
	enum err e;

	do {
		take_announced(t);
		e = read_new(t, &is_more);
		if (e)
			return e;
		order_sample(&t->order, clock_ms());
		e = settle(t, &is_held);
		if (e)
			return e;
	} while (is_more && t->order.pending_n < PENDING_MAX);
	now = clock_ms();
	if (t->watch.n && now - t->watched_ms >= t->cfg->poller.safety_ms) {
		t->watched_ms = now;
		e = look_behind(t);
		if (e)
			return e;
	}
	if (!t->is_ready && (!is_held || now - t->started_ms >= READY_WAIT_MS)) {
		t->is_ready = true;
		post_batch(t, NULL, 0, BATCH_READY);
	}
	atomic_store(&t->stats.read_ok_ms, now);
	atomic_store(&t->stats.tail, t->order.tail);
	atomic_store(&t->stats.seen, t->order.seen);
	atomic_store(&t->stats.pending, t->order.pending_n);
	atomic_store(&t->stats.dead, t->order.dead_ids);
	atomic_store(&t->stats.gap_since_ms, is_held ? t->order.gap_since_ms : 0);
	*due_us = clock_us();
	if (order_is_awaited(&t->order)) {
		*due_us += t->awaited_retry_us;
		if (t->awaited_retry_us < AWAITED_RETRY_MAX_US)
			t->awaited_retry_us *= 2;
		return ERR_OK;
	}
	t->awaited_retry_us = AWAITED_RETRY_US;
	if (is_held)
		*due_us += GAP_RETRY_MS * 1000;
	else
		*due_us += 1000 * (atomic_load(&t->is_pushed) ? t->cfg->poller.safety_ms
							      : t->cfg->poller.timer_ms);
	return ERR_OK;
}

static enum err read_u64(struct tail *t, const struct db_stmt *st, const struct db_val *in,
	size_t in_n, uint64_t *out)
{
	const struct db_val *row;
	enum err e = db_one(t->db, st, in, in_n, &row);

	*out = !e && row ? dbv_u(&row[0]) : 0;
	return e;
}

/* Where to begin: at the tail of the last run, or further back so that the ring holds what clients
 * are likely to ask for. Going over settled ground again costs a probe per hole and nothing else.
 */
static enum err start(struct tail *t)
{
	const struct db_val node = DBV_I(t->cfg->poller.node_id);
	const struct db_val *row;
	struct tail_start *s;
	uint64_t floor, largest, own, begin;
	char epoch[sizeof(t->epoch)] = "";
	enum err e = db_one(t->db, &sql_log, NULL, 0, &row);

	if (!e && !row)
		e = ERR_DB;
	if (e)
		return e;
	memccpy(epoch, dbv_text(&row[0]), '\0', sizeof(epoch) - 1);
	floor = dbv_u(&row[1]);
	if (t->is_started) {
		if (!strcmp(epoch, t->epoch))
			return ERR_OK;
		log_fatal(EX_TEMPFAIL,
			"the event log is another one now (epoch %s, was %s): "
			"starting again",
			epoch, t->epoch);
	}
	e = read_u64(t, &sql_largest, NULL, 0, &largest);
	if (!e)
		e = read_u64(t, &sql_own_tail, &node, 1, &own);
	if (e)
		return e;
	if (largest < floor)
		largest = floor;
	begin = largest > WARM_EVENTS ? largest - WARM_EVENTS : 0;
	if (own && own < begin)
		begin = own;
	if (largest > REWIND_MAX && begin < largest - REWIND_MAX)
		begin = largest - REWIND_MAX;
	if (begin < floor)
		begin = floor;
	memcpy(t->epoch, epoch, sizeof(epoch));
	order_init(&t->order, begin, t->cfg->poller.grace_ms, t->cfg->poller.hold_limit_ms);
	s = xcalloc(1, sizeof(*s));
	s->mail.open = t->open_start;
	s->mail.discard = discard_start;
	memcpy(s->epoch, epoch, sizeof(epoch));
	s->floor = floor;
	s->tail = begin;
	mailbox_post(t->to, &s->mail);
	t->is_started = true;
	t->started_ms = clock_ms();
	log_info("tail_start", "epoch %s, from event %llu, newest %llu, floor %llu", epoch,
		(unsigned long long)begin, (unsigned long long)largest, (unsigned long long)floor);
	return ERR_OK;
}

/* Connects if need be, looks once. */
static enum err step(struct tail *t, unsigned *generation, int64_t *due_us)
{
	enum err e = db_ensure(t->db);

	if (!e && *generation != db_generation(t->db)) {
		e = start(t);
		if (!e)
			*generation = db_generation(t->db);
	}
	return e ? e : cycle(t, due_us);
}

/* Why the last look failed: one of the two connections knows, or start() found no epoch. */
static const char *reason(const struct tail *t)
{
	if (db_errno(t->db))
		return db_errmsg(t->db);
	return db_errno(t->probe) ? db_errmsg(t->probe) : "the table ws_log has no row";
}

static void *tail_main(void *arg)
{
	struct tail *t = arg;
	unsigned generation = 0;
	int64_t due_us = 0, backoff_ms = 50;

	db_thread_init();
	do {
		enum err e = step(t, &generation, &due_us);

		if (!e) {
			if (!atomic_exchange(&t->stats.is_db_up, true))
				log_info("db_up", "following the event log");
			backoff_ms = 50;
			continue;
		}
		if (atomic_exchange(&t->stats.is_db_up, false) || backoff_ms == 50)
			log_error("db_down", "%s; trying again", reason(t));
		due_us = clock_us() + backoff_ms * 1000;
		backoff_ms = backoff_ms < 400 ? backoff_ms * 2 : 500;
	} while (wait_until(t, due_us));
	db_close(t->db);
	db_close(t->probe);
	db_thread_fini();
	return NULL;
}

void tail_run(struct tail *t)
{
	int rc = pthread_create(&t->thread, NULL, tail_main, t);

	if (rc)
		log_fatal(EX_OSERR, "cannot start a thread: %s", strerror(rc));
}

void tail_stop(struct tail *t)
{
	pthread_mutex_lock(&t->lock);
	t->is_stopping = true;
	pthread_cond_signal(&t->cond);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
}
