#include "probe.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "log.h"
#include "mem.h"

#define IO_TIMEOUT_MS 4000 /* of one read or write of a try */
#define LOOK_EVERY_NS 10000000L

static const struct db_stmt ping = {"probe.read", "SELECT 1", 0, 1};
static const struct db_stmt put = {"probe.write",
	"INSERT INTO ws_health (node_id, written_at) VALUES (?, NOW(3))"
	" ON DUPLICATE KEY UPDATE written_at = VALUES(written_at)",
	1, 0};
static const struct db_stmt *const stmts[] = {&ping, &put, NULL};
static const struct db_set sql = {"probe", stmts, true};

struct probe {
	struct app *app;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* is_wanted, is_stopping, tries_n or is_running */
	pthread_t thread;
	bool is_running, is_wanted, is_stopping;
	unsigned tries_n, waiters_n;
	struct db *watched; /* the thread's: an open connection shows at once that the server is
			       gone */
	struct settings *watched_settings;
	struct shm_probe own; /* where there is no page */
	bool was_good;        /* what the log says */
};

struct probe *probe_new(struct app *app)
{
	struct probe *p = xcalloc(1, sizeof(*p));

	p->app = app;
	p->was_good = true;
	pthread_mutex_init(&p->lock, NULL);
	clock_cond_init(&p->changed);
	return p;
}

