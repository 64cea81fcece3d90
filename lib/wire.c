#include "wire.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

static bool wire_decode(struct bytes *c, struct wire_frame *f, uint8_t type)
{
	f->type = (enum wire_type)type;
	switch (f->type) {
	case WIRE_HELLO:
		f->hello.version = bytes_u16(c);
		f->hello.role = bytes_u8(c);
		f->hello.pid = bytes_u32(c);
		/* Of another version it is enough to know that. */
		if (f->hello.version == WIRE_VERSION)
			f->hello.process = bytes_u64(c);
		else
			bytes_take(c, (size_t)(c->end - c->p));
		return true;
	case WIRE_WAIT:
		f->wait.ticket = bytes_u64(c);
		f->wait.since = bytes_u64(c);
		f->wait.timeout_ms = bytes_u32(c);
		f->wait.epoch = bytes_text(c);
		f->wait.interest = bytes_blob(c);
		f->wait.who = bytes_text(c);
		f->wait.address = bytes_text(c);
		f->wait.again = bytes_u8(c);
		return true;
	case WIRE_CANCEL:
		f->cancel.ticket = bytes_u64(c);
		return true;
	case WIRE_RECHECK:
		f->recheck.since = bytes_u64(c);
		return true;
	case WIRE_OPEN:
		f->open.ticket = bytes_u64(c);
		f->open.sid = bytes_text(c);
		f->open.address = bytes_text(c);
		f->open.packets = bytes_u16(c);
		f->open.caller = bytes_blob(c);
		f->open.about = bytes_blob(c);
		return true;
	case WIRE_POLL:
		f->poll.ticket = bytes_u64(c);
		f->poll.sid = bytes_text(c);
		f->poll.tag = bytes_u64(c);
		f->poll.user = bytes_u64(c);
		f->poll.flags = bytes_u8(c);
		return true;
	case WIRE_RELEASE:
		f->release.ticket = bytes_u64(c);
		return true;
	case WIRE_LOOKUP:
		f->lookup.ticket = bytes_u64(c);
		f->lookup.sid = bytes_text(c);
		f->lookup.tag = bytes_u64(c);
		f->lookup.user = bytes_u64(c);
		f->lookup.flags = bytes_u8(c);
		f->lookup.events = bytes_u16(c);
		f->lookup.pid = bytes_text(c);
		return true;
	case WIRE_APPLY:
		f->apply.ticket = bytes_u64(c);
		f->apply.sid = bytes_text(c);
		f->apply.tag = bytes_u64(c);
		f->apply.user = bytes_u64(c);
		f->apply.flags = bytes_u8(c);
		f->apply.ops = bytes_blob(c);
		return true;
	case WIRE_BODY:
		f->body = bytes_blob(c);
		return true;
	case WIRE_DOORBELL:
	case WIRE_REFRESH:
		return true;
	case WIRE_ASK:
		f->ask.ticket = bytes_u64(c);
		f->ask.question = bytes_text(c);
		f->ask.tenant_id = bytes_u32(c);
		f->ask.arguments = bytes_blob(c);
		return true;
	case WIRE_CAST:
		f->cast.ticket = bytes_u64(c);
		f->cast.tenant_id = bytes_u32(c);
		f->cast.room = bytes_text(c);
		f->cast.except = bytes_text(c);
		f->cast.args = bytes_blob(c);
		return true;
	case WIRE_WELCOME:
		f->welcome.version = bytes_u16(c);
		f->welcome.node_id = bytes_u16(c);
		f->welcome.tail = bytes_u64(c);
		f->welcome.epoch = bytes_text(c);
		return true;
	case WIRE_DELIVER:
		f->deliver.format = bytes_u8(c);
		f->deliver.cursor = bytes_u64(c);
		f->deliver.tickets_n = bytes_u32(c);
		f->deliver.tickets = bytes_take(c, (size_t)f->deliver.tickets_n * 8).p;
		f->deliver.body = bytes_blob(c);
		return true;
	case WIRE_REVOKED:
		f->revoked.what = bytes_u8(c);
		f->revoked.user_id = bytes_u64(c);
		f->revoked.jti = bytes_text(c);
		return true;
	case WIRE_SESSION:
		f->session.ticket = bytes_u64(c);
		f->session.state = bytes_blob(c);
		return true;
	case WIRE_DONE:
		f->done.ticket = bytes_u64(c);
		f->done.what = bytes_u8(c);
		f->done.why = bytes_text(c);
		return true;
	case WIRE_REFRESHED:
		f->refreshed.tail = bytes_u64(c);
		for (int r = 0; r < RETENTION_N; r++)
			f->refreshed.floor[r] = bytes_u64(c);
		return true;
	case WIRE_ANSWER:
		f->answer.ticket = bytes_u64(c);
		f->answer.what = bytes_u8(c);
		f->answer.json = bytes_blob(c);
		return true;
	case WIRE_ERROR:
		f->error = bytes_text(c);
		return true;
	}
	return false;
}

