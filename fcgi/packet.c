#include "packet.h"

#include <assert.h>
#include <string.h>

#include "event_name.h"
#include "packet_number.h"

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

/* The readers and checkers below return what is wrong, NULL if nothing is. They follow
 * socket.io-parser 4, decodeString(), step by step. */

static const char *read_attachments(struct cursor *c, struct packet *p)
{
	const char *dash = memchr(c->p, '-', (size_t)(c->end - c->p));
	double n;

	if (!dash || !packet_number((struct slice){c->p, (size_t)(dash - c->p)}, &n))
		return "the number of attachments is missing";
	if (n > PACKET_ATTACHMENTS_MAX)
		return "too many attachments";
	if (n < 1 || n != (unsigned)n)
		return "the number of attachments is missing";
	c->p = dash + 1;
	p->attachments_n = (unsigned)n;
	return NULL;
}

static const char *read_type(struct cursor *c, struct packet *p)
{
	size_t space = packet_number_space(c->p, c->end);
	int digit = space ? 0 : c->p < c->end ? *c->p - '0' : -1;

	if (digit < 0 || digit > BINARY_ACK)
		return "an unknown packet type";
	c->p += space ? space : 1;
	if (digit != BINARY_EVENT && digit != BINARY_ACK) {
		p->type = (enum packet_type)digit;
		return NULL;
	}
	p->type = digit == BINARY_EVENT ? PACKET_EVENT : PACKET_ACK;
	return read_attachments(c, p);
}

static void read_nsp(struct cursor *c, struct packet *p)
{
	p->nsp = (struct slice){"/", 1};
	if (!at(c, '/'))
		return;
	size_t left = (size_t)(c->end - c->p);
	const char *comma = memchr(c->p, ',', left);
	size_t len = comma ? (size_t)(comma - c->p) : left;
	const char *query = memchr(c->p, '?', len);
	p->nsp = (struct slice){c->p, query ? (size_t)(query - c->p) : len};
	c->p += len + (comma != NULL);
}

/* The decoder does not look at what it makes of these digits. What cannot be counted to is the id
 * of nothing. */
static void read_id(struct cursor *c, struct packet *p)
{
	const char *from = c->p;
	double id;

	while (c->p < c->end) {
		size_t n = *c->p >= '0' && *c->p <= '9' ? 1 : packet_number_space(c->p, c->end);
		if (n == 0)
			break;
		c->p += n;
	}
	if (c->p == from || (p->type != PACKET_EVENT && p->type != PACKET_ACK))
		return;
	p->has_id = packet_number((struct slice){from, (size_t)(c->p - from)}, &id) &&
		    id <= (double)PACKET_ID_MAX;
	if (p->has_id)
		p->id = (uint64_t)id;
	else
		p->beyond = "the id to acknowledge it by is none";
}

static const char *packet_read_payload(struct cursor *c, struct packet *p)
{
	p->payload = (struct slice){c->p, (size_t)(c->end - c->p)};
	if (p->payload.len == 0)
		return NULL;
	return json_is_valid(p->payload.p, p->payload.len) ? NULL : "a packet's payload is no JSON";
}

/* ---- what must hold for each type ---- */

/* Behind the value at p, which is a string or a number; others are not asked for. */
static const char *skip_scalar(const char *p)
{
	if (*p != '"') {
		while (*p != ',' && *p != ']' && !is_space(*p))
			p++;
		return p;
	}
	for (p++; *p != '"'; p++)
		p += *p == '\\';
	return p + 1;
}

/* The payload is a valid array. Finds its inside; of an event also the name, which it returns, and
 * what follows that. */
static struct slice find_args(struct packet *p)
{
	const char *from = p->payload.p + 1, *to = p->payload.p + p->payload.len;
	struct slice name = {"", 0};

