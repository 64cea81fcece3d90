#include "wait.h"

#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "body.h"
#include "clock.h"
#include "collect.h"
#include "conn.h"
#include "grave.h"
#include "group.h"
#include "hub.h"
#include "mem.h"
#include "pace.h"
#include "page.h"
#include "reader.h"
#include "ring.h"
#include "tail.h"

#define PAGES_PER_ANSWER 16                 /* pages looked through before an answer says `more` */
#define RING_PER_ANSWER 16384               /* events of the ring, likewise */
#define WORK_PER_ANSWER (16u * 1024 * 1024) /* bytes that filters look through, likewise */
#define PARTIAL_HELD_MAX (64u * 1024)       /* bytes held for one who waits for a further page */
#define AHEAD_HOLD_MS 300     /* how long a cursor beyond the tail may be right after all: */
#define AHEAD_HOLD_MIN_MS 30  /* another host's poller may be a moment ahead of this one */
#define PAGE_OVERTIME_MS 5000 /* how long an answer may be late for a page that is being read */

/* ---- states ---- */

static void waiter_move(struct waiter *w, enum waiter_state state, struct waiter_list *list)
{
	if (w->list)
		TAILQ_REMOVE(w->list, w, entry);
	w->state = state;
	w->list = list;
	if (list)
		TAILQ_INSERT_TAIL(list, w, entry);
}

static void waiter_free(void *arg)
{
	struct waiter *w = arg;

	body_put(w->partial);
	free(w);
}

/* ---- its end ---- */

void wait_end(struct waiter *w)
{
	struct hub *hub = w->conn->hub;

	if (w->kind->ended)
		w->kind->ended(w);
	waiter_move(w, WAITER_NEW, NULL);
	evtimer_del(&w->timer);
	HASH_DEL(w->conn->waiters, w);
	w->group->waiters_n--;
	hub->waiters_n--;
	grave_add(&hub->grave, w, waiter_free);
}

void wait_conn_gone(struct conn *c)
{
	while (c->waiters)
		wait_end(c->waiters);
}

/* A session's timer is for its paced views: for what is held of them. */
static void window_arm(struct waiter *w)
{
	int64_t left;
	struct timeval tv;

	if (!w->pace || w->held == WAIT_HOLDS_NOTHING || evtimer_pending(&w->timer, NULL))
		return;
	left = w->pace->open_ms - clock_ms();
	if (left < 0)
		left = 0;
	tv = (struct timeval){.tv_sec = left / 1000, .tv_usec = (left % 1000) * 1000};
	evtimer_add(&w->timer, &tv);
}

void wait_park(struct waiter *w)
{
	waiter_move(w, WAITER_PARKED, &w->group->parked);
	w->start.is_open = false;
	window_arm(w);
}

void wait_ahead(struct waiter *w)
{
	waiter_move(w, WAITER_AHEAD, &w->conn->hub->ahead);
}

void wait_recall(struct waiter *w)
{
	waiter_move(w, WAITER_NEW, NULL);
	w->start = (struct start){0};
}

void wait_regroup(struct waiter *w, struct group *g)
{
	w->group->waiters_n--;
	w->group = g;
	g->waiters_n++;
	if (w->state == WAITER_PARKED)
		wait_park(w);
}

/* ---- answers to one ---- */

void wait_give(struct waiter *w, struct body *b)
{
	answer_add(w->conn, w->ticket, b);
	if (w->kind->answered)
		w->kind->answered(w, b);
	wait_end(w);
}

void wait_give_one(struct waiter *w, struct body *b)
{
	wait_give(w, b);
	body_put(b);
}

static enum wire_format format_of(const struct waiter *w)
{
	return (enum wire_format)w->group->want.format;
}

uint64_t wait_seen(const struct waiter *w)
{
	return w->cursor > w->start.plain ? w->cursor : w->start.plain;
}

uint64_t wait_shown(const struct waiter *w, uint64_t cursor)
{
	return w->held < cursor ? w->held : cursor;
}

/* What was walked through has been shown: in an open walk of all views, else of those without a
 * pace. */
static void finish(struct waiter *w, struct body *b, bool is_more)
{
	uint64_t cursor = wait_seen(w);

	if (w->start.is_open)
		w->held = w->cursor < w->start.plain ? w->cursor : WAIT_HOLDS_NOTHING;
	b->held = w->held;
	body_add_batches(b, w->group->want.limit);
	body_finish(b, cursor, is_more);
}

/* Answers with what was collected, or with nothing but a cursor. */
static void answer_partial(struct waiter *w, bool is_more)
{
	struct body *b = w->partial ? w->partial : body_new(format_of(w), w->conn->hub->epoch);

	w->partial = NULL;
	finish(w, b, is_more);
	wait_give_one(w, b);
}

