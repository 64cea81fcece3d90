#include "saver.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include <uthash.h>

#include "clock.h"
#include "log.h"
#include "mem.h"

#define TRANSACTION_MAX 500 /* rows */
#define LOAD_MAX 500
#define PAUSE_MS 500 /* after a failure */

/* A row on its way, in the order of ids that first came. */
struct job {
	struct saver_row *row;
	size_t size;
	UT_hash_handle hh; /* by row->id */
};

struct todo {
	struct job *jobs;
	struct mail_list questions;
	bool loads, prunes;
	int64_t ended_within_ms, ended_before_ms;
};

struct saver {
	const struct config *cfg;
	struct mailbox *to;
	void (*open_loaded)(struct mail *, void *);
	pthread_t thread;
	pthread_mutex_t lock; /* the next four */
	pthread_cond_t cond;
	struct todo todo;
	size_t todo_size; /* bytes */
	bool is_dropping, is_stopping;
	struct todo doing; /* the thread's own, as the rest */
	struct db *db;
	bool is_failing;
	struct saver_stats stats;
};

/* ---- jobs ---- */

static void jobs_drop(struct job **jobs, struct job *j)
{
	HASH_DEL(*jobs, j);
	free(j->row);
	free(j);
}

static void jobs_clear(struct job **jobs)
{
	struct job *j, *next;

	HASH_ITER (hh, *jobs, j, next)
		jobs_drop(jobs, j);
}

/* ---- mails ---- */

void saver_mail_free(struct saver_mail *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->rows[i]);
	free(m->rows);
	free(m);
}

static void saver_discard(struct mail *mail)
{
	saver_mail_free((struct saver_mail *)mail);
}

/* ---- what the loop says ---- */

struct saver *saver_new(const struct config *cfg, struct mailbox *to,
	void (*open_loaded)(struct mail *, void *), const struct db_set *const *sets)
{
	struct db_login login = config_login(cfg, CONFIG_POLLER);
	struct saver *s = xcalloc(1, sizeof(*s));

	s->cfg = cfg;
	s->to = to;
	s->open_loaded = open_loaded;
	pthread_mutex_init(&s->lock, NULL);
	clock_cond_init(&s->cond);
	TAILQ_INIT(&s->todo.questions);
	TAILQ_INIT(&s->doing.questions);
	s->db = db_new(&login, sets);
	return s;
}

static void questions_clear(struct mail_list *questions)
{
	struct mail *m;

	while ((m = TAILQ_FIRST(questions))) {
		TAILQ_REMOVE(questions, m, entry);
		m->discard(m);
	}
}