enum wire_got wire_peek(struct evbuffer *in, size_t max, struct wire_frame *f, const char **why)
{
	unsigned char head[5] = {0};
	struct bytes c = bytes_of(head, 4);
	unsigned char *frame;
	size_t len;

	if (evbuffer_copyout(in, head, sizeof(head)) < (ev_ssize_t)sizeof(head))
		return WIRE_GOT_NONE;
	len = bytes_u32(&c);
	if (len < 1 || len > max) {
		*why = "frame length out of bounds";
		return WIRE_GOT_BAD;
	}
	if (evbuffer_get_length(in) < 4 + len)
		return WIRE_GOT_NONE;
	frame = evbuffer_pullup(in, (ev_ssize_t)(4 + len));
	if (!frame) {
		*why = "out of memory";
		return WIRE_GOT_BAD;
	}
	memset(f, 0, sizeof(*f));
	f->size = 4 + len;
	c = bytes_of(frame + 5, len - 1);
	if (!wire_decode(&c, f, frame[4])) {
		*why = "unknown frame type";
		return WIRE_GOT_BAD;
	}
	if (!bytes_are_done(&c)) {
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
	struct bytes b = bytes_of(f->deliver.tickets + (size_t)i * 8, 8);

	return bytes_u64(&b);
}

/* ---- encoding: fields are collected, then sent with their length in front ---- */

/* Sends the fields, which it frees; `more` bytes of the frame follow that the caller adds. */
static void wire_send_head(
	struct evbuffer *out, enum wire_type type, struct str *fields, size_t more)
{
	uint32_t len = htole32((uint32_t)(1 + fields->len + more));
	unsigned char head[5];

