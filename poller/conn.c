#define _GNU_SOURCE /* POLLRDHUP */
#include "conn.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "event.h"
#include "grave.h"
#include "hub.h"
#include "revoked.h"
#include "log.h"
#include "mem.h"
#include "ops.h"
#include "ring.h"
#include "shared.h"

/* A process reads what it is sent whatever else it does. One that leaves so much of it is asked for
 * nothing until it has: that bounds what it can have made here. */
#define CLOGGED_BYTES (32u * 1024 * 1024)
#define OUT_OF_TURN_MS 60000 /* a link that is down for longer has lost all that it held */

bool conn_is_clogged(const struct conn *c)
{
	return evbuffer_get_length(bufferevent_get_output(c->bev)) > CLOGGED_BYTES;
}

void conn_return(struct conn *c)
{
	for (size_t i = 0; i < c->given_n; i++)
		shared_return(c->given[i]);
	c->given_n = c->given_bytes = 0;
}

static void conn_free(void *arg)
{
	struct conn *c = arg;
	struct hub *hub = c->hub;

	hub->handler->gone(c);
	TAILQ_REMOVE(&hub->conns, c, entry);
	hub->conns_n--;
	if (c->is_welcome)
		log_info("disconnect", "process %u", c->pid);
	bufferevent_free(c->bev);
	conn_return(c);
	free(c->given);
	free(c->tickets);
	free(c);
	hub->handler->done(hub);
}

void conn_close(struct conn *c)
{
	if (c->is_closing)
		return;
	c->is_closing = true;
	bufferevent_disable(c->bev, EV_READ | EV_WRITE);
	bufferevent_setcb(c->bev, NULL, NULL, NULL, NULL);
	grave_add(&c->hub->grave, c, conn_free);
}

static void on_flushed(struct bufferevent *bev, void *arg)
{
	conn_close(arg);
}

static void conn_on_gone(struct bufferevent *bev, short what, void *arg)
{
	conn_close(arg);
}

/* Says why, and closes when that is written. */
static void refuse(struct conn *c, const char *why)
{
	log_warn("protocol_error", "process %u: %s", c->pid, why);
	figure_add(c->hub->figures, FIGURE_PROTOCOL_ERRORS, 1);
	wire_put_error(bufferevent_get_output(c->bev), why);
	bufferevent_disable(c->bev, EV_READ);
	bufferevent_setcb(c->bev, NULL, on_flushed, conn_on_gone, c);
	bufferevent_setwatermark(c->bev, EV_WRITE, 0, 0);
}

static void conn_welcome(struct conn *c)
{
	struct hub *hub = c->hub;

	c->is_welcome = true;
	wire_put_welcome(bufferevent_get_output(c->bev), (uint16_t)hub->cfg->poller.node_id,
		hub->tail, hub->epoch);
	bufferevent_enable(c->bev, EV_READ);
}

static const char *on_hello(struct conn *c, const struct wire_frame *f)
{
	if (f->hello.version != WIRE_VERSION)
		return "this poller speaks another version of the protocol: install cmdb-fcgi and "
		       "cmdb-poller of the same release";
	if (f->hello.role < WIRE_ROLE_FCGI || f->hello.role > WIRE_ROLE_CLI)
		return "HELLO with an unknown role";
	c->role = (enum wire_role)f->hello.role;
	c->pid = f->hello.pid;
	c->process = f->hello.process;
	log_info("connect", "process %u", c->pid);
	/* Who waits for events is let in once the tail is known; who asks for the status, now. */
	if (hub_is_open(c->hub) || c->role == WIRE_ROLE_CLI)
		conn_welcome(c);
	else
		bufferevent_disable(c->bev, EV_READ);
	return NULL;
}

static bool has_hung_up(const struct conn *c)
{
	struct pollfd p = {.fd = bufferevent_getfd(c->bev), .events = POLLRDHUP};

	return c->is_closing ||
	       (poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)));
}

bool conn_has_process(const struct hub *hub, uint64_t process)
{
	const struct conn *c;

	TAILQ_FOREACH (c, &hub->conns, entry)
		if (c->process == process && !has_hung_up(c))
			return true;
	return false;
}

/* ---- revocations ---- */

/* What an "_auth" event revokes, as a frame in out; nothing if it revokes nothing. */
static void put_revoked(struct evbuffer *out, const struct record *r)
{
	struct revoked it;

	if (revoked_parse(&it, r->json, r->json_len))
		wire_put_revoked(out, it.what, it.id, it.jti);
}

