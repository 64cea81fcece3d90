#include "chores.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "chore.h"
#include "clock.h"
#include "db.h"
#include "figure.h"
#include "log.h"
#include "mem.h"
#include "tail.h"
#include "txn.h"

#define WHY_SIZE 256
#define AGAIN_MS 10000 /* after a failure */
#define KEEP_MS 10000  /* a connection that is needed sooner is kept */

static const struct db_stmt sql_claim = {"chores.claim",
	"UPDATE ws_chores SET ran_at = NOW(3), node_id = ?"
	" WHERE name = ? AND ran_at < NOW(3) - INTERVAL ? SECOND",
	3, 0};
/* Lazy, as all that chores use: a right that is missing is a chore's failure. */
static const struct db_set set = {
	"chores", (const struct db_stmt *const[]){&sql_claim, NULL}, true};

static const struct chore *const chores[] = {
	&chore_expired, &chore_offline, &chore_log_index, &chore_stats};
#define CHORES_N (sizeof(chores) / sizeof(chores[0]))

struct chores {
	const struct config *cfg;
	_Atomic uint64_t *figures;
	struct tail *tail;
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock; /* the next three */
	pthread_cond_t cond;
	bool is_stopping;
	struct census_result *given; /* NULL: nothing */
	/* The thread's own. */
	struct db *db;
	unsigned generation; /* of the connection that was set up */
	int64_t next_ms[CHORES_N];
	bool goes_on[CHORES_N];          /* it is ours, and has more to do */
	bool has_more;                   /* the one at work */
	char why[WHY_SIZE];              /* of a failure that the chore went on behind */
	char failed[CHORES_N][WHY_SIZE]; /* why it did the last time; "": it did not */
};

struct chores *chores_new(const struct config *cfg, _Atomic uint64_t *figures, struct tail *tail)
{
	static const struct db_set *const sets[] = {&set, NULL};
	struct db_login login = config_login(cfg, CONFIG_POLLER);
	struct chores *cs = xcalloc(1, sizeof(*cs));

	cs->cfg = cfg;
	cs->figures = figures;
	cs->tail = tail;
	pthread_mutex_init(&cs->lock, NULL);
	clock_cond_init(&cs->cond);
	cs->db = db_new(&login, sets);
	return cs;
}

void chores_free(struct chores *cs)
{
	if (!cs)
		return;
	db_free(cs->db);
	free(cs->given);
	pthread_cond_destroy(&cs->cond);
	pthread_mutex_destroy(&cs->lock);
	free(cs);
}

/* ---- what a chore has ---- */

const struct config *chores_cfg(const struct chores *cs)
{
	return cs->cfg;
}

struct db *chores_db(const struct chores *cs)
{
	return cs->db;
}

_Atomic uint64_t *chores_figures(const struct chores *cs)
{
	return cs->figures;
}

void chores_note_why(struct chores *cs)
{
	snprintf(cs->why, sizeof(cs->why), "%s", db_errmsg(cs->db));
}

void chore_goes_on(struct chores *cs)
{
	cs->has_more = true;
}

bool chores_is_stopping(struct chores *cs)
{
	bool is_stopping;

	pthread_mutex_lock(&cs->lock);
	is_stopping = cs->is_stopping;
	pthread_mutex_unlock(&cs->lock);
	return is_stopping;
}

/* ---- what the loop gives ---- */

void chores_give(struct chores *cs, struct census_result *found)
{
	pthread_mutex_lock(&cs->lock);
	free(cs->given);
	cs->given = found;
	pthread_cond_signal(&cs->cond);
	pthread_mutex_unlock(&cs->lock);
}

struct census_result *chores_take(struct chores *cs)
{
	struct census_result *found;

	pthread_mutex_lock(&cs->lock);
	found = cs->given;
	cs->given = NULL;
	pthread_mutex_unlock(&cs->lock);
	return found;
}

static bool chores_is_given(struct chores *cs)
{
	bool is_given;

	pthread_mutex_lock(&cs->lock);
	is_given = cs->given != NULL;
	pthread_mutex_unlock(&cs->lock);
	return is_given;
}

/* ---- a unit of work ---- */

struct unit {
	struct chores *chores;
	enum err (*run)(struct txn *t, void *arg);
	void *arg;
};

static enum err unit_run(struct txn *t, void *arg)
{
	const struct unit *u = arg;

	return u->run(t, u->arg);
}

static void unit_told(const struct event_out *events, size_t n, void *arg)
{
	const struct unit *u = arg;

	if (n)
		tail_wake(u->chores->tail, SOURCE_DOORBELL);
}

enum err chore_unit(struct chores *cs, enum err (*run)(struct txn *t, void *arg), void *arg)
{
	static const struct txn_work work = {.run = unit_run, .told = unit_told};
	struct unit u = {cs, run, arg};
	struct txn t = {.db = cs->db};

	return txn_run(&t, &work, &u);
}

/* ---- the claim ---- */

struct claim {
	const struct chores *cs;
	const struct chore *chore;
	bool is_ours;
};

