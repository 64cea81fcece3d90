#include "wait_events.h"

#include <stdlib.h>

#include "clients.h"
#include "clock.h"
#include "conn.h"
#include "group.h"
#include "hub.h"
#include "late.h"
#include "tail.h"
#include "wait.h"

#define TIMEOUT_MAX_MS 120000

/* ---- how many one may hold ---- */

/* Of those that look through texts one has fewer. */
static bool count_costly(struct waiter *w, int64_t max)
{
	if (!w->group->is_costly)
		return true;
	w->is_costly = tally_add(&w->conn->hub->clients, 'F', w->who, max);
	return w->is_costly;
}

/* What is answered at once, and what was counted before, has no limit. NULL: counted; else which
 * limit was in the way. */
static const char *count_in(struct waiter *w, const struct wire_frame *f)
{
	struct hub *hub = w->conn->hub;
	bool is_free = f->wait.again || f->wait.timeout_ms == 0;
	int64_t of_user = is_free ? 0 : hub->cfg->events.max_per_user;
	int64_t of_address = is_free ? 0 : hub->cfg->events.max_per_address;
	const char *limit;
	enum figure figure;

	w->who = slice_dup(f->wait.who);
	w->address = slice_dup(f->wait.address);
	if (!tally_add(&hub->clients, 'h', w->who, of_user)) {
		limit = "user";
		figure = FIGURE_WAITS_REFUSED_USER;
	} else if (!tally_add(&hub->clients, 'H', w->address, of_address)) {
		tally_drop(&hub->clients, 'h', w->who);
		limit = "address";
		figure = FIGURE_WAITS_REFUSED_ADDRESS;
	} else if (!is_free && !clients_make_room(&hub->clients, hub->cfg->poller.max_clients)) {
		tally_drop(&hub->clients, 'h', w->who);
		tally_drop(&hub->clients, 'H', w->address);
		limit = "host";
		figure = FIGURE_WAITS_REFUSED_HOST;
	} else if (!count_costly(w, is_free ? 0 : hub->cfg->logs.max_keyword_views)) {
		tally_drop(&hub->clients, 'h', w->who);
		tally_drop(&hub->clients, 'H', w->address);
		limit = "user";
		figure = FIGURE_SUBSCRIPTIONS_REFUSED;
	} else {
		hub->clients.held_n++;
		return NULL;
	}
	figure_add(hub->figures, figure, 1);
	free(w->who);
	free(w->address);
	w->who = w->address = NULL;
	return limit;
}

static void count_out(struct waiter *w)
{
	struct hub *hub = w->conn->hub;

	if (!w->who)
		return;
	tally_drop(&hub->clients, 'h', w->who);
	tally_drop(&hub->clients, 'H', w->address);
	if (w->is_costly)
		tally_drop(&hub->clients, 'F', w->who);
	hub->clients.held_n--;
	free(w->who);
	free(w->address);
	w->who = w->address = NULL;
}

static const struct waiter_kind wait_events_kind = {.has_timeout = true, .ended = count_out};

bool wait_events_begin(struct conn *c, const struct wire_frame *f, const char **why)
{
	struct hub *hub = c->hub;
	struct group *g = group_get(hub, f->wait.interest.p, f->wait.interest.len);
	struct waiter *w = g ? wait_new(c, f->wait.ticket, g, &wait_events_kind, NULL) : NULL;
	const char *limit;

	if (!w) {
		*why = g ? "WAIT with a ticket that waits already"
			 : "WAIT with a malformed interest";
		return false;
	}
	limit = count_in(w, f);
	if (limit) {
		wire_put_done(bufferevent_get_output(c->bev), w->ticket, WIRE_DONE_LIMIT, limit);
		wait_end(w);
		return true;
	}
	w->cursor = f->wait.since;
	w->deadline_ms = clock_ms() + (f->wait.timeout_ms < TIMEOUT_MAX_MS ? f->wait.timeout_ms
									   : TIMEOUT_MAX_MS);
	if (f->wait.epoch.len && !slice_is(f->wait.epoch, hub->epoch)) {
		wait_reset(w, "epoch", FIGURE_RESETS_EPOCH);
		return true;
	}
	if (wait_has_expired(hub, g, w->cursor) ||
		late_missed(hub->late, g, w->cursor, hub->tail)) {
		wait_reset(w, "expired", FIGURE_RESETS_EXPIRED);
		return true;
	}
	if (w->cursor > hub->tail) {
		wait_ahead(w);
		tail_wake(hub->tail_thread, SOURCE_DOORBELL);
		wait_arm(w);
		return true;
	}
	wait_arm(w);
	wait_go_on(w);
	return true;
}