void probe_free(struct probe *p)
{
	if (!p)
		return;
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static struct shm_probe *shared(struct probe *p)
{
	struct shm *page = atomic_load(&p->app->shm);

	return page ? &page->probe : &p->own;
}

/* ---- a try ---- */

static void probe_tell(struct probe *p, bool is_good, const char *what, const struct db *db)
{
	if (is_good && !p->was_good)
		log_info("writes", "the database can be written to again");
	else if (!is_good && p->was_good)
		log_error("writes", "the database cannot be %s: %s", what, db_errmsg(db));
	p->was_good = is_good;
}

static void try_it(struct probe *p, struct shm_probe *s)
{
	static const struct db_set *const sets[] = {&sql, NULL};
	struct settings *settings = app_settings_get(p->app);
	struct db_login login = config_login(&settings->cfg, CONFIG_FCGI);
	struct db_val node[1] = {DBV_I(settings->cfg.poller.node_id)};
	const struct db_val *row;
	const char *what = "read";
	struct db *db;
	enum err e;

	login.io_timeout_ms = IO_TIMEOUT_MS;
	db = db_new(&login, sets);
	e = db_ensure(db);
	if (e == ERR_OK)
		e = db_one(db, &ping, NULL, 0, &row);
	if (e == ERR_OK) {
		atomic_store(&s->read_ms, clock_ms());
		what = "written to";
		e = db_exec(db, &put, node, 1, NULL, NULL);
	}
	atomic_store(&s->is_written, e == ERR_OK);
	probe_tell(p, e == ERR_OK, what, db);
	db_free(db);
	app_settings_put(settings);
}

static void watch_end(struct probe *p)
{
	db_free(p->watched);
	app_settings_put(p->watched_settings);
	p->watched = NULL;
	p->watched_settings = NULL;
}

/* What was found a moment ago counts only while the server is still there. */
static void probe_watch(struct probe *p)
{
	static const struct db_set *const sets[] = {&sql, NULL};
	struct db_login login;
	const struct db_val *row;
	enum err e;

	if (!p->watched) {
		p->watched_settings = app_settings_get(p->app);
		login = config_login(&p->watched_settings->cfg, CONFIG_FCGI);
		login.io_timeout_ms = IO_TIMEOUT_MS;
		p->watched = db_new(&login, sets);
	}
	e = db_ensure(p->watched);
	if (e == ERR_OK)
		e = db_one(p->watched, &ping, NULL, 0, &row);
	if (e != ERR_OK) {
		atomic_store(&shared(p)->done_ms, 0);
		watch_end(p);
	}
}

/* Makes a try, or waits for the one that another process makes. */
static void probe_run(struct probe *p)
{
	struct shm_probe *s = shared(p);

	for (;;) {
		int64_t begun = atomic_load(&s->begun_ms), done = atomic_load(&s->done_ms);
		int64_t now = clock_ms();

		if (done && now - done < PROBE_EVERY_MS)
			return;
		if (begun > done && now - begun < PROBE_WAIT_MS) {
			nanosleep(&(struct timespec){.tv_nsec = LOOK_EVERY_NS}, NULL);
		} else if (atomic_compare_exchange_strong(&s->begun_ms, &begun, now)) {
			try_it(p, s);
			atomic_store(&s->done_ms, clock_ms());
			return;
		}
	}
}

/* What is known: false if that is older than max_ms. */
static bool read_found(struct probe *p, int64_t max_ms, struct probe_found *found)
{
	const struct shm_probe *s = shared(p);
	int64_t done = atomic_load(&s->done_ms), read = atomic_load(&s->read_ms);

	found->is_waiting = !done || clock_ms() - done >= max_ms;
	found->is_read = read && read >= atomic_load(&s->begun_ms);
	found->is_written = !found->is_waiting && atomic_load(&s->is_written);
	return !found->is_waiting;
}

/* Has the try that is being made taken so long already that waiting for it is of no use? */
static bool is_stuck(struct probe *p)
{
	const struct shm_probe *s = shared(p);
	int64_t begun = atomic_load(&s->begun_ms);

	return begun > atomic_load(&s->done_ms) && clock_ms() - begun >= PROBE_WAIT_MS;
}

void probe_look(struct probe *p, struct probe_found *found)
{
	struct timespec until = clock_at(clock_ms() + PROBE_WAIT_MS);
	unsigned tries_n;
	int rc = 0;

	pthread_mutex_lock(&p->lock);
	read_found(p, PROBE_EVERY_MS, found);
	if (!p->is_running) {
		pthread_mutex_unlock(&p->lock);
		db_thread_init();
		probe_run(p);
		db_thread_fini();
		read_found(p, PROBE_EVERY_MS, found);
		return;
	}
	p->is_wanted = true;
	pthread_cond_broadcast(&p->changed);
	if (is_stuck(p) || (p->waiters_n > 0 && read_found(p, PROBE_KNOWN_MS, found))) {
		pthread_mutex_unlock(&p->lock);
		return;
	}
	tries_n = p->tries_n;
	p->waiters_n++;
	while (!p->is_stopping && p->tries_n == tries_n && rc == 0)
		rc = pthread_cond_timedwait(&p->changed, &p->lock, &until);
	p->waiters_n--;
	pthread_mutex_unlock(&p->lock);
	read_found(p, PROBE_EVERY_MS, found);
	if (rc != 0) {
		found->is_waiting = true;
		found->is_written = false;
	}
}

/* ---- the thread ---- */

/* Under the lock. A connection that nobody asks about is given back. */
static void wait_for_work(struct probe *p)
{
	struct timespec until = clock_at(clock_ms() + PROBE_KNOWN_MS);

	while (!p->is_wanted && !p->is_stopping)
		if (pthread_cond_timedwait(&p->changed, &p->lock, &until) == 0)
			continue;
		else if (p->watched)
			watch_end(p);
		else
			pthread_cond_wait(&p->changed, &p->lock);
}

static void *probe_thread(void *arg)
{
	struct probe *p = arg;

	db_thread_init();
	pthread_mutex_lock(&p->lock);
	for (;;) {
		wait_for_work(p);
		if (p->is_stopping)
			break;
		pthread_mutex_unlock(&p->lock);
		probe_watch(p);
		probe_run(p);
		pthread_mutex_lock(&p->lock);
		p->is_wanted = false;
		p->tries_n++;
		pthread_cond_broadcast(&p->changed);
	}
	watch_end(p);
	p->is_running = false;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	db_thread_fini();
	return NULL;
}

void probe_start(struct probe *p)
{
	int rc;

	p->is_running = true;
	rc = pthread_create(&p->thread, NULL, probe_thread, p);
	if (rc != 0)
		log_fatal(1, "cannot start a thread: %s", strerror(rc));
}

bool probe_stop(struct probe *p, int64_t deadline_ms)
{
	struct timespec until = clock_at(deadline_ms);
	bool is_running;
	int rc = 0;

	pthread_mutex_lock(&p->lock);
	p->is_stopping = true;
	pthread_cond_broadcast(&p->changed);
	while (p->is_running && rc == 0)
		rc = pthread_cond_timedwait(&p->changed, &p->lock, &until);
	is_running = p->is_running;
	pthread_mutex_unlock(&p->lock);
	if (is_running)
		return false;
	pthread_join(p->thread, NULL);
	return true;
}
