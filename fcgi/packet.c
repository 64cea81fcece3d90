#include "packet.h"

#include <assert.h>
#include <string.h>

/* The digits that are on the wire alone. */
#define BINARY_EVENT 5
#define BINARY_ACK 6

struct cursor {
	const char *p, *end;
};

static bool at(const struct cursor *c, char ch)
{
	return c->p < c->end && *c->p == ch;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

void packet_fini(struct packet *p)
{
	json_object_put(p->json);
	str_fini(&p->own);
	*p = (struct packet){0};
}

/* How many digits are at c, and their value. PACKET_DIGITS_MAX + 1 when they are too many, or too
 * much for max. */
static size_t take_number(struct cursor *c, uint64_t max, uint64_t *value)
{
	size_t n = 0;

	for (*value = 0; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++) {
		*value = *value * 10 + (uint64_t)(*c->p - '0');
		if (++n > PACKET_DIGITS_MAX || *value > max)
			return PACKET_DIGITS_MAX + 1;
	}
	return n;
}

/* The readers and checkers below return what is wrong, NULL if nothing is. */

static const char *read_attachments(struct cursor *c, struct packet *p)
{
	uint64_t n;
	size_t digits_n = take_number(c, PACKET_ATTACHMENTS_MAX, &n);

	if (digits_n > PACKET_DIGITS_MAX)
		return "too many attachments";
	if (digits_n == 0 || n == 0 || !at(c, '-'))
		return "the number of attachments is missing";
	c->p++;
	p->attachments_n = (unsigned)n;
	return NULL;
}

static const char *read_type(struct cursor *c, struct packet *p)
{
	int digit = c->p < c->end ? *c->p - '0' : -1;

	if (digit < 0 || digit > BINARY_ACK)
		return "an unknown packet type";
	c->p++;
	if (digit != BINARY_EVENT && digit != BINARY_ACK) {
		p->type = (enum packet_type)digit;
		return NULL;
	}
	p->type = digit == BINARY_EVENT ? PACKET_EVENT : PACKET_ACK;
	return read_attachments(c, p);
}

static const char *read_nsp(struct cursor *c, struct packet *p)
{
	p->nsp = (struct slice){"/", 1};
	if (!at(c, '/'))
		return NULL;
	size_t left = (size_t)(c->end - c->p);
	const char *comma = memchr(c->p, ',', left);
	size_t len = comma ? (size_t)(comma - c->p) : left;
	const char *query = memchr(c->p, '?', len);
	p->nsp = (struct slice){c->p, query ? (size_t)(query - c->p) : len};
	c->p += len + (comma != NULL);
	if (p->nsp.len > PACKET_NSP_MAX)
		return "the name of a namespace is too long";
	for (size_t i = 0; i < p->nsp.len; i++)
		if ((unsigned char)p->nsp.p[i] < 0x20 || p->nsp.p[i] == 0x7f)
			return "the name of a namespace has a control character";
	return json_is_utf8(p->nsp.p, p->nsp.len) ? NULL : "the name of a namespace is not UTF-8";
}

static const char *read_id(struct cursor *c, struct packet *p)
{
	size_t digits_n = take_number(c, PACKET_ID_MAX, &p->id);

	if (digits_n > PACKET_DIGITS_MAX)
		return "an ack id is too large";
	p->has_id = digits_n > 0;
	return NULL;
}

static const char *read_payload(struct cursor *c, struct packet *p)
{
	const char *why;
	size_t offset;

	p->payload = (struct slice){c->p, (size_t)(c->end - c->p)};
	if (p->payload.len == 0)
		return NULL;
	/* A blank is a digit of the id to the reference, and no scalar is a payload. */
	if (!at(c, '[') && !at(c, '{'))
		return "a packet's payload is neither array nor object";
	p->json = json_parse(p->payload.p, p->payload.len, &why, &offset);
	return why;
}

/* ---- what must hold for each type ---- */

/* The payload is a valid array. Finds its inside, and in this what follows the name. */
static void find_args(struct packet *p)
{
	const char *from = p->payload.p + 1, *to = p->payload.p + p->payload.len;

	while (is_space(*--to))
		;
	assert(*to == ']');
	p->inside = (struct slice){from, (size_t)(to - from)};
	if (p->type == PACKET_EVENT) {
		while (is_space(*from))
			from++;
		for (from++; *from != '"'; from++)
			from += *from == '\\';
		for (from++; is_space(*from); from++)
			;
		from += *from == ',';
	}
	while (from < to && is_space(*from))
		from++;
	while (to > from && is_space(to[-1]))
		to--;
	p->args = (struct slice){from, (size_t)(to - from)};
}

bool packet_is_reserved(const char *name)
{
	static const char *const reserved[] = {"connect", "connect_error", "disconnect",
		"disconnecting", "newListener", "removeListener"};

	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		if (strcmp(name, reserved[i]) == 0)
			return true;
	return false;
}

static const char *check_event(struct packet *p)
{
	if (!json_object_is_type(p->json, json_type_array))
		return "an event's payload is no array";
	struct json_object *name =
		json_object_array_length(p->json) ? json_object_array_get_idx(p->json, 0) : NULL;
	if (!json_object_is_type(name, json_type_string))
		return "an event does not begin with its name";
	p->name = json_object_get_string(name);
	return packet_is_reserved(p->name) ? "an event has a reserved name" : NULL;
}

static const char *check_type(struct packet *p)
{
	switch (p->type) {
	case PACKET_CONNECT:
		if (p->has_id)
			return "CONNECT has an ack id";
		if (p->payload.len && !json_object_is_type(p->json, json_type_object))
			return "the payload of CONNECT is no object";
		return NULL;
	case PACKET_DISCONNECT:
		return p->has_id || p->payload.len ? "DISCONNECT has an ack id or a payload" : NULL;
	case PACKET_EVENT:
		return check_event(p);
	case PACKET_ACK:
		if (!p->has_id)
			return "an acknowledgement has no id";
		if (!json_object_is_type(p->json, json_type_array))
			return "the payload of an acknowledgement is no array";
		return NULL;
	default:
		return "only a server sends CONNECT_ERROR";
	}
}

/* Does o stand for an attachment? */
static bool is_placeholder(struct json_object *o)
{
	struct json_object *mark = json_get(o, "_placeholder");

	return json_object_is_type(mark, json_type_boolean) && json_object_get_boolean(mark);
}

/* Notes in *seen, a bit each, for which of the n attachments there are placeholders in o. */
static const char *find_placeholders(struct json_object *o, unsigned n, unsigned *seen)
{
	const char *why = NULL;

	if (is_placeholder(o)) {
		struct json_object *num = json_get(o, "num");
		if (!json_object_is_type(num, json_type_int) || json_object_object_length(o) != 2)
			return "a placeholder is not made of `_placeholder` and `num`";
		int64_t i = json_object_get_int64(num);
		if (i < 0 || i >= n)
			return "a placeholder stands for no attachment";
		if (*seen & 1U << i)
			return "two placeholders stand for the same attachment";
		*seen |= 1U << i;
	} else if (json_object_is_type(o, json_type_object)) {
		json_object_object_foreach(o, key, value)
		{
			(void)key;
			if (!why)
				why = find_placeholders(value, n, seen);
		}
	} else if (json_object_is_type(o, json_type_array)) {
		for (size_t i = 0; !why && i < json_object_array_length(o); i++)
			why = find_placeholders(json_object_array_get_idx(o, i), n, seen);
	}
	return why;
}

static const char *check_placeholders(struct packet *p)
{
	unsigned seen = 0;
	const char *why = find_placeholders(p->json, p->attachments_n, &seen);

	if (why)
		return why;
	return seen == (1U << p->attachments_n) - 1 ? NULL : "an attachment has no placeholder";
}

bool packet_decode(struct packet *p, struct slice text, const char **why)
{
	struct cursor c = {text.p, text.p + text.len};

	*p = (struct packet){.inside = {"", 0}, .args = {"", 0}};
	*why = read_type(&c, p);
	if (!*why)
		*why = read_nsp(&c, p);
	if (!*why)
		*why = read_id(&c, p);
	if (!*why)
		*why = read_payload(&c, p);
	if (!*why)
		*why = check_type(p);
	if (!*why && p->attachments_n)
		*why = check_placeholders(p);
	if (*why) {
		packet_fini(p);
		return false;
	}
	if (p->type == PACKET_EVENT || p->type == PACKET_ACK)
		find_args(p);
	return true;
}

/* ---- encoders ---- */

static void put_head(struct str *s, int digit, struct slice nsp, unsigned attachments_n)
{
	str_addc(s, (char)('0' + digit));
	if (attachments_n) {
		str_addu(s, attachments_n);
		str_addc(s, '-');
	}
	if (nsp.len && !slice_is(nsp, "/")) {
		str_add(s, nsp.p, nsp.len);
		str_addc(s, ',');
	}
}

void packet_put_connect(struct str *s, struct slice nsp, struct slice payload)
{
	put_head(s, PACKET_CONNECT, nsp, 0);
	str_add(s, payload.p, payload.len);
}

void packet_put_connect_error(struct str *s, struct slice nsp, struct slice payload)
{
	put_head(s, PACKET_CONNECT_ERROR, nsp, 0);
	str_add(s, payload.p, payload.len);
}

void packet_put_disconnect(struct str *s, struct slice nsp)
{
	put_head(s, PACKET_DISCONNECT, nsp, 0);
}

void packet_put_event(struct str *s, struct slice nsp, const uint64_t *id, unsigned attachments_n,
	const char *name, struct slice args)
{
	put_head(s, attachments_n ? BINARY_EVENT : PACKET_EVENT, nsp, attachments_n);
	if (id)
		str_addu(s, *id);
	str_addc(s, '[');
	str_add_json(s, name);
	if (args.len)
		str_addc(s, ',');
	str_add(s, args.p, args.len);
	str_addc(s, ']');
}

void packet_put_ack(
	struct str *s, struct slice nsp, uint64_t id, unsigned attachments_n, struct slice args)
{
	put_head(s, attachments_n ? BINARY_ACK : PACKET_ACK, nsp, attachments_n);
	str_addu(s, id);
	str_addc(s, '[');
	str_add(s, args.p, args.len);
	str_addc(s, ']');
}