static enum err chores_claim(struct txn *t, void *arg)
{
	struct claim *c = arg;
	const struct db_val in[] = {DBV_I(c->cs->cfg->poller.node_id), dbv_s(c->chore->name),
		DBV_I(c->chore->every_s(c->cs->cfg))};
	uint64_t n = 0;
	enum err e = db_exec(t->db, &sql_claim, in, 3, &n, NULL);

	c->is_ours = n > 0;
	return e;
}

/* ---- the thread ---- */

/* A chore can wait, who waits for its locks cannot, nor the end of the program. */
static enum err chores_connect(struct chores *cs)
{
	enum err e = db_ensure(cs->db);

	if (e != ERR_OK || cs->generation == db_generation(cs->db))
		return e;
	e = db_script(cs->db, "SET SESSION innodb_lock_wait_timeout = 1, lock_wait_timeout = 1");
	if (e == ERR_OK)
		cs->generation = db_generation(cs->db);
	return e;
}

static enum err chores_do(struct chores *cs, size_t i)
{
	struct claim c = {
		.cs = cs, .chore = chores[i], .is_ours = cs->goes_on[i] || chores[i]->is_given};
	bool has_work = true;
	enum err e = chores_connect(cs);

	cs->why[0] = '\0';
	cs->has_more = cs->goes_on[i] = false;
	if (e == ERR_OK && !c.is_ours && chores[i]->look)
		e = chores[i]->look(cs, &has_work);
	if (e == ERR_OK && !c.is_ours && has_work)
		e = chore_unit(cs, chores_claim, &c);
	if (e != ERR_OK && chores[i]->is_given)
		free(chores_take(cs));
	if (e != ERR_OK || !c.is_ours)
		return e;
	figure_add(cs->figures, FIGURE_CHORES, 1);
	e = chores[i]->run(cs);
	cs->goes_on[i] = e == ERR_OK && cs->has_more;
	return e;
}

static void chores_note(struct chores *cs, size_t i, enum err e)
{
	char *failed = cs->failed[i];
	const char *why = cs->why[0] ? cs->why : db_errmsg(cs->db);

	if (e == ERR_OK) {
		if (failed[0])
			log_info("chore", "%s goes again", chores[i]->name);
		failed[0] = '\0';
		return;
	}
	figure_add(cs->figures, FIGURE_CHORES_FAILED, 1);
	/* That the database is away, the tail says. */
	if (e == ERR_DB_LOST || strncmp(failed, why, WHY_SIZE - 1) == 0)
		return;
	snprintf(failed, WHY_SIZE, "%s", *why ? why : err_code(e));
	log_warn("chore", "%s: %s (rights: cmdbctl migrate --grants)", chores[i]->name, failed);
}

/* When to look next, which is never later than `until`. */
static int64_t chores_turn(struct chores *cs, size_t i, int64_t until)
{
	int64_t every_ms = chores[i]->every_s(cs->cfg) * 1000, now = clock_ms();
	enum err e;

	if (chores[i]->is_given ? !chores_is_given(cs) : !every_ms)
		return until;
	if (now >= cs->next_ms[i] || chores[i]->is_given) {
		e = chores_do(cs, i);
		chores_note(cs, i, e);
		now = clock_ms();
		cs->next_ms[i] = cs->goes_on[i]                       ? now
				 : e == ERR_OK || every_ms < AGAIN_MS ? now + every_ms
								      : now + AGAIN_MS;
	}
	return cs->next_ms[i] < until ? cs->next_ms[i] : until;
}

static bool chores_wait(struct chores *cs, int64_t until_ms)
{
	struct timespec at = clock_at(until_ms);
	bool is_stopping;

	pthread_mutex_lock(&cs->lock);
	while (!cs->is_stopping && !cs->given &&
		pthread_cond_timedwait(&cs->cond, &cs->lock, &at) == 0)
		;
	is_stopping = cs->is_stopping;
	pthread_mutex_unlock(&cs->lock);
	return !is_stopping;
}

static void *chores_main(void *arg)
{
	struct chores *cs = arg;
	int64_t until;

	db_thread_init();
	do {
		until = clock_ms() + 3600 * 1000;
		for (size_t i = 0; i < CHORES_N && !chores_is_stopping(cs); i++)
			until = chores_turn(cs, i, until);
		/* It is one that others may need. */
		if (until > clock_ms() + KEEP_MS)
			db_close(cs->db);
	} while (chores_wait(cs, until));
	db_thread_fini();
	return NULL;
}

void chores_run(struct chores *cs)
{
	int rc = pthread_create(&cs->thread, NULL, chores_main, cs);

	if (rc)
		log_fatal(EX_OSERR, "cannot start a thread: %s", strerror(rc));
	cs->has_thread = true;
}

void chores_stop(struct chores *cs)
{
	pthread_mutex_lock(&cs->lock);
	cs->is_stopping = true;
	pthread_cond_signal(&cs->cond);
	pthread_mutex_unlock(&cs->lock);
	if (cs->has_thread)
		pthread_join(cs->thread, NULL);
	cs->has_thread = false;
}