	memcpy(head, &len, 4);
	head[4] = (unsigned char)type;
	evbuffer_add(out, head, sizeof(head));
	evbuffer_add(out, str_c(fields), fields->len);
	str_fini(fields);
}

static void send_fields(struct evbuffer *out, enum wire_type type, struct str *fields)
{
	wire_send_head(out, type, fields, 0);
}

void wire_put_hello(struct evbuffer *out, enum wire_role role, uint32_t pid, uint64_t process)
{
	struct str s = STR_INIT;

	bytes_put(&s, WIRE_VERSION, 2);
	bytes_put(&s, role, 1);
	bytes_put(&s, pid, 4);
	bytes_put(&s, process, 8);
	send_fields(out, WIRE_HELLO, &s);
}

void wire_put_wait(struct evbuffer *out, uint64_t ticket, uint64_t since, uint32_t timeout_ms,
	const char *epoch, const void *interest, size_t interest_len,
	const struct wire_holder *holder)
{
	struct str s = STR_INIT;

	bytes_put(&s, ticket, 8);
	bytes_put(&s, since, 8);
	bytes_put(&s, timeout_ms, 4);
	bytes_put_text(&s, epoch);
	bytes_put_blob(&s, interest, interest_len);
	bytes_put_text(&s, holder->who);
	bytes_put_text(&s, holder->address);
	bytes_put(&s, holder->again, 1);
	send_fields(out, WIRE_WAIT, &s);
}

void wire_put_cancel(struct evbuffer *out, uint64_t ticket)
{
	struct str s = STR_INIT;

	bytes_put(&s, ticket, 8);
	send_fields(out, WIRE_CANCEL, &s);
}

void wire_put_recheck(struct evbuffer *out, uint64_t since)
{
	struct str s = STR_INIT;

	bytes_put(&s, since, 8);
	send_fields(out, WIRE_RECHECK, &s);
}

void wire_put_open(struct evbuffer *out, uint64_t ticket, const char *sid, const char *address,
	uint16_t packets, const struct str *caller, const struct str *about)
{
	struct str s = STR_INIT;

	bytes_put(&s, ticket, 8);
	bytes_put_text(&s, sid);
	bytes_put_text(&s, address);
	bytes_put(&s, packets, 2);
	bytes_put_blob(&s, str_c(caller), caller->len);
	bytes_put_blob(&s, str_c(about), about->len);
	send_fields(out, WIRE_OPEN, &s);
}

void wire_put_poll(struct evbuffer *out, uint64_t ticket, const char *sid, uint64_t tag,
	uint64_t user, uint8_t flags)
{
	struct str s = STR_INIT;

	bytes_put(&s, ticket, 8);
	bytes_put_text(&s, sid);
	bytes_put(&s, tag, 8);
	bytes_put(&s, user, 8);
	bytes_put(&s, flags, 1);
	send_fields(out, WIRE_POLL, &s);
}

void wire_put_release(struct evbuffer *out, uint64_t ticket)
{
	struct str s = STR_INIT;

	bytes_put(&s, ticket, 8);
	send_fields(out, WIRE_RELEASE, &s);
}

void wire_put_lookup(struct evbuffer *out, uint64_t ticket, const char *sid, uint64_t tag,
	uint64_t user, uint8_t flags, uint16_t events, const char *pid)
{
	struct str s = STR_INIT;

	bytes_put(&s, ticket, 8);
	bytes_put_text(&s, sid);
	bytes_put(&s, tag, 8);
	bytes_put(&s, user, 8);
	bytes_put(&s, flags, 1);
	bytes_put(&s, events, 2);
	bytes_put_text(&s, pid);
	send_fields(out, WIRE_LOOKUP, &s);
}

void wire_put_apply(struct evbuffer *out, uint64_t ticket, const char *sid, uint64_t tag,
	uint64_t user, uint8_t flags, const struct str *ops)
{
	struct str s = STR_INIT;

	bytes_put(&s, ticket, 8);
	bytes_put_text(&s, sid);
	bytes_put(&s, tag, 8);
	bytes_put(&s, user, 8);
	bytes_put(&s, flags, 1);
	bytes_put_blob(&s, str_c(ops), ops->len);
	send_fields(out, WIRE_APPLY, &s);
}

void wire_put_body(struct evbuffer *out, const char *p, size_t len,
	void (*done)(const void *p, size_t len, void *arg), void *arg)
{
	struct str s = STR_INIT;

	bytes_put(&s, len, 4);
	wire_send_head(out, WIRE_BODY, &s, len);
	evbuffer_add_reference(out, p, len, done, arg);
}

void wire_put_bare(struct evbuffer *out, enum wire_type type)
{
	struct str s = STR_INIT;

	send_fields(out, type, &s);
}

void wire_put_ask(struct evbuffer *out, uint64_t ticket, const char *question, uint32_t tenant_id,
	const struct str *arguments)
{
	struct str s = STR_INIT;

	bytes_put(&s, ticket, 8);
	bytes_put_text(&s, question);
	bytes_put(&s, tenant_id, 4);
	bytes_put_blob(&s, str_c(arguments), arguments->len);
	send_fields(out, WIRE_ASK, &s);
}

void wire_put_cast(struct evbuffer *out, uint64_t ticket, uint32_t tenant_id, const char *room,
	const char *except, const struct str *args)
{
	struct str s = STR_INIT;

	bytes_put(&s, ticket, 8);
	bytes_put(&s, tenant_id, 4);
	bytes_put_text(&s, room);
	bytes_put_text(&s, except);
	bytes_put_blob(&s, str_c(args), args->len);
	send_fields(out, WIRE_CAST, &s);
}

void wire_put_welcome(struct evbuffer *out, uint16_t node_id, uint64_t tail, const char *epoch)
{
	struct str s = STR_INIT;

	bytes_put(&s, WIRE_VERSION, 2);
	bytes_put(&s, node_id, 2);
	bytes_put(&s, tail, 8);
	bytes_put_text(&s, epoch);
	send_fields(out, WIRE_WELCOME, &s);
}

void wire_put_deliver(struct evbuffer *out, enum wire_format format, uint64_t cursor,
	const uint64_t *tickets, uint32_t n, struct evbuffer *body)
{
	size_t body_len = evbuffer_get_length(body);
	struct str s = STR_INIT;

	str_reserve(&s, 32 + (size_t)n * 8);
	bytes_put(&s, format, 1);
	bytes_put(&s, cursor, 8);
	bytes_put(&s, n, 4);
	for (uint32_t i = 0; i < n; i++)
		bytes_put(&s, tickets[i], 8);
	bytes_put(&s, body_len, 4);
	wire_send_head(out, WIRE_DELIVER, &s, body_len);
	evbuffer_add_buffer_reference(out, body);
}

void wire_put_revoked(
	struct evbuffer *out, enum wire_revoke what, uint64_t user_id, const char *jti)
{
	struct str s = STR_INIT;

