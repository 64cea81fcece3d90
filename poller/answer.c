#include "answer.h"

#include "body.h"
#include "conn.h"
#include "hub.h"
#include "log.h"
#include "mem.h"

/* A cmdb-fcgi process that does not read what it is sent is cut off: it comes back with its
 * cursors, and nothing is lost. */
#define BACKLOG_MAX (128u * 1024 * 1024)

void answer_add(struct conn *c, uint64_t ticket, struct body *b)
{
	struct hub *hub = c->hub;

	if (hub->answer != b) {
		answer_send(hub);
		hub->answer = body_ref(b);
	}
	if (c->tickets_n == 0)
		TAILQ_INSERT_TAIL(&hub->touched, c, touched);
	if (c->tickets_n == c->tickets_cap) {
		c->tickets_cap = c->tickets_cap ? c->tickets_cap * 2 : 16;
		c->tickets = xreallocarray(c->tickets, c->tickets_cap, sizeof(*c->tickets));
	}
	c->tickets[c->tickets_n++] = ticket;
}

static void send_to(struct conn *c, const struct body *b)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);

	if (c->is_closing)
		return;
	wire_put_deliver(out, b->format, b->cursor, c->tickets, (uint32_t)c->tickets_n, b->buf);
	if (evbuffer_get_length(out) <= BACKLOG_MAX)
		return;
	log_warn("conn_slow", "process %u does not read its answers; dropping the connection",
		c->pid);
	figure_add(c->hub->figures, FIGURE_CONNECTIONS_DROPPED, 1);
	conn_close(c);
}

void answer_send(struct hub *hub)
{
	struct body *b = hub->answer;
	struct conn *c;

	while ((c = TAILQ_FIRST(&hub->touched))) {
		TAILQ_REMOVE(&hub->touched, c, touched);
		figure_add(hub->figures, FIGURE_ANSWERS, c->tickets_n);
		figure_add(hub->figures, FIGURE_EVENTS_DELIVERED, (uint64_t)b->n * c->tickets_n);
		send_to(c, b);
		c->tickets_n = 0;
	}
	hub->answer = NULL;
	body_put(b);
}

void answer_forget(struct conn *c)
{
	if (c->tickets_n)
		TAILQ_REMOVE(&c->hub->touched, c, touched);
	c->tickets_n = 0;
}
