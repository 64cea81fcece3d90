#define _GNU_SOURCE /* gettid() */
#include "jobs.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "app.h"
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "password.h"
#include "worker.h"

#define HASHING_NICE 5

struct thread {
	struct worker worker;
	struct jobs *jobs;
	pthread_cond_t wake;
	bool is_idle, is_busy;
	uint64_t owner; /* of the job at hand; 0: none that is known */
	LIST_ENTRY(thread) idle_entry;
};

struct jobs {
	struct app *app;
	pthread_mutex_t lock;
	pthread_cond_t ended; /* a thread has */
	TAILQ_HEAD(, job) waiting;
	size_t waiting_n, owned_n; /* of these, of somebody known */
	LIST_HEAD(, thread) idle;  /* the one that was busy last is first */
	bool is_stopping, hashes, is_slow;
	size_t running_n; /* threads */
	struct thread *threads;
	size_t threads_n;
};

struct jobs *jobs_new(struct app *app)
{
	struct jobs *j = xcalloc(1, sizeof(*j));

	j->app = app;
	pthread_mutex_init(&j->lock, NULL);
	clock_cond_init(&j->ended);
	TAILQ_INIT(&j->waiting);
	LIST_INIT(&j->idle);
	return j;
}

void jobs_free(struct jobs *j)
{
	if (!j)
		return;
	pthread_mutex_destroy(&j->lock);
	pthread_cond_destroy(&j->ended);
	free(j);
}

/* Under the lock. */
static void wake(struct thread *t)
{
	t->is_idle = false;
	LIST_REMOVE(t, idle_entry);
	pthread_cond_signal(&t->wake);
}

bool jobs_add(struct jobs *j, struct job *job, size_t most)
{
	bool has_room;

	pthread_mutex_lock(&j->lock);
	has_room = j->waiting_n < most;
	if (has_room) {
		TAILQ_INSERT_TAIL(&j->waiting, job, entry);
		j->waiting_n++;
		j->owned_n += job->owner != 0;
		job->added_ms = clock_ms();
		if (!LIST_EMPTY(&j->idle))
			wake(LIST_FIRST(&j->idle));
	}
	pthread_mutex_unlock(&j->lock);
	return has_room;
}

size_t jobs_waiting_n(struct jobs *j)
{
	size_t n;

	pthread_mutex_lock(&j->lock);
	n = j->waiting_n;
	pthread_mutex_unlock(&j->lock);
	return n;
}

/* Under the lock. Those of nobody known are all of one. */
static size_t at_work_n(const struct jobs *j, uint64_t owner)
{
	size_t n = 0;

	for (size_t i = 0; i < j->threads_n; i++)
		n += j->threads[i].is_busy && j->threads[i].owner == owner;
	return n;
}

/* How many of one caller may be at work. */
static size_t most_of(const struct jobs *j, uint64_t owner)
{
	return owner && j->is_slow && j->threads_n > 1 ? j->threads_n - 1 : SIZE_MAX;
}

/* Under the lock: the first one of who has fewest at work; NULL: there is none that may. */
static struct job *next_job(const struct jobs *j)
{
	struct job *job, *best = NULL;
	size_t least = SIZE_MAX;
	uint64_t seen = 0;

	if (!j->owned_n)
		return TAILQ_FIRST(&j->waiting);
	TAILQ_FOREACH (job, &j->waiting, entry) {
		size_t n;

		if (job->owner && job->owner == seen)
			continue;
		seen = job->owner;
		n = at_work_n(j, job->owner);
		if (n >= least || n >= most_of(j, job->owner))
			continue;
		best = job;
		least = n;
		if (n == 0)
			break;
	}
	return best;
}

/* Under the lock; NULL: there is none. */
static struct job *take_now(struct jobs *j)
{
	struct job *job = next_job(j);

	if (job) {
		TAILQ_REMOVE(&j->waiting, job, entry);
		j->waiting_n--;
		j->owned_n -= job->owner != 0;
	}
	return job;
}

void jobs_run(struct jobs *j, struct worker *w)
{
	struct job *job;

	while ((job = take_now(j))) {
		db_thread_init();
		job->run(job, w);
		db_thread_fini();
	}
}

/* ---- threads ---- */

