#include "tail.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "clock.h"
#include "event_name.h"
#include "log.h"
#include "mem.h"
#include "tail_internal.h"

/* A start waits that long for gaps that clients may be behind of already, before it takes them. */
#define READY_WAIT_MS 1000
/* A gap is looked at again after that, and when it stays, after a sixteenth of its age. */
#define GAP_RETRY_MS 5
#define GAP_RETRY_MAX_MS 50
/* The binlog tells of a row a moment before it is visible; the pause doubles each time. */
#define AWAITED_RETRY_US 100
#define AWAITED_RETRY_MAX_US 200000
#define RENAMED_TELL_MS 10000 /* between two warnings of it */

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

struct tail *tail_new(const struct config *cfg, _Atomic uint64_t *figures, struct mailbox *to,
	void (*open_start)(struct mail *, void *), void (*open_batch)(struct mail *, void *))
{
	static const struct db_set *const read_sets[] = {
		&writer_sql, &tail_log_sql, &tail_read_sql, NULL};
	static const struct db_set *const probe_sets[] = {&writer_sql, &tail_probe_sql, NULL};
	struct tail *t = xcalloc(1, sizeof(*t));
	struct db_login login = config_login(cfg, CONFIG_POLLER);

	t->cfg = cfg;
	t->figures = figures;
	t->to = to;
	t->open_start = open_start;
	t->open_batch = open_batch;
	pthread_mutex_init(&t->lock, NULL);
	clock_cond_init(&t->cond);
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
	told_fini(&t->told);
	db_free(t->db);
	db_free(t->probe);
	pthread_cond_destroy(&t->cond);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

void tail_wake(struct tail *t, enum source source)
{
	figure_add(t->figures, FIGURE_WAKES_BINLOG + source, 1);
	pthread_mutex_lock(&t->lock);
	t->is_woken = true;
	pthread_cond_signal(&t->cond);
	pthread_mutex_unlock(&t->lock);
}

void tail_announce(struct tail *t, const uint64_t *ids, size_t n)
{
	figure_add(t->figures, FIGURE_WAKES_BINLOG, 1);
	pthread_mutex_lock(&t->lock);
	/* What does not fit is found by the read it wakes, and protected by its lock until then. */
	for (size_t i = 0; i < n && t->announced_n < TAIL_ANNOUNCED_MAX; i++)
		t->announced[t->announced_n++] = ids[i];
	t->is_woken = true;
	pthread_cond_signal(&t->cond);
	pthread_mutex_unlock(&t->lock);
}

void tail_unpromise(struct tail *t)
{
	figure_add(t->figures, FIGURE_WAKES_BINLOG, 1);
	pthread_mutex_lock(&t->lock);
	t->is_unpromised = t->is_woken = true;
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

void tail_server(struct tail *t, char *server, size_t size)
{
	pthread_mutex_lock(&t->lock);
	snprintf(server, size, "%s", t->writer.server);
	pthread_mutex_unlock(&t->lock);
}

void tail_add_writer(struct tail *t, struct str *json)
{
	pthread_mutex_lock(&t->lock);
	str_adds(json, "{\"server\":");
	str_add_json(json, t->writer.server);
	str_addf(json, ",\"is_writer\":%s", t->writer_problem ? "false" : "true");
	if (t->writer_problem) {
		str_adds(json, ",\"reason\":");
		str_add_json(json, t->writer_problem);
	}
	str_addc(json, '}');
	pthread_mutex_unlock(&t->lock);
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
			figure_add(t->figures, FIGURE_WAKES_TIMER, 1);
			break;
		}
	}
	t->is_woken = false;
	go_on = !t->is_stopping;
	pthread_mutex_unlock(&t->lock);
	return go_on;
}

