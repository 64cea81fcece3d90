#include "wire.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

/* A reader over the bytes of one frame: past its end everything reads as zero and is_bad is set, so
 * a decoder reads all its fields and asks once. */
struct cursor {
	const unsigned char *p, *end;
	bool is_bad;
};

static const unsigned char *take(struct cursor *c, size_t n)
{
	static const unsigned char zeros[8];

	if ((size_t)(c->end - c->p) < n) {
		c->is_bad = true;
		c->p = c->end;
		return zeros;
	}
	c->p += n;
	return c->p - n;
}

static uint64_t get_uint(struct cursor *c, size_t size)
{
	const unsigned char *p = take(c, size);
	uint64_t v = 0;

	for (size_t i = 0; i < size; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static uint8_t get_u8(struct cursor *c)
{
	return (uint8_t)get_uint(c, 1);
}

static uint16_t get_u16(struct cursor *c)
{
	return (uint16_t)get_uint(c, 2);
}

static uint32_t get_u32(struct cursor *c)
{
	return (uint32_t)get_uint(c, 4);
}

static uint64_t get_u64(struct cursor *c)
{
	return get_uint(c, 8);
}

static struct wire_text get_bytes(struct cursor *c, size_t len)
{
	struct wire_text t = {.len = len};

	if ((size_t)(c->end - c->p) < len) {
		c->is_bad = true;
		return (struct wire_text){.p = ""};
	}
	t.p = (const char *)take(c, len);
	return t;
}

static struct wire_text get_text(struct cursor *c)
{
	return get_bytes(c, get_u16(c));
}

static struct wire_text get_blob(struct cursor *c)
{
	return get_bytes(c, get_u32(c));
}

static bool decode(struct cursor *c, struct wire_frame *f, uint8_t type)
{
	f->type = (enum wire_type)type;
	switch (f->type) {
	case WIRE_HELLO:
		f->hello.version = get_u16(c);
		f->hello.role = get_u8(c);
		f->hello.pid = get_u32(c);
		return true;
	case WIRE_WAIT:
		f->wait.ticket = get_u64(c);
		f->wait.since = get_u64(c);
		f->wait.timeout_ms = get_u32(c);
		f->wait.epoch = get_text(c);
		f->wait.interest = get_blob(c);
		return true;
	case WIRE_CANCEL:
		f->cancel.ticket = get_u64(c);
		return true;
	case WIRE_RECHECK:
		f->recheck.since = get_u64(c);
		return true;
	case WIRE_DOORBELL:
	case WIRE_REFRESH:
	case WIRE_STATUS:
		return true;
	case WIRE_WELCOME:
		f->welcome.version = get_u16(c);
		f->welcome.node_id = get_u16(c);
		f->welcome.tail = get_u64(c);
		f->welcome.epoch = get_text(c);
		return true;
	case WIRE_DELIVER:
		f->deliver.format = get_u8(c);
		f->deliver.cursor = get_u64(c);
		f->deliver.tickets_n = get_u32(c);
		f->deliver.tickets = take(c, 0);
		get_bytes(c, (size_t)f->deliver.tickets_n * 8);
		f->deliver.body = get_blob(c);
		return true;
	case WIRE_REVOKED:
		f->revoked.what = get_u8(c);
		f->revoked.user_id = get_u64(c);
		f->revoked.jti = get_text(c);
		return true;
	case WIRE_REFRESHED:
		f->refreshed.floor = get_u64(c);
		f->refreshed.tail = get_u64(c);
		return true;
	case WIRE_STATUS_IS:
		f->status_is = get_blob(c);
		return true;
	case WIRE_ERROR:
		f->error = get_text(c);
		return true;
	}
	return false;
}

enum wire_got wire_peek(struct evbuffer *in, size_t max, struct wire_frame *f, const char **why)
{
	unsigned char head[5];
	struct cursor c = {.p = head, .end = head + 4};
	unsigned char *bytes;
	size_t len;

	if (evbuffer_copyout(in, head, sizeof(head)) < (ev_ssize_t)sizeof(head))
		return WIRE_GOT_NONE;
	len = get_u32(&c);
	if (len < 1 || len > max) {
		*why = "frame length out of bounds";
		return WIRE_GOT_BAD;
	}
	if (evbuffer_get_length(in) < 4 + len)
		return WIRE_GOT_NONE;
	bytes = evbuffer_pullup(in, (ev_ssize_t)(4 + len));
	if (!bytes) {
		*why = "out of memory";
		return WIRE_GOT_BAD;
	}
	memset(f, 0, sizeof(*f));
	f->size = 4 + len;
	c = (struct cursor){.p = bytes + 5, .end = bytes + 4 + len};
	if (!decode(&c, f, bytes[4])) {
		*why = "unknown frame type";
		return WIRE_GOT_BAD;
	}
	if (c.is_bad || c.p != c.end) {
		*why = "frame does not fit its type";
		return WIRE_GOT_BAD;
	}
	return WIRE_GOT_FRAME;
}

void wire_drop(struct evbuffer *in, const struct wire_frame *f)
{
	evbuffer_drain(in, f->size);
}

uint64_t wire_ticket(const struct wire_frame *f, uint32_t i)
{
	struct cursor c = {.p = f->deliver.tickets + (size_t)i * 8};

	c.end = c.p + 8;
	return get_u64(&c);
}

/* ---- encoding: fields are collected, then added with their length in front ---- */

struct frame {
	unsigned char head[64];
	size_t len;
};

static void put_uint(struct frame *f, uint64_t v, size_t size)
{
	for (size_t i = 0; i < size; i++)
		f->head[f->len++] = (unsigned char)(v >> (8 * i));
}

static struct frame frame_begin(enum wire_type type)
{
	struct frame f = {.len = 4};

	put_uint(&f, type, 1);
	return f;
}

/* Sends the fields so far; `more` bytes will follow that the caller adds. */
static void frame_send(struct frame *f, struct evbuffer *out, size_t more)
{
	uint32_t len = htole32((uint32_t)(f->len - 4 + more));

	memcpy(f->head, &len, 4);
	evbuffer_add(out, f->head, f->len);
}

void wire_put_hello(struct evbuffer *out, enum wire_role role, uint32_t pid)
{
	struct frame f = frame_begin(WIRE_HELLO);

	put_uint(&f, WIRE_VERSION, 2);
	put_uint(&f, role, 1);
	put_uint(&f, pid, 4);
	frame_send(&f, out, 0);
}

void wire_put_wait(struct evbuffer *out, uint64_t ticket, uint64_t since, uint32_t timeout_ms,
	const char *epoch, const void *interest, size_t interest_len)
{
	struct frame f = frame_begin(WIRE_WAIT);
	size_t epoch_len = strnlen(epoch, 64);
	struct frame tail = {.len = 0};

	put_uint(&f, ticket, 8);
	put_uint(&f, since, 8);
	put_uint(&f, timeout_ms, 4);
	put_uint(&f, epoch_len, 2);
	put_uint(&tail, interest_len, 4);
	frame_send(&f, out, epoch_len + tail.len + interest_len);
	evbuffer_add(out, epoch, epoch_len);
	evbuffer_add(out, tail.head, tail.len);
	evbuffer_add(out, interest, interest_len);
}

void wire_put_cancel(struct evbuffer *out, uint64_t ticket)
{
	struct frame f = frame_begin(WIRE_CANCEL);

	put_uint(&f, ticket, 8);
	frame_send(&f, out, 0);
}

void wire_put_recheck(struct evbuffer *out, uint64_t since)
{
	struct frame f = frame_begin(WIRE_RECHECK);

	put_uint(&f, since, 8);
	frame_send(&f, out, 0);
}

void wire_put_bare(struct evbuffer *out, enum wire_type type)
{
	struct frame f = frame_begin(type);

	frame_send(&f, out, 0);
}

void wire_put_welcome(struct evbuffer *out, uint16_t node_id, uint64_t tail, const char *epoch)
{
	struct frame f = frame_begin(WIRE_WELCOME);
	size_t epoch_len = strnlen(epoch, 64);

	put_uint(&f, WIRE_VERSION, 2);
	put_uint(&f, node_id, 2);
	put_uint(&f, tail, 8);
	put_uint(&f, epoch_len, 2);
	frame_send(&f, out, epoch_len);
	evbuffer_add(out, epoch, epoch_len);
}

void wire_put_deliver(struct evbuffer *out, enum wire_format format, uint64_t cursor,
	const uint64_t *tickets, uint32_t n, struct evbuffer *body)
{
	struct frame f = frame_begin(WIRE_DELIVER);
	size_t body_len = evbuffer_get_length(body);
	struct frame tail = {.len = 0};

	put_uint(&f, format, 1);
	put_uint(&f, cursor, 8);
	put_uint(&f, n, 4);
	put_uint(&tail, body_len, 4);
	frame_send(&f, out, (size_t)n * 8 + tail.len + body_len);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t t = htole64(tickets[i]);

		evbuffer_add(out, &t, sizeof(t));
	}
	evbuffer_add(out, tail.head, tail.len);
	evbuffer_add_buffer_reference(out, body);
}

void wire_put_revoked(
	struct evbuffer *out, enum wire_revoke what, uint64_t user_id, const char *jti)
{
	struct frame f = frame_begin(WIRE_REVOKED);
	size_t len = strnlen(jti, 64);

	put_uint(&f, what, 1);
	put_uint(&f, user_id, 8);
	put_uint(&f, len, 2);
	frame_send(&f, out, len);
	evbuffer_add(out, jti, len);
}

void wire_put_refreshed(struct evbuffer *out, uint64_t floor, uint64_t tail)
{
	struct frame f = frame_begin(WIRE_REFRESHED);

	put_uint(&f, floor, 8);
	put_uint(&f, tail, 8);
	frame_send(&f, out, 0);
}

void wire_put_status_is(struct evbuffer *out, const char *json, size_t len)
{
	struct frame f = frame_begin(WIRE_STATUS_IS);

	put_uint(&f, len, 4);
	frame_send(&f, out, len);
	evbuffer_add(out, json, len);
}

void wire_put_error(struct evbuffer *out, const char *text)
{
	struct frame f = frame_begin(WIRE_ERROR);
	size_t len = strnlen(text, 1024);

	put_uint(&f, len, 2);
	frame_send(&f, out, len);
	evbuffer_add(out, text, len);
}

/* ---- the interest blob ---- */

enum {
	ALL_TOPICS = 1,
	ALL_ROOMS = 2,
	ONLY_ROOMS = 4,
	ROOMS_ANY_TOPIC = 8,
};

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_normalize(struct strlist *l)
{
	size_t kept = 0;

	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), compare);
	for (size_t i = 0; i < l->n; i++) {
		if (kept && !strcmp(l->v[kept - 1], l->v[i]))
			free(l->v[i]);
		else
			l->v[kept++] = l->v[i];
	}
	l->n = kept;
}

