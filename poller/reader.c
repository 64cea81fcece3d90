#include "reader.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "clock.h"
#include "db.h"
#include "log.h"
#include "mailbox.h"
#include "mem.h"
#include "principal.h"
#include "record.h"
#include "stream.h"

#define LOSS_PAUSE_MS 200
/* What one statement brings is in memory as a whole, and a row may be of any size, whatever those
 * before it were. */
#define ROWS_AT_ONCE 32
#define PAGE_BYTES_AIM (8u * 1024 * 1024) /* a page ends with the row that reaches it */

static const struct db_stmt sql_page = {"page",
	"SELECT " RECORD_COLUMNS " FROM ws_events WHERE id > ? AND id <= ? ORDER BY id LIMIT ?", 3,
	RECORD_COLUMNS_N};
/* Made of the table of streams. */
static struct db_stmt sql_lasting = {"lasting", NULL, 3, RECORD_COLUMNS_N};
static const struct db_stmt sql_next = {
	"next", "SELECT id FROM ws_events WHERE id > ? ORDER BY id LIMIT 1", 1, 1};
static const struct db_stmt sql_save = {"save",
	"INSERT INTO ws_pollers (node_id, tail, epoch, seen_at) VALUES (?, ?, ?, NOW(3)) "
	"ON DUPLICATE KEY UPDATE tail = VALUES(tail), epoch = VALUES(epoch), "
	"seen_at = VALUES(seen_at)",
	3, 0};

static const struct db_set set = {"reader",
	(const struct db_stmt *const[]){
		&sql_page, &sql_lasting, &sql_next, &floors_stmt, &sql_save, NULL},
	false};

struct reader {
	const struct config *cfg;
	struct mailbox *to;
	void (*open_answer)(struct mail *, void *);
	pthread_t thread;
	pthread_mutex_t lock; /* the next three */
	pthread_cond_t cond;
	struct mail_list jobs;
	bool is_stopping;
	char epoch[33]; /* the loop's */
	struct db *db;  /* the thread's own */
};

void reader_mail_free(struct reader_mail *m)
{
	for (size_t i = 0; i < m->n; i++)
		record_free(m->records[i]);
	free(m->records);
	principal_unref(m->principal);
	caller_unref(m->who);
	free(m);
}

static void reader_discard(struct mail *mail)
{
	reader_mail_free((struct reader_mail *)mail);
}

/* All but the floods that come on asking: what is kept briefly and comes by right (devices,
 * figures) is shown as long as it is there. Once: pollers of a process have the same streams. */
static void make_sql(void)
{
	static struct str sql = STR_INIT;

	if (sql.len)
		return;
	str_adds(&sql,
		"SELECT " RECORD_COLUMNS
		" FROM ws_events WHERE id > ? AND id <= ? AND (room <> '' OR topic NOT IN (''");
	for (const struct stream *st = streams; st->topic; st++)
		if (st->retention == RETENTION_BRIEF && stream_view_by(st, STREAM_BY_RIGHT) < 0)
			str_addf(&sql, ", '%s'", st->topic);
	str_adds(&sql, ")) ORDER BY id LIMIT ?");
	sql_lasting.sql = sql.p;
}

struct reader *reader_new(
	const struct config *cfg, struct mailbox *to, void (*open_answer)(struct mail *, void *))
{
	static const struct db_set *const sets[] = {&set, &principal_id_sql, NULL};
	struct db_login login = config_login(cfg, CONFIG_POLLER);
	struct reader *r = xcalloc(1, sizeof(*r));

	make_sql();
	r->cfg = cfg;
	r->to = to;
	r->open_answer = open_answer;
	pthread_mutex_init(&r->lock, NULL);
	clock_cond_init(&r->cond);
	TAILQ_INIT(&r->jobs);
	r->db = db_new(&login, sets);
	return r;
}