	bytes_put(&s, what, 1);
	bytes_put(&s, user_id, 8);
	bytes_put_text(&s, jti);
	send_fields(out, WIRE_REVOKED, &s);
}

void wire_put_session(struct evbuffer *out, uint64_t ticket, const struct str *state)
{
	struct str s = STR_INIT;

	bytes_put(&s, ticket, 8);
	bytes_put_blob(&s, str_c(state), state->len);
	send_fields(out, WIRE_SESSION, &s);
}

void wire_put_done(struct evbuffer *out, uint64_t ticket, enum wire_done what, const char *why)
{
	struct str s = STR_INIT;

	bytes_put(&s, ticket, 8);
	bytes_put(&s, what, 1);
	bytes_put_text(&s, why);
	send_fields(out, WIRE_DONE, &s);
}

void wire_put_refreshed(struct evbuffer *out, uint64_t tail, const uint64_t floor[RETENTION_N])
{
	struct str s = STR_INIT;

	bytes_put(&s, tail, 8);
	for (int r = 0; r < RETENTION_N; r++)
		bytes_put(&s, floor[r], 8);
	send_fields(out, WIRE_REFRESHED, &s);
}

void wire_put_answer(
	struct evbuffer *out, uint64_t ticket, enum wire_answer what, const struct str *json)
{
	struct str s = STR_INIT;