static void add_uint(struct str *s, uint64_t v, size_t size)
{
	for (size_t i = 0; i < size; i++)
		str_addc(s, (char)(v >> (8 * i)));
}

static void add_list(struct str *s, struct strlist *l)
{
	list_normalize(l);
	add_uint(s, l->n, 2);
	for (size_t i = 0; i < l->n; i++) {
		size_t len = strlen(l->v[i]);

		add_uint(s, len, 2);
		str_add(s, l->v[i], len);
	}
}

void wire_interest_put(struct str *out, struct wire_interest *i)
{
	add_uint(out, i->tenant_id, 4);
	add_uint(out, i->format, 1);
	add_uint(out, i->limit, 2);
	add_uint(out,
		(i->all_topics ? ALL_TOPICS : 0) | (i->all_rooms ? ALL_ROOMS : 0) |
			(i->only_rooms ? ONLY_ROOMS : 0) |
			(i->rooms_any_topic ? ROOMS_ANY_TOPIC : 0),
		1);
	add_list(out, &i->topics);
	add_list(out, &i->rooms);
}

static void get_list(struct cursor *c, struct strlist *l)
{
	size_t n = get_u16(c);

	for (size_t i = 0; i < n && !c->is_bad; i++) {
		struct wire_text t = get_text(c);

		if (!c->is_bad)
			strlist_add(l, t.p, t.len);
	}
}

bool wire_interest_get(const void *p, size_t len, struct wire_interest *i)
{
	struct cursor c = {.p = p, .end = (const unsigned char *)p + len};
	uint8_t flags;

	memset(i, 0, sizeof(*i));
	i->tenant_id = get_u32(&c);
	i->format = get_u8(&c);
	i->limit = get_u16(&c);
	flags = get_u8(&c);
	i->all_topics = flags & ALL_TOPICS;
	i->all_rooms = flags & ALL_ROOMS;
	i->only_rooms = flags & ONLY_ROOMS;
	i->rooms_any_topic = flags & ROOMS_ANY_TOPIC;
	get_list(&c, &i->topics);
	get_list(&c, &i->rooms);
	if (!c.is_bad && c.p == c.end && i->limit > 0 &&
		(i->format == WIRE_JSON || i->format == WIRE_SSE))
		return true;
	wire_interest_fini(i);
	return false;
}

void wire_interest_fini(struct wire_interest *i)
{
	strlist_fini(&i->topics);
	strlist_fini(&i->rooms);
}
