#include "jobs.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app.h"
#include "clock.h"
#include "log.h"
#include "loop.h"
#include "mem.h"
#include "park.h"
#include "worker.h"

struct jobs {
	struct app *app;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* something to do, is_stopping, or a thread has ended */
	TAILQ_HEAD(, park) waiting;
	bool is_stopping;
	size_t running_n; /* threads */
	struct worker *workers;
	size_t workers_n;
};

struct jobs *jobs_new(struct app *app)
{
	struct jobs *j = xcalloc(1, sizeof(*j));
	pthread_condattr_t attr;

	j->app = app;
	pthread_mutex_init(&j->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&j->changed, &attr);
	pthread_condattr_destroy(&attr);
	TAILQ_INIT(&j->waiting);
	return j;
}

void jobs_free(struct jobs *j)
{
	if (!j)
		return;
	pthread_mutex_destroy(&j->lock);
	pthread_cond_destroy(&j->changed);
	free(j);
}

void jobs_add(struct jobs *j, struct park *p)
{
	pthread_mutex_lock(&j->lock);
	TAILQ_INSERT_TAIL(&j->waiting, p, job_entry);
	pthread_cond_signal(&j->changed);
	pthread_mutex_unlock(&j->lock);
}

static void do_work(struct jobs *j, struct park *p, struct worker *w)
{
	int64_t from = clock_us();

	worker_take_settings(w);
	p->kind->work(p, w);
	worker_put_settings(w);
	stats_add(&j->app->stats.job_us, (uint64_t)(clock_us() - from));
	stats_add(&j->app->stats.job_n, 1);
	loop_worked(j->app->loop, p);
}

/* The next one, if need be waiting for it; NULL when it is time to end. */
static struct park *take(struct jobs *j, bool waits)
{
	struct park *p;

	pthread_mutex_lock(&j->lock);
	while (!(p = TAILQ_FIRST(&j->waiting)) && waits && !j->is_stopping)
		pthread_cond_wait(&j->changed, &j->lock);
	if (p)
		TAILQ_REMOVE(&j->waiting, p, job_entry);
	pthread_mutex_unlock(&j->lock);
	return p;
}

void jobs_run(struct jobs *j, struct worker *w)
{
	struct park *p;

	while ((p = take(j, false))) {
		db_thread_init();
		do_work(j, p, w);
		db_thread_fini();
	}
}

/* ---- threads ---- */

static void *thread(void *arg)
{
	struct worker *w = arg;
	struct jobs *j = w->app->jobs;
	struct park *p;

	db_thread_init();
	while ((p = take(j, true)))
		do_work(j, p, w);
	if (w->db)
		db_close(w->db);
	db_thread_fini();
	pthread_mutex_lock(&j->lock);
	j->running_n--;
	pthread_cond_broadcast(&j->changed);
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

void jobs_start(struct jobs *j, size_t threads_n)
{
	j->workers = xcalloc(threads_n, sizeof(*j->workers));
	j->workers_n = j->running_n = threads_n;
	for (size_t i = 0; i < threads_n; i++) {
		int rc;

		worker_init(&j->workers[i], j->app, NULL);
		rc = pthread_create(&j->workers[i].thread, NULL, thread, &j->workers[i]);
		if (rc != 0)
			log_fatal(1, "cannot start a thread: %s", strerror(rc));
	}
}

bool jobs_stop(struct jobs *j, int64_t deadline_ms)
{
	struct timespec until = {
		.tv_sec = deadline_ms / 1000, .tv_nsec = deadline_ms % 1000 * 1000000};
	size_t left;
	int rc = 0;

	pthread_mutex_lock(&j->lock);
	j->is_stopping = true;
	pthread_cond_broadcast(&j->changed);
	while (j->running_n > 0 && rc == 0)
		rc = pthread_cond_timedwait(&j->changed, &j->lock, &until);
	left = j->running_n;
	pthread_mutex_unlock(&j->lock);
	if (left > 0)
		return false;
	for (size_t i = 0; i < j->workers_n; i++) {
		pthread_join(j->workers[i].thread, NULL);
		worker_fini(&j->workers[i]);
	}
	free(j->workers);
	j->workers = NULL;
	j->workers_n = 0;
	return true;
}