void wait_answer(struct waiter *w)
{
	answer_partial(w, false);
}

void wait_put_off(struct waiter *w)
{
	answer_partial(w, true);
}

void wait_reset(struct waiter *w, const char *reason, enum figure counter)
{
	struct hub *hub = w->conn->hub;

	figure_add(hub->figures, counter, 1);
	if (w->kind->is_reset) {
		w->kind->is_reset(w);
		return;
	}
	wait_give_one(w, body_reset(format_of(w), reason, hub->tail, hub->epoch));
}

/* ---- time ---- */

void wait_arm(struct waiter *w)
{
	int64_t left = w->deadline_ms - clock_ms();
	struct timeval tv;

	if (!w->kind->has_timeout)
		return;
	if (left < 0 && w->state == WAITER_PAGE)
		left += PAGE_OVERTIME_MS;
	if (left < 0)
		left = 0;
	if (w->state == WAITER_AHEAD && left > AHEAD_HOLD_MS)
		left = AHEAD_HOLD_MS;
	if (w->state == WAITER_AHEAD && left < AHEAD_HOLD_MIN_MS)
		left = AHEAD_HOLD_MIN_MS;
	tv = (struct timeval){.tv_sec = left / 1000, .tv_usec = (left % 1000) * 1000};
	evtimer_add(&w->timer, &tv);
}

void wait_window_over(struct waiter *w)
{
	if (w->state != WAITER_PARKED)
		return; /* it comes to that by itself */
	w->cursor = w->conn->hub->tail;
	wait_recall(w);
	wait_start(w);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct waiter *w = arg;
	struct hub *hub = w->conn->hub;

	if (w->kind->window_over) {
		w->kind->window_over(w);
		return;
	}

	if (w->state == WAITER_AHEAD &&
		w->cursor > atomic_load(&tail_stats(hub->tail_thread)->seen)) {
		wait_reset(w, "ahead", FIGURE_RESETS_AHEAD);
		return;
	}
	/* What is in the log already is worth more waiting than what may come. */
	if (clock_ms() < w->deadline_ms + (w->state == WAITER_PAGE ? PAGE_OVERTIME_MS : 0)) {
		wait_arm(w);
		return;
	}
	figure_add(hub->figures, FIGURE_TIMEOUTS, 1);
	/* What is parked has been looked through up to the tail. */
	if (w->state == WAITER_PARKED)
		w->cursor = hub->tail;
	answer_partial(w, w->state == WAITER_PAGE);
}

/* ---- catching up ---- */

static bool is_choosy(const struct waiter *w)
{
	return w->kind->is_choosy && w->kind->is_choosy(w);
}

bool wait_may_have(const struct waiter *w, const struct body *b)
{
	int64_t now = clock_ms();

	return w->pace && w->held == WAIT_HOLDS_NOTHING && pace_is_open(w->pace, now) &&
	       pace_budget(w->pace, w->group->per_s, now) >= b->rated_n;
}

void wait_hold(struct waiter *w, uint64_t before)
{
	if (w->held == WAIT_HOLDS_NOTHING)
		w->held = before;
	wait_park(w);
}

/* A crowd that asks from one cursor: the first one's answer serves them all. */
static bool answer_memo(struct waiter *w)
{
	struct group *g = w->group;

	if (!g->memo || !collect_is_alike(&g->memo_start, &w->start, g->memo) ||
		g->memo_tail != w->conn->hub->tail || w->partial || is_choosy(w))
		return false;
	if (conn_is_clogged(w->conn) && w->conn->hub->answer != g->memo)
		return false;
	w->held = g->memo->held;
	wait_give_one(w, body_ref(g->memo));
	return true;
}

static void answer_and_keep(struct waiter *w, bool is_for_others, bool is_more)
{
	struct hub *hub = w->conn->hub;
	struct group *g = w->group;
	struct body *b = w->partial;

	if (!b || !is_for_others) {
		answer_partial(w, is_more);
		return;
	}
	w->partial = NULL;
	finish(w, b, is_more);
	figure_add(hub->figures, FIGURE_BODIES_RENDERED, 1);
	group_keep(hub, g, b, &w->start);
	wait_give_one(w, b);
}

/* From the ring up to the tail; ends in an answer or parked. is_for_others: all of its answer comes
 * from here. */
