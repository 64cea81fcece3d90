#include "loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include <event2/event.h>

#include "app.h"
#include "clock.h"
#include "jobs.h"
#include "link.h"
#include "log.h"
#include "mem.h"
#include "park.h"
#include "peer.h"

#define CGI_DOORBELL_MS 250 /* the poller's timer finds the event anyway */

struct loop {
	struct app *app;
	struct event_base *base;
	struct event *wake, *tick;
	struct parks *parks;
	struct peers *peers;
	struct link *link;
	int wake_fd;
	atomic_size_t reserved; /* parked requests, from the worker's yes to the end */
	atomic_bool is_linked;

	/* What other threads want. Under lock, the first to put something in rings wake_fd. */
	pthread_mutex_t lock;
	TAILQ_HEAD(, park) arrivals;
	TAILQ_HEAD(, park) worked; /* by job_entry */
	struct peer *returned;     /* a chain */
	bool has_doorbell, wants_shut, wants_stop, is_rung;
	int64_t stop_deadline_ms;

	bool is_stopping;
	int64_t deadline_ms;
};

/* ---- any thread ---- */

static void ring(struct loop *l)
{
	uint64_t one = 1;

	if (l->is_rung)
		return;
	l->is_rung = true;
	while (write(l->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

bool loop_reserve(struct loop *l, size_t max)
{
	if (atomic_fetch_add(&l->reserved, 1) < max)
		return true;
	atomic_fetch_sub(&l->reserved, 1);
	figure_add(l->app->stats, STAT_NO_PLACE, 1);
	return false;
}

void loop_release(struct loop *l)
{
	atomic_fetch_sub(&l->reserved, 1);
}

size_t loop_parked_n(struct loop *l)
{
	return atomic_load(&l->reserved);
}

bool loop_is_linked(struct loop *l)
{
	return atomic_load(&l->is_linked);
}

void loop_park(struct loop *l, struct park *p)
{
	pthread_mutex_lock(&l->lock);
	TAILQ_INSERT_TAIL(&l->arrivals, p, entry);
	ring(l);
	pthread_mutex_unlock(&l->lock);
}

void loop_worked(struct loop *l, struct park *p)
{
	pthread_mutex_lock(&l->lock);
	TAILQ_INSERT_TAIL(&l->worked, p, job_entry);
	ring(l);
	pthread_mutex_unlock(&l->lock);
}

void loop_return(struct loop *l, struct peer *p)
{
	pthread_mutex_lock(&l->lock);
	peer_chain(&l->returned, p);
	ring(l);
	pthread_mutex_unlock(&l->lock);
}

bool loop_is_busy(struct loop *l)
{
	return peers_busy_n(l->peers) > 0;
}

void loop_shut(struct loop *l)
{
	pthread_mutex_lock(&l->lock);
	l->wants_shut = true;
	ring(l);
	pthread_mutex_unlock(&l->lock);
}

void loop_doorbell(struct loop *l)
{
	pthread_mutex_lock(&l->lock);
	l->has_doorbell = true;
	ring(l);
	pthread_mutex_unlock(&l->lock);
}

void loop_stop(struct loop *l, int64_t deadline_ms)
{
	pthread_mutex_lock(&l->lock);
	l->wants_stop = true;
	l->stop_deadline_ms = deadline_ms;
	ring(l);
	pthread_mutex_unlock(&l->lock);
}

/* ---- the loop's thread ---- */

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	TAILQ_HEAD(, park) arrivals = TAILQ_HEAD_INITIALIZER(arrivals);
	TAILQ_HEAD(, park) worked = TAILQ_HEAD_INITIALIZER(worked);
	bool has_doorbell, wants_shut, wants_stop;
	struct peer *returned;
	struct park *p;
	uint64_t n;

	if (read(l->wake_fd, &n, sizeof(n)) < 0 && errno != EAGAIN && errno != EINTR)
		log_error("loop", "eventfd: %s", strerror(errno));
	pthread_mutex_lock(&l->lock);
	TAILQ_CONCAT(&arrivals, &l->arrivals, entry);
	TAILQ_CONCAT(&worked, &l->worked, job_entry);
	has_doorbell = l->has_doorbell;
	returned = l->returned;
	l->returned = NULL;
	wants_shut = l->wants_shut;
	l->wants_shut = false;
	wants_stop = l->wants_stop;
	l->has_doorbell = l->is_rung = false;
	if (wants_stop)
		l->deadline_ms = l->stop_deadline_ms;
	pthread_mutex_unlock(&l->lock);

	if (has_doorbell)
		link_doorbell(l->link);
	while ((p = TAILQ_FIRST(&arrivals))) {
		TAILQ_REMOVE(&arrivals, p, entry);
		parks_add(l->parks, p);
	}
	while ((p = TAILQ_FIRST(&worked))) {
		TAILQ_REMOVE(&worked, p, job_entry);
		parks_on_worked(l->parks, p);
	}
	peers_take_back(l->peers, returned);
	if (wants_shut)
		peers_shut(l->peers);
	if (wants_stop && !l->is_stopping) {
		l->is_stopping = true;
		parks_release(l->parks);
	}
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct timeval tv = {.tv_usec = 10000};
	struct loop *l = arg;

	event_add(l->tick, &tv);
}

/* libevent's own complaints; that epoll takes no plain files is among them, and expected (park.c).
 */
static void on_libevent_log(int severity, const char *msg)
{
	if (severity >= EVENT_LOG_ERR)
		log_error("libevent", "%s", msg);
	else
		log_debug("libevent", "%s", msg);
}

struct loop *loop_new(struct app *app)
{
	struct loop *l = xcalloc(1, sizeof(*l));
	struct event_config *config;

	event_set_log_callback(on_libevent_log);
	config = event_config_new();
	/* Only its own thread touches the base; others ring the eventfd. */
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	l->base = event_base_new_with_config(config);
	event_config_free(config);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!l->base || l->wake_fd < 0)
		log_fatal(1, "cannot make an event loop: %s", strerror(errno));
	l->app = app;
	pthread_mutex_init(&l->lock, NULL);
	TAILQ_INIT(&l->arrivals);
	TAILQ_INIT(&l->worked);
	l->parks = parks_new(app, l->base);
	l->peers = peers_new(app, l->base);
	l->link = link_new(app, l->base, l->parks);
	parks_set_link(l->parks, l->link);
	l->wake = event_new(l->base, l->wake_fd, EV_READ | EV_PERSIST, on_wake, l);
	event_add(l->wake, NULL);
	l->tick = evtimer_new(l->base, on_tick, l);
	return l;
}

void loop_free(struct loop *l)
{
	struct park *p;

	if (!l)
		return;
	while ((p = TAILQ_FIRST(&l->arrivals))) {
		TAILQ_REMOVE(&l->arrivals, p, entry);
		park_free(p);
	}
	parks_free(l->parks);
	peers_free(l->peers);
	link_free(l->link);
	event_free(l->wake);
	event_free(l->tick);
	event_base_free(l->base);
	close(l->wake_fd);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

void loop_open(struct loop *l, struct gateway *g)
{
	peers_open(l->peers, g);
}

void loop_keep(struct loop *l, struct sink *s)
{
	peers_keep(l->peers, s);
}

static void turn(struct loop *l)
{
	event_base_loop(l->base, EVLOOP_ONCE);
	atomic_store(&l->is_linked, link_is_up(l->link));
}

void loop_run(struct loop *l)
{
	link_start(l->link);
	while (!l->is_stopping)
		turn(l);
	on_tick(-1, 0, l); /* so that the deadline is seen */
	while ((parks_total(l->parks) > 0 || peers_busy_n(l->peers) > 0) &&
		clock_ms() < l->deadline_ms) {
		turn(l);
		parks_release(l->parks); /* what could not go: the poller may be away by now */
	}
}

void loop_run_once(struct loop *l, struct worker *w)
{
	int64_t deadline = clock_ms() + CGI_DOORBELL_MS;
	bool has_doorbell = l->has_doorbell;

	if (!has_doorbell && TAILQ_EMPTY(&l->arrivals))
		return;
	link_start(l->link);
	on_tick(-1, 0, l);
	if (has_doorbell) {
		while (!link_is_up(l->link) && clock_ms() < deadline)
			turn(l);
		link_doorbell(l->link);
		while (!link_is_idle(l->link) && clock_ms() < deadline)
			turn(l);
		return;
	}
	on_wake(-1, 0, l);
	while (parks_total(l->parks) > 0) {
		turn(l);
		jobs_run(l->app->events, w);
	}
}