void reader_free(struct reader *r)
{
	struct mail *m;

	if (!r)
		return;
	while ((m = TAILQ_FIRST(&r->jobs))) {
		TAILQ_REMOVE(&r->jobs, m, entry);
		m->discard(m);
	}
	db_free(r->db);
	pthread_cond_destroy(&r->cond);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

void reader_set_epoch(struct reader *r, const char *epoch)
{
	snprintf(r->epoch, sizeof(r->epoch), "%s", epoch);
}

static struct reader_mail *new_job(struct reader *r, enum reader_job job)
{
	struct reader_mail *m = xcalloc(1, sizeof(*m));

	m->mail.open = r->open_answer;
	m->mail.discard = reader_discard;
	m->job = job;
	memcpy(m->epoch, r->epoch, sizeof(m->epoch));
	return m;
}

/* Who somebody is by now goes before what anybody missed: what is revoked must not wait for pages.
 */
static void insert(struct mail_list *jobs, struct reader_mail *m)
{
	struct mail *at = TAILQ_FIRST(jobs);

	while (m->job == READER_PRINCIPAL && at &&
		((struct reader_mail *)at)->job == READER_PRINCIPAL)
		at = TAILQ_NEXT(at, entry);
	if (m->job == READER_PRINCIPAL && at)
		TAILQ_INSERT_BEFORE(at, &m->mail, entry);
	else
		TAILQ_INSERT_TAIL(jobs, &m->mail, entry);
}

static void put_job(struct reader *r, struct reader_mail *m)
{
	pthread_mutex_lock(&r->lock);
	insert(&r->jobs, m);
	pthread_cond_signal(&r->cond);
	pthread_mutex_unlock(&r->lock);
}

void reader_ask(struct reader *r, enum reader_job job, uint64_t after, uint64_t upto)
{
	struct reader_mail *m = new_job(r, job);

	m->after = after;
	m->upto = upto;
	put_job(r, m);
}

void reader_ask_principal(struct reader *r, const struct caller_view *who)
{
	struct reader_mail *m = new_job(r, READER_PRINCIPAL);

	m->who = caller_new(who);
	put_job(r, m);
}

static enum err read_one(struct reader *r, const struct db_stmt *st, const struct db_val *in,
	size_t in_n, uint64_t *out)
{
	const struct db_val *row;
	enum err e = db_one(r->db, st, in, in_n, &row);

	if (!e)
		*out = row ? dbv_u(&row[0]) : 0;
	return e;
}

static enum err read_floors(struct reader *r, struct floors *floors)
{
	const struct db_val *row;
	enum err e = db_one(r->db, &floors_stmt, NULL, 0, &row);

	if (!e && row)
		*floors = floors_of_row(row);
	return e;
}

/* Adds the next records of the page, as many as one statement brings. */
static enum err read_rows(struct reader *r, struct reader_mail *m, size_t *bytes, bool *has_more)
{
	uint64_t after = m->n ? m->records[m->n - 1]->item.id : m->after, rows_n;
	const struct db_val in[] = {DBV_U(after), DBV_U(m->upto), DBV_U(ROWS_AT_ONCE)}, *row;
	size_t had = m->n;
	enum err e = db_query(r->db, m->job == READER_LASTING ? &sql_lasting : &sql_page, in, 3);

	if (e)
		return e;
	rows_n = db_rows_n(r->db);
	m->records = xreallocarray(m->records, m->n + rows_n + 1, sizeof(*m->records));
	while (*bytes < PAGE_BYTES_AIM && (row = db_fetch(r->db))) {
		m->records[m->n] = record_new(row);
		*bytes += record_size(m->records[m->n++]);
	}
	db_done(r->db);
	*has_more = rows_n == ROWS_AT_ONCE || m->n - had < rows_n;
	return ERR_OK;
}

static enum err reader_read_page(struct reader *r, struct reader_mail *m)
{
	bool has_more = true;
	size_t bytes = 0;
	enum err e = ERR_OK;

	while (!e && has_more && bytes < PAGE_BYTES_AIM && m->n < READER_ROWS_MAX)
		e = read_rows(r, m, &bytes, &has_more);
	if (!e && has_more)
		m->upto = m->records[m->n - 1]->item.id;
	if (e || m->n)
		return e;
	return read_one(r, &sql_next, &DBV_U(m->upto), 1, &m->next_id);
}

/* A refusal is an answer. */
static enum err read_principal(struct reader *r, struct reader_mail *m)
{
	const struct caller *who = m->who;

	if (who->user_id)
		m->err = principal_load_user(
			r->db, who->user_id, who->jti, who->expires_s, &m->principal);
	else
		m->err = principal_load_apikey_id(r->db, who->apikey_id, &m->principal);
	switch (m->err) {
	case ERR_TOKEN_REVOKED:
	case ERR_TOKEN_EXPIRED:
	case ERR_TOKEN_INVALID:
		return ERR_OK;
	default:
		return m->err;
	}
}

static enum err reader_work(struct reader *r, struct reader_mail *m)
{
	const struct db_val save[] = {
		DBV_I(r->cfg->poller.node_id), DBV_U(m->upto), dbv_s(m->epoch)};
	enum err e = db_ensure(r->db);

	if (e)
		return e;
	switch (m->job) {
	case READER_SAVE:
		return db_exec(r->db, &sql_save, save, 3, NULL, NULL);
	case READER_PRINCIPAL:
		return read_principal(r, m);
	case READER_PAGE:
	case READER_LASTING:
		e = reader_read_page(r, m);
		if (e)
			return e;
		break;
	case READER_FLOORS:
		break;
	}
	/* After the rows: pruning raises a floor before it deletes, so rows that were deleted
	 * before we read have their floor already. */
	return read_floors(r, &m->floors);
}

static struct reader_mail *next_job(struct reader *r)
{
	struct mail *m;

	pthread_mutex_lock(&r->lock);
	while (!(m = TAILQ_FIRST(&r->jobs)) && !r->is_stopping)
		pthread_cond_wait(&r->cond, &r->lock);
	if (m)
		TAILQ_REMOVE(&r->jobs, m, entry);
	pthread_mutex_unlock(&r->lock);
	return (struct reader_mail *)m;
}

/* A database that is away is not asked again at once. */
static void pause_after_loss(struct reader *r)
{
	struct timespec at = clock_at(clock_ms() + LOSS_PAUSE_MS);

	pthread_mutex_lock(&r->lock);
	while (!r->is_stopping && !pthread_cond_timedwait(&r->cond, &r->lock, &at))
		;
	pthread_mutex_unlock(&r->lock);
}

static void *reader_main(void *arg)
{
	struct reader *r = arg;
	struct reader_mail *m;

	db_thread_init();
	while ((m = next_job(r))) {
		enum err e = reader_work(r, m);

		m->is_done = !e;
		if (e && e != ERR_DB_LOST && m->job == READER_SAVE)
			log_warn("save", "cannot note the tail: %s", db_errmsg(r->db));
		if (e && e != ERR_DB_LOST && m->job == READER_PRINCIPAL)
			log_warn("principal", "cannot read who a session is of: %s",
				db_errmsg(r->db));
		if (e)
			pause_after_loss(r);
		mailbox_post(r->to, &m->mail);
	}
	db_close(r->db);
	db_thread_fini();
	return NULL;
}

void reader_run(struct reader *r)
{
	int rc = pthread_create(&r->thread, NULL, reader_main, r);

	if (rc)
		log_fatal(EX_OSERR, "cannot start a thread: %s", strerror(rc));
}

void reader_stop(struct reader *r)
{
	pthread_mutex_lock(&r->lock);
	r->is_stopping = true;
	pthread_cond_signal(&r->cond);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
}