void saver_free(struct saver *s)
{
	if (!s)
		return;
	questions_clear(&s->todo.questions);
	questions_clear(&s->doing.questions);
	jobs_clear(&s->todo.jobs);
	jobs_clear(&s->doing.jobs);
	db_free(s->db);
	pthread_cond_destroy(&s->cond);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

const struct saver_stats *saver_stats(const struct saver *s)
{
	return &s->stats;
}

static void saver_drop(struct saver *s, const char *why)
{
	atomic_fetch_add(&s->stats.dropped, 1);
	if (!s->is_dropping)
		log_warn("saver", "sessions are not saved: %s", why);
	s->is_dropping = true;
}

static void put_one(struct saver *s, const struct saver_row *row)
{
	size_t size = sizeof(struct job) + saver_row_size(row);
	struct job *j;

	if (row->record.len > SAVER_RECORD_MAX && !row->is_gone) {
		saver_drop(s, "a record is too large");
		return;
	}
	HASH_FIND(hh, s->todo.jobs, row->id, SAVER_ID_SIZE, j);
	if (s->todo_size - (j ? j->size : 0) + size > SAVER_BYTES_MAX) {
		saver_drop(s, "too many wait for the database");
		return;
	}
	if (j) {
		s->todo_size -= j->size;
		free(j->row);
		j->row = saver_row_dup(row);
		/* The key moved with the row; its value is the same. */
		j->hh.key = j->row->id;
	} else {
		j = xcalloc(1, sizeof(*j));
		j->row = saver_row_dup(row);
		HASH_ADD_KEYPTR(hh, s->todo.jobs, j->row->id, SAVER_ID_SIZE, j);
		atomic_fetch_add(&s->stats.pending, 1);
	}
	j->size = size;
	s->todo_size += size;
}

void saver_put(struct saver *s, const struct saver_row *rows, size_t n)
{
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < n; i++)
		put_one(s, &rows[i]);
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

void saver_load(struct saver *s, int64_t ended_within_ms)
{
	pthread_mutex_lock(&s->lock);
	s->todo.loads = true;
	s->todo.ended_within_ms = ended_within_ms;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

void saver_ask(struct saver *s, struct saver_question *q)
{
	pthread_mutex_lock(&s->lock);
	TAILQ_INSERT_TAIL(&s->todo.questions, &q->mail, entry);
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

void saver_prune(struct saver *s, int64_t ended_before_ms)
{
	pthread_mutex_lock(&s->lock);
	s->todo.prunes = true;
	s->todo.ended_before_ms = ended_before_ms;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

/* ---- what the thread does ---- */

static int64_t node_of(const struct saver *s)
{
	return s->cfg->poller.node_id;
}

/* Is it the row that is wrong, so that trying again would fail for ever? */
static bool is_refusal(enum err e)
{
	return e == ERR_DB || e == ERR_DB_TOO_LARGE || e == ERR_DB_DUP || e == ERR_DB_REF_NONE ||
	       e == ERR_DB_REF_USED;
}

/* One transaction out of doing.jobs, which loses what it has written. */
static enum err write_some(struct saver *s)
{
	struct job *j, *next;
	size_t n = 0, refused = 0;
	enum err e = db_begin(s->db);

	for (j = s->doing.jobs; j && n < TRANSACTION_MAX && e == ERR_OK; j = j->hh.next, n++) {
		e = saver_row_write(s->db, node_of(s), j->row);
		if (is_refusal(e)) {
			if (refused++ == 0)
				log_warn(
					"saver", "a session cannot be saved: %s", db_errmsg(s->db));
			e = ERR_OK;
		}
	}
	if (e == ERR_OK)
		e = db_commit(s->db);
	if (e != ERR_OK) {
		db_rollback(s->db);
		return e;
	}
	atomic_fetch_add(&s->stats.written, n - refused);
	atomic_fetch_add(&s->stats.refused, refused);
	atomic_fetch_sub(&s->stats.pending, n);
	HASH_ITER (hh, s->doing.jobs, j, next) {
		if (n-- == 0)
			break;
		jobs_drop(&s->doing.jobs, j);
	}
	return ERR_OK;
}

static enum err load(struct saver *s)
{
	struct saver_mail *m = xcalloc(1, sizeof(*m));
	int64_t ended_after_ms = clock_wall_ms() - s->doing.ended_within_ms;
	size_t n = LOAD_MAX;
	enum err e = ERR_OK;

	m->mail.open = s->open_loaded;
	m->mail.discard = saver_discard;
	while (e == ERR_OK && n == LOAD_MAX) {
		const uint8_t *after = m->n ? m->rows[m->n - 1]->id : NULL;

		m->rows = xreallocarray(m->rows, m->n + LOAD_MAX, sizeof(*m->rows));
		e = saver_row_page(
			s->db, node_of(s), after, ended_after_ms, m->rows + m->n, LOAD_MAX, &n);
		m->n += n;
	}
	if (e == ERR_OK)
		mailbox_post(s->to, &m->mail);
	else
		saver_mail_free(m);
	return e;
}

/* ---- the thread ---- */

static bool has_work(const struct todo *t)
{
	return t->jobs || t->loads || t->prunes || !TAILQ_EMPTY(&t->questions);
}

/* Whoever asks is not kept waiting for a database that is away. */
static void answer_questions(struct saver *s, enum err e)
{
	struct mail *m;

	while ((m = TAILQ_FIRST(&s->doing.questions))) {
		struct saver_question *q = (struct saver_question *)m;

		TAILQ_REMOVE(&s->doing.questions, m, entry);
		q->work(q, s->db, node_of(s), e);
		mailbox_post(s->to, m);
	}
}

/* Does what is in doing; what is not done stays there. */
static enum err saver_work(struct saver *s)
{
	enum err e = db_ensure(s->db);

	answer_questions(s, e);
	if (e == ERR_OK && s->doing.loads) {
		e = load(s);
		s->doing.loads = e != ERR_OK;
	}
	while (e == ERR_OK && s->doing.jobs)
		e = write_some(s);
	if (e == ERR_OK && s->doing.prunes) {
		e = saver_row_prune(s->db, node_of(s), clock_wall_ms() - s->doing.ended_before_ms);
		s->doing.prunes = e != ERR_OK;
	}
	return e;
}

static void note_state(struct saver *s, enum err e)
{
	atomic_store(&s->stats.is_db_up, e == ERR_OK);
	if (e != ERR_OK && !s->is_failing)
		log_warn("saver", "sessions wait to be saved: %s", db_errmsg(s->db));
	else if (e == ERR_OK && s->is_failing)
		log_info("saver", "sessions are saved again");
	s->is_failing = e != ERR_OK;
}

/* Under the lock: takes up what waits, unless something is left to be done. */
static void take(struct saver *s)
{
	if (!s->doing.jobs) {
		s->doing.jobs = s->todo.jobs;
		s->todo.jobs = NULL;
		s->todo_size = 0;
		s->is_dropping = false;
	}
	TAILQ_CONCAT(&s->doing.questions, &s->todo.questions, entry);
	if (s->todo.loads) {
		s->doing.loads = true;
		s->doing.ended_within_ms = s->todo.ended_within_ms;
	}
	if (s->todo.prunes) {
		s->doing.prunes = true;
		s->doing.ended_before_ms = s->todo.ended_before_ms;
	}
	s->todo.loads = s->todo.prunes = false;
}

/* Under the lock. */
static void pause_after_failure(struct saver *s)
{
	struct timespec at = clock_at(clock_ms() + PAUSE_MS);

	while (!s->is_stopping && !pthread_cond_timedwait(&s->cond, &s->lock, &at))
		;
}

static void *saver_main(void *arg)
{
	struct saver *s = arg;
	enum err e = ERR_OK;

	db_thread_init();
	pthread_mutex_lock(&s->lock);
	for (;;) {
		if (e != ERR_OK)
			pause_after_failure(s);
		while (!has_work(&s->todo) && !has_work(&s->doing) && !s->is_stopping)
			pthread_cond_wait(&s->cond, &s->lock);
		/* The last try is one that began after saver_stop(). */
		bool is_last = s->is_stopping;
		take(s);
		if (!has_work(&s->doing))
			break;
		pthread_mutex_unlock(&s->lock);
		e = saver_work(s);
		note_state(s, e);
		pthread_mutex_lock(&s->lock);
		if (is_last && e != ERR_OK)
			break;
	}
	pthread_mutex_unlock(&s->lock);
	if (atomic_load(&s->stats.pending))
		log_warn("saver", "%llu sessions could not be saved",
			(unsigned long long)atomic_load(&s->stats.pending));
	db_close(s->db);
	db_thread_fini();
	return NULL;
}

void saver_run(struct saver *s)
{
	int rc = pthread_create(&s->thread, NULL, saver_main, s);

	if (rc)
		log_fatal(EX_OSERR, "cannot start a thread: %s", strerror(rc));
}

void saver_stop(struct saver *s)
{
	pthread_mutex_lock(&s->lock);
	s->is_stopping = true;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
}