void conn_revoke(struct hub *hub, const struct record *r, bool is_out_of_turn)
{
	struct conn *c;

	if (is_out_of_turn)
		hub->out_of_turn_ms = clock_ms();
	TAILQ_FOREACH (c, &hub->conns, entry) {
		if (c->is_welcome && c->role != WIRE_ROLE_CLI)
			put_revoked(bufferevent_get_output(c->bev), r);
	}
}

void conn_recheck(struct conn *c, uint64_t since)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);
	const struct ring *ring = &c->hub->ring;
	int64_t ago_ms = clock_ms() - c->hub->out_of_turn_ms;

	if (since < ring->covered || (c->hub->out_of_turn_ms && ago_ms < OUT_OF_TURN_MS)) {
		wire_put_revoked(out, WIRE_REVOKE_ALL, 0, "");
		return;
	}
	for (size_t i = ring_after(ring, since); i < ring->n; i++) {
		const struct record *r = ring_at(ring, i);

		if (!strcmp(r->topic, EVENT_TOPIC_AUTH))
			put_revoked(out, r);
	}
}

/* ---- what an APPLY may name ---- */

static void take_loan(struct conn *c, struct shared *b)
{
	c->given = xreallocarray(c->given, c->given_n + 1, sizeof(struct shared *));
	c->given[c->given_n++] = b;
	c->given_bytes += b->len;
}

void conn_borrow(struct conn *c, struct shared *b)
{
	if (b && c->given_n < 2 * OPS_REQUESTED_MAX)
		take_loan(c, shared_lend(b));
}

const char *conn_take_body(struct conn *c, struct slice body)
{
	if (c->given_n == OPS_REQUESTED_MAX || body.len > WIRE_BODIES_MAX - c->given_bytes)
		return "more BODY than one APPLY may name";
	take_loan(c, shared_get(&c->hub->pool, body));
	return NULL;
}

/* ---- what it says ---- */

/* What is wrong with the frame, or NULL. */
static const char *conn_on_frame(struct conn *c, const struct wire_frame *f)
{
	if (f->type == WIRE_HELLO)
		return c->pid ? "HELLO a second time" : on_hello(c, f);
	if (!c->is_welcome)
		return "the first frame must be HELLO";
	return c->hub->handler->frame(c, f);
}

static void read_frames(struct conn *c)
{
	struct bufferevent *bev = c->bev;
	struct evbuffer *in = bufferevent_get_input(bev);
	struct wire_frame f;
	const char *why = NULL;

	/* A connection that is not let in yet (no EV_READ) keeps its frames for later. */
	while (!c->is_closing && (c->is_welcome || !c->pid) && !conn_is_clogged(c)) {
		enum wire_got got = wire_peek(in, WIRE_TO_POLLER_MAX, &f, &why);

		if (got == WIRE_GOT_NONE)
			break;
		if (got == WIRE_GOT_FRAME) {
			why = conn_on_frame(c, &f);
			wire_drop(in, &f);
		}
		if (why) {
			refuse(c, why);
			break;
		}
	}
	if (!c->is_closing && c->is_welcome && conn_is_clogged(c))
		bufferevent_disable(bev, EV_READ);
	c->hub->handler->done(c->hub);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	read_frames(arg);
}

/* There is room again for answers to what it has sent meanwhile. */
static void on_drained(struct bufferevent *bev, void *arg)
{
	struct conn *c = arg;

	if (!c->is_welcome || (bufferevent_get_enabled(bev) & EV_READ))
		return;
	bufferevent_enable(bev, EV_READ);
	read_frames(c);
}

void conn_let_in(struct hub *hub)
{
	struct conn *c;

	if (!hub_is_open(hub))
		return;
	TAILQ_FOREACH (c, &hub->conns, entry) {
		if (c->pid && !c->is_welcome && !c->is_closing) {
			conn_welcome(c);
			read_frames(c);
		}
	}
}

void conn_accept(struct hub *hub, evutil_socket_t fd)
{
	struct conn *c = xcalloc(1, sizeof(*c));

	c->hub = hub;
	c->bev = bufferevent_socket_new(hub->base, fd, BEV_OPT_CLOSE_ON_FREE);
	TAILQ_INSERT_TAIL(&hub->conns, c, entry);
	hub->conns_n++;
	bufferevent_setcb(c->bev, on_read, on_drained, conn_on_gone, c);
	bufferevent_setwatermark(c->bev, EV_WRITE, CLOGGED_BYTES / 2, 0);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

void conn_refreshed(struct hub *hub)
{
	struct conn *c;

	TAILQ_FOREACH (c, &hub->conns, entry) {
		if (!c->wants_refreshed)
			continue;
		c->wants_refreshed = false;
		wire_put_refreshed(bufferevent_get_output(c->bev), hub->tail, hub->floors.of);
	}
}