	while (is_space(*--to))
		;
	assert(*to == ']');
	p->inside = (struct slice){from, (size_t)(to - from)};
	while (is_space(*from))
		from++;
	if (p->type == PACKET_EVENT &&
		(*from == '"' || *from == '-' || (*from >= '0' && *from <= '9'))) {
		name = (struct slice){from, (size_t)(skip_scalar(from) - from)};
		from += name.len;
		while (is_space(*from))
			from++;
		from += *from == ',';
		while (from < to && is_space(*from))
			from++;
	}
	while (to > from && is_space(to[-1]))
		to--;
	p->args = (struct slice){from, (size_t)(to - from)};
	return name;
}

/* What our JSON does not take is no fault of the packet's. */
static void packet_parse(struct packet *p)
{
	const char *why;

	p->json = json_parse_js(p->payload.p, p->payload.len, &why);
	if (why)
		p->beyond = why;
}

/* The payload of an EVENT. A name that our JSON does not take is none that is reserved. */
static const char *read_event(struct packet *p)
{
	struct json_object *text;
	const char *name, *why;
	struct slice token;

	if (p->payload.p[0] != '[')
		return "an event's payload is no array";
	token = find_args(p);
	if (token.len == 0)
		return "an event does not begin with its name";
	packet_parse(p);
	if (p->json) {
		text = json_object_array_get_idx(p->json, 0);
		if (json_object_is_type(text, json_type_string))
			p->name = json_object_get_string(text);
		return p->name && event_name_is_reserved(p->name) ? "an event has a reserved name"
								  : NULL;
	}
	text = json_parse_js(token.p, token.len, &why);
	name = json_object_is_type(text, json_type_string) ? json_object_get_string(text) : NULL;
	why = name && event_name_is_reserved(name) ? "an event has a reserved name" : NULL;
	json_object_put(text);
	return why;
}

static const char *check_type(struct packet *p)
{
	char first = p->payload.len ? p->payload.p[0] : '\0';

	switch (p->type) {
	case PACKET_CONNECT:
		if (first && first != '{')
			return "the payload of CONNECT is no object";
		if (first)
			packet_parse(p);
		return NULL;
	case PACKET_DISCONNECT:
		return first ? "DISCONNECT has a payload" : NULL;
	case PACKET_EVENT:
		return first ? read_event(p) : NULL;
	case PACKET_ACK:
		if (first && first != '[')
			return "the payload of an acknowledgement is no array";
		if (first)
			find_args(p);
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

/* socket.io-parser 4, reconstructPacket(): it does not ask that each of the n attachments has a
 * placeholder, and one alone, or that this has no other member. */
static const char *check_placeholders(struct json_object *o, unsigned n)
{
	const char *why = NULL;

	if (is_placeholder(o)) {
		struct json_object *num = json_get(o, "num");
		double i = json_object_get_double(num);
		bool is_number = json_object_is_type(num, json_type_int) ||
				 json_object_is_type(num, json_type_double);
		return is_number && i >= 0 && i < n ? NULL
						    : "a placeholder stands for no attachment";
	}
	if (json_object_is_type(o, json_type_object)) {
		json_object_object_foreach (o, key, value) {
			(void)key;
			if (!why)
				why = check_placeholders(value, n);
		}
	} else if (json_object_is_type(o, json_type_array)) {
		for (size_t i = 0; !why && i < json_object_array_length(o); i++)
			why = check_placeholders(json_object_array_get_idx(o, i), n);
	}
	return why;
}

bool packet_decode(struct packet *p, struct slice text, const char **why)
{
	struct cursor c = {text.p, text.p + text.len};

	*p = (struct packet){.inside = {"", 0}, .args = {"", 0}};
	*why = read_type(&c, p);
	if (!*why) {
		read_nsp(&c, p);
		read_id(&c, p);
		*why = packet_read_payload(&c, p);
	}
	if (!*why)
		*why = check_type(p);
	if (!*why && p->attachments_n)
		*why = check_placeholders(p->json, p->attachments_n);
	if (*why)
		packet_fini(p);
	return !*why;
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