/* Tells of those with a name that no event may have; of many, now and then. */
static void note_renamed(struct tail *t, struct record *const *records, size_t n)
{
	const struct record *last = NULL;
	uint64_t renamed = 0;
	int64_t now = clock_ms();

	for (size_t i = 0; i < n; i++) {
		if (!records[i]->is_renamed)
			continue;
		last = records[i];
		renamed++;
	}
	if (!last)
		return;
	figure_add(t->figures, FIGURE_RENAMED_EVENTS, renamed);
	renamed = figure_get(t->figures, FIGURE_RENAMED_EVENTS);
	if (t->renamed_told_ms && now < t->renamed_told_ms + RENAMED_TELL_MS)
		return;
	log_warn("event_name",
		"event %llu has a name that no event may have: \"%s\"; "
		"sockets get it as \"" EVENT_NAME_SAFE "\" (%llu so far)",
		(unsigned long long)last->item.id, last->name, (unsigned long long)renamed);
	t->renamed_told_ms = now;
}

void tail_post(struct tail *t, struct record **records, size_t n, enum tail_batch_kind kind)
{
	struct tail_batch *b = xcalloc(1, sizeof(*b));

	note_renamed(t, records, n);
	b->mail.open = t->open_batch;
	b->mail.discard = discard_batch;
	b->records = records;
	b->n = n;
	b->tail = t->order.tail;
	b->table = t->table;
	b->kind = kind;
	mailbox_post(t->to, &b->mail);
}

static void publish_stats(struct tail *t, bool is_held)
{
	atomic_store(&t->stats.read_ok_ms, clock_ms());
	atomic_store(&t->stats.seen, t->order.seen);
	figure_set(t->figures, FIGURE_EVENTS_HELD, t->order.pending_n);
	figure_set(t->figures, FIGURE_DEAD_IDS, t->order.dead_ids);
	atomic_store(&t->stats.gap_since_ms, is_held ? t->order.gap_since_ms : 0);
}

/* How long to sleep if nothing wakes. */
static int64_t pause_us(struct tail *t, bool is_held)
{
	int64_t now = clock_ms(), us, gap_ms;

	us = 1000 *
	     (atomic_load(&t->is_pushed) ? t->cfg->poller.safety_ms : t->cfg->poller.timer_ms);
	if (is_held) {
		gap_ms = (now - t->order.gap_since_ms) / 16;
		gap_ms = gap_ms < GAP_RETRY_MS       ? GAP_RETRY_MS
			 : gap_ms > GAP_RETRY_MAX_MS ? GAP_RETRY_MAX_MS
						     : gap_ms;
		us = gap_ms * 1000 < us ? gap_ms * 1000 : us;
	}
	if (order_is_awaited(&t->order, now)) {
		t->awaited_retry_us =
			t->awaited_retry_us ? t->awaited_retry_us * 2 : AWAITED_RETRY_US;
		if (t->awaited_retry_us > AWAITED_RETRY_MAX_US)
			t->awaited_retry_us = AWAITED_RETRY_MAX_US;
		us = t->awaited_retry_us < us ? t->awaited_retry_us : us;
	}
	return us;
}

/* Clients are no further than the last run was: what lies beyond holds back only what is new. */
static bool may_take_clients(const struct tail *t, bool is_held, int64_t now)
{
	return !is_held || (t->resume && t->order.tail >= t->resume) ||
	       now - t->started_ms >= READY_WAIT_MS;
}

/* One look at the table. */
static enum err cycle(struct tail *t, int64_t *due_us)
{
	bool is_held;
	int64_t now;
	enum err e = tail_look(t, &is_held);

	if (e)
		return e;
	now = clock_ms();
	if (t->watch.n && now - t->watched_ms >= t->cfg->poller.safety_ms) {
		t->watched_ms = now;
		e = tail_look_behind(t);
		if (e)
			return e;
	}
	if (!t->is_ready && may_take_clients(t, is_held, now)) {
		t->is_ready = true;
		tail_post(t, NULL, 0, BATCH_READY);
	}
	publish_stats(t, is_held);
	*due_us = clock_us() + pause_us(t, is_held);
	return ERR_OK;
}

/* Connects if need be, looks once. */
static enum err step(struct tail *t, unsigned *generation, int64_t *due_us)
{
	enum err e = db_ensure(t->db);

	if (!e)
		e = tail_log_check(t, *generation != db_generation(t->db));
	if (e)
		return e;
	*generation = db_generation(t->db);
	return cycle(t, due_us);
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
		t->checked_ms = 0; /* the table may have been gone for a moment */
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