	bytes_put(&s, ticket, 8);
	bytes_put(&s, what, 1);
	bytes_put_blob(&s, str_c(json), json->len);
	send_fields(out, WIRE_ANSWER, &s);
}

void wire_put_error(struct evbuffer *out, const char *text)
{
	struct str s = STR_INIT;

	bytes_put_text(&s, text);
	send_fields(out, WIRE_ERROR, &s);
}

/* ---- the interest blob ---- */

enum {
	ALL_TOPICS = 1,
	ALL_ROOMS = 2,
	ONLY_ROOMS = 4,
	ROOMS_ANY_TOPIC = 8,
};

static void wire_add_list(struct str *s, struct strlist *l)
{
	strlist_normalize(l);
	bytes_put(s, l->n, 2);
	for (size_t i = 0; i < l->n; i++)
		bytes_put_text(s, l->v[i]);
}

void wire_interest_add_view(
	struct wire_interest *i, struct slice topic, uint8_t view, struct slice filter)
{
	if (i->views_n == WIRE_VIEWS_MAX)
		return;
	i->views = xreallocarray(i->views, i->views_n + 1, sizeof(*i->views));
	i->views[i->views_n++] = (struct wire_view){.topic = slice_dup(topic),
		.view = view,
		.filter = {.p = slice_dup(filter), .len = filter.len}};
}

static void view_fini(struct wire_view *v)
{
	free(v->topic);
	free((char *)v->filter.p);
}

static int compare_views(const void *a, const void *b)
{
	const struct wire_view *x = a, *y = b;
	size_t len = x->filter.len < y->filter.len ? x->filter.len : y->filter.len;
	int by_topic = strcmp(x->topic, y->topic), by_filter;

	if (by_topic)
		return by_topic;
	if (x->view != y->view)
		return x->view < y->view ? -1 : 1;
	by_filter = memcmp(x->filter.p, y->filter.p, len);
	if (by_filter)
		return by_filter;
	return (x->filter.len > y->filter.len) - (x->filter.len < y->filter.len);
}

static void views_normalize(struct wire_interest *i)
{
	size_t kept = 0;

	if (i->views_n)
		qsort(i->views, i->views_n, sizeof(*i->views), compare_views);
	for (size_t n = 0; n < i->views_n; n++) {
		if (kept && !compare_views(&i->views[kept - 1], &i->views[n]))
			view_fini(&i->views[n]);
		else
			i->views[kept++] = i->views[n];
	}
	i->views_n = kept;
}

static void add_views(struct str *s, struct wire_interest *i)
{
	views_normalize(i);
	bytes_put(s, i->views_n, 2);
	for (size_t n = 0; n < i->views_n; n++) {
		bytes_put_text(s, i->views[n].topic);
		bytes_put(s, i->views[n].view, 1);
		bytes_put_slice(s, i->views[n].filter);
	}
}

void wire_interest_put(struct str *out, struct wire_interest *i)
{
	bytes_put(out, i->tenant_id, 4);
	bytes_put(out, i->format, 1);
	bytes_put(out, i->limit, 2);
	bytes_put(out,
		(i->all_topics ? ALL_TOPICS : 0) | (i->all_rooms ? ALL_ROOMS : 0) |
			(i->only_rooms ? ONLY_ROOMS : 0) |
			(i->rooms_any_topic ? ROOMS_ANY_TOPIC : 0),
		1);
	wire_add_list(out, &i->topics);
	wire_add_list(out, &i->rooms);
	add_views(out, i);
}

static void get_list(struct bytes *c, struct strlist *l)
{
	size_t n = bytes_u16(c);

	for (size_t i = 0; i < n && !c->is_bad; i++) {
		struct slice t = bytes_text(c);

		if (!c->is_bad)
			strlist_add(l, t.p, t.len);
	}
}

static void get_views(struct bytes *c, struct wire_interest *i)
{
	size_t n = bytes_u16(c);

	if (n > WIRE_VIEWS_MAX)
		c->is_bad = true;
	while (n-- > 0 && !c->is_bad) {
		struct slice topic = bytes_text(c);
		uint8_t view = bytes_u8(c);
		struct slice filter = bytes_text(c);

		if (!c->is_bad)
			wire_interest_add_view(i, topic, view, filter);
	}
}

bool wire_interest_get(const void *p, size_t len, struct wire_interest *i)
{
	struct bytes c = bytes_of(p, len);
	uint8_t flags;

	memset(i, 0, sizeof(*i));
	i->tenant_id = bytes_u32(&c);
	i->format = bytes_u8(&c);
	i->limit = bytes_u16(&c);
	flags = bytes_u8(&c);
	i->all_topics = flags & ALL_TOPICS;
	i->all_rooms = flags & ALL_ROOMS;
	i->only_rooms = flags & ONLY_ROOMS;
	i->rooms_any_topic = flags & ROOMS_ANY_TOPIC;
	get_list(&c, &i->topics);
	get_list(&c, &i->rooms);
	get_views(&c, i);
	if (bytes_are_done(&c) && i->limit > 0 && i->format >= WIRE_JSON &&
		i->format <= WIRE_SOCKET)
		return true;
	wire_interest_fini(i);
	return false;
}

void wire_interest_fini(struct wire_interest *i)
{
	strlist_fini(&i->topics);
	strlist_fini(&i->rooms);
	for (size_t n = 0; n < i->views_n; n++)
		view_fini(&i->views[n]);
	free(i->views);
	i->views = NULL;
	i->views_n = 0;
}