static void go_on_ring(struct waiter *w, bool is_for_others)
{
	struct hub *hub = w->conn->hub;
	struct ring *ring = &hub->ring;
	size_t i = ring_after(ring, w->cursor), end = ring->n;

	if (end - i > RING_PER_ANSWER)
		end = i + RING_PER_ANSWER;
	for (; i < end && w->work < WORK_PER_ANSWER; i++) {
		if (!collect_record(w, ring_at(ring, i))) {
			answer_and_keep(w, is_for_others, true);
			return;
		}
	}
	if (i < ring->n) {
		w->cursor = ring_at(ring, i - 1)->item.id;
		answer_and_keep(w, is_for_others, true);
		return;
	}
	w->cursor = hub->tail;
	if (w->partial) {
		answer_and_keep(w, is_for_others, false);
	} else if (clock_ms() >= w->deadline_ms) {
		figure_add(hub->figures, FIGURE_TIMEOUTS, 1);
		answer_partial(w, false);
	} else {
		if (w->start.is_open)
			w->held = WAIT_HOLDS_NOTHING;
		wait_park(w);
	}
}

/* ---- pages ---- */

/* Who asks for no topic that is kept briefly is shown the others without their floods. */
static enum reader_job pages_of(const struct waiter *w)
{
	return w->group->classes & FLOORS_ONE(RETENTION_BRIEF) ? READER_PAGE : READER_LASTING;
}

static void page_wait(struct waiter *w)
{
	struct hub *hub = w->conn->hub;
	enum reader_job what = pages_of(w);
	uint64_t after = page_begin(hub, w->cursor, what);
	struct page *p = page_find(hub, after, what);

	if (!p)
		p = page_ask(hub, after, what);
	waiter_move(w, WAITER_PAGE, &p->waiters);
}

/* Takes what the waiter wants of a page and moves its cursor behind it. false: it was answered. */
static bool page_use(struct waiter *w, const struct page *p)
{
	uint64_t end = p->upto;

	for (size_t i = 0; i < p->n; i++) {
		if (w->work < WORK_PER_ANSWER && collect_record(w, p->records[i]))
			continue;
		answer_partial(w, true);
		return false;
	}
	/* Nothing on the page: on to the next id there is, over holes of any size. */
	if (p->n == 0 && p->next_id > end)
		end = p->next_id - 1 < w->conn->hub->tail ? p->next_id - 1 : w->conn->hub->tail;
	if (w->cursor < end)
		w->cursor = end;
	return true;
}

/* Goes on from the cursor until there is an answer, or something to wait for. */
void wait_go_on(struct waiter *w)
{
	struct hub *hub = w->conn->hub;
	bool is_own = w->partial || w->cursor < hub->ring.covered || is_choosy(w);

	if (!w->group->is_paced && !w->start.is_open)
		w->start = (struct start){.cursor = w->cursor, .held = WAIT_HOLDS_NOTHING};
	if (answer_memo(w))
		return;

	for (unsigned pages = 0;; pages++) {
		struct page *p;

		if (pages == PAGES_PER_ANSWER || w->work >= WORK_PER_ANSWER) {
			answer_partial(w, true);
			return;
		}
		if (w->cursor >= hub->tail || w->cursor >= hub->ring.covered) {
			go_on_ring(w, !is_own);
			return;
		}
		p = page_find(hub, page_begin(hub, w->cursor, pages_of(w)), pages_of(w));
		if (!p || p->is_loading) {
			if (w->partial && evbuffer_get_length(w->partial->buf) > PARTIAL_HELD_MAX)
				answer_partial(w, true);
			else
				page_wait(w);
			return;
		}
		page_touch(hub, p);
		figure_add(hub->figures, FIGURE_PAGE_HITS, 1);
		if (!page_use(w, p))
			return;
	}
}

void wait_start(struct waiter *w)
{
	w->work = 0;
	w->start = (struct start){.plain = w->cursor};
	if (!w->group->is_paced || !w->pace) {
		w->held = WAIT_HOLDS_NOTHING;
	} else if (pace_is_open(w->pace, clock_ms())) {
		w->start.is_open = true;
		w->start.budget = pace_budget(w->pace, w->group->per_s, clock_ms());
		w->cursor = wait_shown(w, w->cursor);
	}
	w->start.held = w->held;
	w->start.cursor = w->cursor;
	wait_go_on(w);
}

void wait_page_came(struct hub *hub, struct reader_mail *m)
{
	struct page *p = page_find(hub, m->after, m->job);
	struct waiter_list waiters = TAILQ_HEAD_INITIALIZER(waiters);
	struct waiter *w;

	if (!p || !p->is_loading)
		return;
	if (!m->is_done) {
		/* Whoever waits for it is answered at its deadline if the database stays away. */
		if (TAILQ_EMPTY(&p->waiters))
			page_free(hub, p);
		else
			page_ask_again(hub, p);
		return;
	}
	if (p->is_stale) {
		p->is_stale = false;
		page_ask_again(hub, p);
		return;
	}
	page_fill(hub, p, m);
	wait_floors_raised(hub, &m->floors);
	while ((w = TAILQ_FIRST(&p->waiters)))
		waiter_move(w, WAITER_NEW, &waiters);
	page_keep(hub, p);
	while ((w = TAILQ_FIRST(&waiters))) {
		waiter_move(w, WAITER_NEW, NULL);
		/* It may want other pages by now. */
		if (pages_of(w) != p->key.what || page_use(w, p))
			wait_go_on(w);
	}
	if (p->is_kept)
		pages_trim(hub);
	else
		page_free(hub, p);
}

