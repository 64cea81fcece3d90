#include "errand.h"

#include <stdlib.h>

#include "clock.h"
#include "conn.h"
#include "hub.h"
#include "mem.h"
#include "sessions.h"

#define ERRANDS_MAX 64
#define STEP_US 1000 /* of one turn of the loop */
#define LOOKS 16     /* sessions between two looks at the clock */

TAILQ_HEAD(errand_list, errand);

struct errands {
	struct hub *hub;
	struct errand_list list; /* the first is being done */
	struct errand_list waiting;
	size_t n; /* of both */
	uint64_t last_id;
	struct event step;
};

static void errand_end(struct errands *es, struct errand *e)
{
	TAILQ_REMOVE(e->is_waiting ? &es->waiting : &es->list, e, entry);
	es->n--;
	errand_free(e);
}

static void errand_finish(struct errands *es, struct errand *e)
{
	struct str json = STR_INIT;
	enum wire_answer what = e->kind->finish(e, &json);

	if (e->conn)
		wire_put_answer(bufferevent_get_output(e->conn->bev), e->ticket, what, &json);
	str_fini(&json);
	errand_end(es, e);
}

static void step_soon(struct errands *es)
{
	static const struct timeval at_once = {0, 0};

	/* By a timer, so that what has come meanwhile is looked at first. */
	if (!TAILQ_EMPTY(&es->list) && !event_pending(&es->step, EV_TIMEOUT, NULL))
		event_add(&es->step, &at_once);
}

static void on_step(evutil_socket_t fd, short what, void *arg)
{
	struct errands *es = arg;
	struct errand *e = TAILQ_FIRST(&es->list);
	int64_t until_us = clock_us() + STEP_US;
	struct session *s = NULL;

	for (unsigned n = 1; e; n++) {
		s = sessions_next(es->hub->sessions, &e->num);
		if (!s)
			break;
		e->kind->visit(e, s);
		if (n % LOOKS == 0 && clock_us() >= until_us)
			break;
	}
	if (e && !s)
		errand_finish(es, e);
	es->hub->handler->done(es->hub);
	step_soon(es);
}

struct errands *errands_new(struct hub *hub)
{
	struct errands *es = xcalloc(1, sizeof(*es));

	es->hub = hub;
	TAILQ_INIT(&es->list);
	TAILQ_INIT(&es->waiting);
	event_assign(&es->step, hub->base, -1, 0, on_step, es);
	return es;
}

void errands_free(struct errands *es)
{
	struct errand *e;

	if (!es)
		return;
	while ((e = TAILQ_FIRST(&es->list)) || (e = TAILQ_FIRST(&es->waiting)))
		errand_end(es, e);
	event_del(&es->step);
	free(es);
}

struct errand *errand_new(struct hub *hub, const struct errand_kind *kind, size_t size)
{
	struct errand *e = xcalloc(1, size);

	e->kind = kind;
	e->hub = hub;
	return e;
}

void errand_free(struct errand *e)
{
	if (!e)
		return;
	if (e->kind->fini)
		e->kind->fini(e);
	free(e);
}

bool errand_add(struct errand *e, struct conn *c, uint64_t ticket)
{
	struct errands *es = e->hub->errands;

	if (es->n == ERRANDS_MAX)
		return false;
	e->conn = c;
	e->ticket = ticket;
	e->id = ++es->last_id;
	e->is_waiting = e->kind->start && e->kind->start(e);
	TAILQ_INSERT_TAIL(e->is_waiting ? &es->waiting : &es->list, e, entry);
	es->n++;
	step_soon(es);
	return true;
}

struct errand *errand_waiting(struct errands *es, uint64_t id)
{
	struct errand *e;

	TAILQ_FOREACH (e, &es->waiting, entry)
		if (e->id == id)
			break;
	return e;
}

void errand_go(struct errand *e)
{
	struct errands *es = e->hub->errands;

	TAILQ_REMOVE(&es->waiting, e, entry);
	e->is_waiting = false;
	TAILQ_INSERT_TAIL(&es->list, e, entry);
	step_soon(es);
}

static void errand_forget(struct errands *es, struct errand *e)
{
	if (e->kind->goes_on)
		e->conn = NULL;
	else
		errand_end(es, e);
}

/* Of all answers on the connection, or of one. */
static void forget_some(
	struct errands *es, struct errand_list *list, const struct conn *c, const uint64_t *ticket)
{
	struct errand *e, *next;

	for (e = TAILQ_FIRST(list); e; e = next) {
		next = TAILQ_NEXT(e, entry);
		if (e->conn == c && (!ticket || e->ticket == *ticket))
			errand_forget(es, e);
	}
}

void errands_cancel(struct errands *es, struct conn *c, uint64_t ticket)
{
	forget_some(es, &es->list, c, &ticket);
	forget_some(es, &es->waiting, c, &ticket);
}

void errands_conn_gone(struct errands *es, struct conn *c)
{
	forget_some(es, &es->list, c, NULL);
	forget_some(es, &es->waiting, c, NULL);
}
