#include "packets.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "shared.h"

#define EVENT "42[" /* Engine.IO message, Socket.IO EVENT of "/" */

static void piece_fini(struct piece *q)
{
	str_fini(&q->text);
	str_fini(&q->after);
	shared_put(q->body);
	free(q->topic);
}

void packets_fini(struct packets *p)
{
	for (size_t i = 0; i < p->n; i++)
		piece_fini(&p->v[i]);
	free(p->v);
	*p = (struct packets){.n = 0};
}

bool packets_is_empty(const struct packets *p)
{
	return p->n == 0;
}

static void weigh(struct packets *p, const struct piece *q, bool is_added)
{
	size_t *bodies = q->topic ? &p->rows : &p->lent, len = q->body ? q->body->len : 0;

	p->own += is_added ? q->text.len + q->after.len : -(q->text.len + q->after.len);
	*bodies += is_added ? len : -len;
}

static void add_piece(struct packets *p, struct piece *q)
{
	if (p->n == p->cap) {
		p->cap = p->cap ? p->cap * 2 : 4;
		p->v = xreallocarray(p->v, p->cap, sizeof(*p->v));
	}
	p->v[p->n++] = *q;
	weigh(p, q, true);
}

void packets_add(struct packets *p, struct slice packets)
{
	struct piece fresh = {.body = NULL}, *last = p->n ? &p->v[p->n - 1] : NULL;

	if (packets.len == 0)
		return;
	if (!last || last->body) {
		str_add(&fresh.text, packets.p, packets.len);
		add_piece(p, &fresh);
		return;
	}
	str_addc(&last->text, PACKETS_SEPARATOR);
	str_add(&last->text, packets.p, packets.len);
	p->own += 1 + packets.len;
}

void packets_add_shared(struct packets *p, struct shared *body, struct slice text,
	struct slice after, struct slice topic)
{
	struct piece q = {.body = shared_ref(body), .topic = topic.len ? slice_dup(topic) : NULL};

	str_add(&q.text, text.p, text.len);
	str_add(&q.after, after.p, after.len);
	add_piece(p, &q);
}

bool packets_drop_rows(struct packets *p, struct slice topic)
{
	bool was_there = false;
	size_t kept = 0;

	for (size_t i = 0; i < p->n; i++) {
		struct piece *q = &p->v[i];

		if (q->topic && slice_is(topic, q->topic)) {
			weigh(p, q, false);
			piece_fini(q);
			was_there = true;
		} else {
			p->v[kept++] = *q;
		}
	}
	p->n = kept;
	return was_there;
}

/* How long the first *n packets of text are; of *n remains what there are fewer. */
static size_t front(const struct str *text, uint32_t *n)
{
	const char *p = text->p, *end = p + text->len, *stop = p;

	while (*n > 0 && stop) {
		(*n)--;
		stop = memchr(p, PACKETS_SEPARATOR, (size_t)(end - p));
		p = stop ? stop + 1 : end;
	}
	return (size_t)((stop ? stop : end) - text->p);
}

static void take_piece(const struct piece *q, uint32_t *n)
{
	if (q->body)
		(*n)--;
	else
		front(&q->text, n);
}

uint32_t packets_count(const struct packets *p)
{
	uint32_t left = PACKETS_ALL;

	for (size_t i = 0; i < p->n; i++)
		take_piece(&p->v[i], &left);
	return PACKETS_ALL - left;
}

/* The first n packets of a piece of text that has more. */
static void move_front(struct packets *to, struct packets *from, struct piece *q, uint32_t n)
{
	size_t len = front(&q->text, &n);

	packets_add(to, (struct slice){q->text.p, len});
	len++;
	q->text.len -= len;
	memmove(q->text.p, q->text.p + len, q->text.len + 1);
	from->own -= len;
}

static void drop_moved(struct packets *p, size_t n)
{
	p->n -= n;
	if (p->n) {
		memmove(p->v, p->v + n, p->n * sizeof(*p->v));
		return;
	}
	free(p->v);
	*p = (struct packets){.n = 0};
}

void packets_move(struct packets *to, struct packets *from, uint32_t most)
{
	size_t moved = 0;

	for (; moved < from->n && most > 0; moved++) {
		struct piece *q = &from->v[moved];
		uint32_t n = most;

		if (most != PACKETS_ALL && !q->body && front(&q->text, &most) < q->text.len) {
			move_front(to, from, q, n);
			break;
		}
		if (most != PACKETS_ALL && q->body)
			most--;
		weigh(from, q, false);
		add_piece(to, q);
	}
	drop_moved(from, moved);
}

static bool is_event(const char *p, size_t len)
{
	return len >= strlen(EVENT) && memcmp(p, EVENT, strlen(EVENT)) == 0;
}

static void add_events(struct packets *to, const struct str *text)
{
	const char *p = str_c(text), *end = p + text->len, *next;

	for (; p < end; p = next + 1) {
		next = memchr(p, PACKETS_SEPARATOR, (size_t)(end - p));
		if (!next)
			next = end;
		if (is_event(p, (size_t)(next - p)))
			packets_add(to, (struct slice){p, (size_t)(next - p)});
	}
}

void packets_move_events(struct packets *to, struct packets *from)
{
	for (size_t i = 0; i < from->n; i++) {
		struct piece *q = &from->v[i];

		if (q->body && is_event(str_c(&q->text), q->text.len)) {
			add_piece(to, q);
			*q = (struct piece){.body = NULL};
		} else if (!q->body) {
			add_events(to, &q->text);
		}
	}
	packets_fini(from);
}

static void let_go(const void *bytes, size_t len, void *body)
{
	shared_return(body);
}

void packets_render(const struct packets *p, struct evbuffer *out)
{
	static const char separator = PACKETS_SEPARATOR;

	for (size_t i = 0; i < p->n; i++) {
		const struct piece *q = &p->v[i];

		if (evbuffer_get_length(out))
			evbuffer_add(out, &separator, 1);
		evbuffer_add(out, str_c(&q->text), q->text.len);
		if (!q->body)
			continue;
		evbuffer_add_reference(
			out, q->body->bytes, q->body->len, let_go, shared_lend(q->body));
		evbuffer_add(out, str_c(&q->after), q->after.len);
	}
}