/* ---- from outside ---- */

void wait_take_all(struct waiter_list *from, struct waiter_list *to)
{
	struct waiter *w;

	while ((w = TAILQ_FIRST(from)))
		waiter_move(w, w->state, to);
}

/* Where this poller was away for so long that pruning has not waited for it, even who has all up to
 * the tail has missed something. */
static void take_left_behind(struct hub *hub, struct waiter_list *waiting)
{
	for (struct group *g = hub->groups; g; g = g->hh.next)
		if (wait_has_expired(hub, g, hub->tail))
			wait_take_all(&g->parked, waiting);
}

bool wait_has_expired(const struct hub *hub, const struct group *g, uint64_t cursor)
{
	return cursor < floors_min(&hub->floors, g->classes);
}

/* Rows up to a floor may be gone: who wants what they were and has not got past it cannot be given
 * all, and is told. A page that has been read has them still. */
void wait_floors_raised(struct hub *hub, const struct floors *floors)
{
	struct waiter_list waiting = TAILQ_HEAD_INITIALIZER(waiting);
	struct page *p, *next;
	struct waiter *w;

	if (!floors_raise(&hub->floors, floors))
		return;
	floors_publish(hub->shm, &hub->floors);
	HASH_ITER (hh, hub->pages, p, next) {
		wait_take_all(&p->waiters, &waiting);
		if (!p->is_loading && p->upto <= hub->floors.of[RETENTION_LASTING])
			page_free(hub, p);
	}
	take_left_behind(hub, &waiting);
	while ((w = TAILQ_FIRST(&waiting))) {
		if (w->state == WAITER_PARKED)
			w->cursor = hub->tail;
		waiter_move(w, WAITER_NEW, NULL);
		if (wait_has_expired(hub, w->group, w->cursor))
			wait_reset(w, "expired", FIGURE_RESETS_EXPIRED);
		else
			page_wait(w);
	}
}

void wait_came_late(struct hub *hub, const struct record *r)
{
	struct waiter_list waiting = TAILQ_HEAD_INITIALIZER(waiting);
	uint64_t id = r->item.id;
	struct page *p, *next;
	struct waiter *w;

	HASH_ITER (hh, hub->pages, p, next) {
		wait_take_all(&p->waiters, &waiting);
		if (id <= p->key.after || id > p->upto)
			continue;
		if (p->is_loading)
			p->is_stale = true;
		else
			page_free(hub, p);
	}
	while ((w = TAILQ_FIRST(&waiting))) {
		waiter_move(w, WAITER_NEW, NULL);
		if (!w->kind->is_told_late && w->cursor >= id && group_wants(w->group, r))
			wait_reset(w, "expired", FIGURE_RESETS_EXPIRED);
		else
			page_wait(w);
	}
}

void wait_tail_moved(struct hub *hub)
{
	struct waiter_list ahead = TAILQ_HEAD_INITIALIZER(ahead);
	struct waiter *w;

	wait_take_all(&hub->ahead, &ahead);
	while ((w = TAILQ_FIRST(&ahead))) {
		if (w->cursor > hub->tail) {
			wait_ahead(w);
			continue;
		}
		wait_recall(w);
		wait_arm(w);
		wait_start(w);
	}
}

struct waiter *wait_find(const struct conn *c, uint64_t ticket)
{
	struct waiter *w;

	HASH_FIND(hh, c->waiters, &ticket, sizeof(ticket), w);
	return w;
}

struct waiter *wait_new(struct conn *c, uint64_t ticket, struct group *g,
	const struct waiter_kind *kind, void *owner)
{
	struct hub *hub = c->hub;
	struct waiter *w;

	if (wait_find(c, ticket))
		return NULL;
	w = xcalloc(1, sizeof(*w));
	w->kind = kind;
	w->owner = owner;
	w->ticket = ticket;
	w->conn = c;
	w->group = g;
	w->held = WAIT_HOLDS_NOTHING;
	HASH_ADD(hh, c->waiters, ticket, sizeof(w->ticket), w);
	g->waiters_n++;
	hub->waiters_n++;
	evtimer_assign(&w->timer, hub->base, on_timer, w);
	return w;
}
