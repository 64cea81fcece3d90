#include "frames.h"

#include "answer.h"
#include "ask.h"
#include "casting.h"
#include "conn.h"
#include "errand.h"
#include "hub.h"
#include "reader.h"
#include "session.h"
#include "session_again.h"
#include "session_apply.h"
#include "session_poll.h"
#include "session_store.h"
#include "tail.h"
#include "wait.h"
#include "wait_events.h"

static void on_cancel(struct conn *c, uint64_t ticket)
{
	struct waiter *w = wait_find(c, ticket);

	doubts_drop(c, ticket);
	errands_cancel(c->hub->errands, c, ticket);
	if (!w)
		return;
	figure_add(c->hub->figures, FIGURE_CANCELLED, 1);
	if (w->kind->hung_up)
		w->kind->hung_up(w);
	else
		wait_end(w);
}

static void on_release(struct conn *c, uint64_t ticket)
{
	struct waiter *w = wait_find(c, ticket);

	if (w && w->kind->released)
		w->kind->released(w);
}

static void on_open(struct conn *c, const struct wire_frame *f)
{
	const char *why = "";
	enum wire_done what = session_open(c->hub->sessions, f, &why);

	wire_put_done(bufferevent_get_output(c->bev), f->open.ticket, what,
		what == WIRE_DONE_LIMIT ? why : "");
}

/* What web clients' requests are made of. */
static bool is_of_clients(enum wire_type type)
{
	return type == WIRE_WAIT || (type >= WIRE_OPEN && type <= WIRE_BODY);
}

/* What is wrong with the frame, or NULL. */
static const char *frames_on_frame(struct conn *c, const struct wire_frame *f)
{
	const char *why = NULL;

	if (c->role == WIRE_ROLE_CLI && is_of_clients(f->type))
		return "a frame that is not for this role";
	switch (f->type) {
	case WIRE_WAIT:
		return wait_events_begin(c, f, &why) ? NULL : why;
	case WIRE_OPEN:
		on_open(c, f);
		return NULL;
	case WIRE_POLL:
		return session_poll(c, f, false) ? NULL : "POLL with a ticket that waits already";
	case WIRE_RELEASE:
		on_release(c, f->release.ticket);
		return NULL;
	case WIRE_LOOKUP:
		session_lookup(c, f, false);
		return NULL;
	case WIRE_APPLY:
		session_apply(c, f, false);
		return NULL;
	case WIRE_BODY:
		return conn_take_body(c, f->body);
	case WIRE_CANCEL:
		on_cancel(c, f->cancel.ticket);
		return NULL;
	case WIRE_DOORBELL:
		if (c->hub->cfg->poller.doorbell)
			tail_wake(c->hub->tail_thread, SOURCE_DOORBELL);
		return NULL;
	case WIRE_RECHECK:
		conn_recheck(c, f->recheck.since);
		return NULL;
	case WIRE_REFRESH:
		c->wants_refreshed = true;
		reader_ask(c->hub->reader, READER_FLOORS, 0, 0);
		return NULL;
	case WIRE_ASK:
		ask_begin(c, f);
		return NULL;
	case WIRE_CAST:
		cast_begin(c, f);
		return NULL;
	default:
		return "a frame that only the poller sends";
	}
}

static void frames_on_gone(struct conn *c)
{
	wait_conn_gone(c);
	answer_forget(c);
	doubts_conn_gone(c);
	errands_conn_gone(c->hub->errands, c);
}

static void on_done(struct hub *hub)
{
	store_flush(hub->sessions);
}

const struct conn_handler frames_handler = {
	.frame = frames_on_frame, .gone = frames_on_gone, .done = on_done};