static int64_t db_idle_ms(struct app *app)
{
	struct settings *s = app_settings_get(app);
	int64_t ms = s->cfg.fcgi.db_idle_s * 1000;

	app_settings_put(s);
	return app_is_alone(app) && ms > APP_ALONE_DB_IDLE_MS ? APP_ALONE_DB_IDLE_MS : ms;
}

/* Until somebody has a job for it. Under the lock, which it lets go of meanwhile. */
static void sleep_idle(struct thread *t, int64_t until_ms)
{
	struct timespec until = clock_at(until_ms);
	int rc = 0;

	t->is_idle = true;
	LIST_INSERT_HEAD(&t->jobs->idle, t, idle_entry);
	while (t->is_idle && rc == 0)
		rc = t->worker.db ? pthread_cond_timedwait(&t->wake, &t->jobs->lock, &until)
				  : pthread_cond_wait(&t->wake, &t->jobs->lock);
	if (t->is_idle) {
		t->is_idle = false;
		LIST_REMOVE(t, idle_entry);
	}
}

/* The next job; NULL when it is time to end. */
static struct job *jobs_take(struct thread *t)
{
	int64_t until_ms = clock_ms() + db_idle_ms(t->jobs->app);
	struct jobs *j = t->jobs;
	struct job *job;

	pthread_mutex_lock(&j->lock);
	t->is_busy = false;
	while (!(job = take_now(j)) && !j->is_stopping) {
		if (t->worker.db && clock_ms() >= until_ms) {
			pthread_mutex_unlock(&j->lock);
			worker_drop_db(&t->worker);
			pthread_mutex_lock(&j->lock);
		} else {
			sleep_idle(t, until_ms);
		}
	}
	t->is_busy = job != NULL;
	t->owner = job ? job->owner : 0;
	pthread_mutex_unlock(&j->lock);
	return job;
}

static void *jobs_thread(void *arg)
{
	struct thread *t = arg;
	struct jobs *j = t->jobs;
	struct job *job;

	if (j->hashes)
		setpriority(PRIO_PROCESS, (id_t)gettid(), HASHING_NICE);
	db_thread_init();
	while ((job = jobs_take(t))) {
		t->worker.is_refusing = j->hashes && clock_ms() > job->added_ms + PASSWORD_WAIT_MS;
		job->run(job, &t->worker);
	}
	worker_drop_db(&t->worker);
	db_thread_fini();
	pthread_mutex_lock(&j->lock);
	j->running_n--;
	pthread_cond_broadcast(&j->ended);
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

void jobs_start(struct jobs *j, size_t threads_n, unsigned flags)
{
	j->threads = xcalloc(threads_n, sizeof(*j->threads));
	j->threads_n = j->running_n = threads_n;
	j->hashes = flags & JOBS_HASH;
	j->is_slow = flags & JOBS_SLOW;
	for (size_t i = 0; i < threads_n; i++) {
		struct thread *t = &j->threads[i];
		int rc;

		worker_init(&t->worker, j->app);
		t->worker.hashes = j->hashes;
		t->worker.pool = t->jobs = j;
		clock_cond_init(&t->wake);
		rc = pthread_create(&t->worker.thread, NULL, jobs_thread, t);
		if (rc != 0)
			log_fatal(1, "cannot start a thread: %s", strerror(rc));
	}
}

bool jobs_stop(struct jobs *j, int64_t deadline_ms)
{
	const struct timespec until = clock_at(deadline_ms);
	size_t left;
	int rc = 0;

	pthread_mutex_lock(&j->lock);
	j->is_stopping = true;
	while (!LIST_EMPTY(&j->idle))
		wake(LIST_FIRST(&j->idle));
	while (j->running_n > 0 && rc == 0)
		rc = pthread_cond_timedwait(&j->ended, &j->lock, &until);
	left = j->running_n;
	pthread_mutex_unlock(&j->lock);
	if (left > 0)
		return false;
	for (size_t i = 0; i < j->threads_n; i++) {
		pthread_join(j->threads[i].worker.thread, NULL);
		worker_fini(&j->threads[i].worker);
		pthread_cond_destroy(&j->threads[i].wake);
	}
	free(j->threads);
	j->threads = NULL;
	j->threads_n = 0;
	return true;
}
