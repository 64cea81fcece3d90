#include "payload.h"

#include <assert.h>
#include <string.h>

#include <sodium.h>

#include "json.h"

#define BASE64 sodium_base64_VARIANT_ORIGINAL

struct payload payload_of(struct slice body)
{
	/* a NULL p would mean that all is read, and an empty body is an error to be told */
	const char *p = body.p ? body.p : "";
	return (struct payload){.p = p, .end = p + body.len};
}

void payload_fini(struct payload *it)
{
	str_fini(&it->binary);
}

/* Decodes base64 into out. Returns what is wrong with it, NULL if nothing is. libsodium refuses
 * bits that no byte is made of, missing and surplus padding. But where char is signed, 1.0.18 takes
 * all bytes from 0x80 on for a `/`, so they are looked for here. */
static const char *decode(struct str *out, struct slice base64)
{
	static const char bad[] =
		"base64 data has a character or padding that does not belong there";
	size_t len = 0;

	if (base64.len % 4)
		return "the length of base64 data is not a multiple of four";
	for (size_t i = 0; i < base64.len; i++)
		if (base64.p[i] & 0x80)
			return bad;
	str_clear(out);
	str_reserve(out, base64.len / 4 * 3);
	if (sodium_base642bin((unsigned char *)out->p, out->cap, base64.p, base64.len, NULL, &len,
		    NULL, BASE64) != 0)
		return bad;
	out->len = len;
	out->p[len] = '\0';
	return NULL;
}

static const char *read_packet(struct payload *it, struct slice text, struct payload_packet *packet)
{
	const char *why;

	if (text.len == 0)
		return "an empty packet";
	char type = text.p[0];
	*packet = (struct payload_packet){.data = {text.p + 1, text.len - 1}};
	if (type == 'b') {
		why = decode(&it->binary, packet->data);
		if (why)
			return why;
		packet->type = PAYLOAD_MESSAGE;
		packet->is_binary = true;
		packet->data = (struct slice){it->binary.p, it->binary.len};
		return NULL;
	}
	if (type < '0' || type >= '0' + PAYLOAD_TYPES_N)
		return "an unknown packet type";
	if (!json_is_utf8(packet->data.p, packet->data.len))
		return "a packet's text is not UTF-8 or has a NUL";
	packet->type = (enum payload_type)(type - '0');
	return NULL;
}

enum payload_got payload_next(struct payload *it, struct payload_packet *packet, const char **why)
{
	*why = NULL;
	*packet = (struct payload_packet){0};
	if (!it->p)
		return PAYLOAD_END;
	if (it->packets_n == PAYLOAD_PACKETS_MAX) {
		*why = "too many packets in one body";
		return PAYLOAD_BAD;
	}
	size_t left = (size_t)(it->end - it->p);
	const char *stop = memchr(it->p, PAYLOAD_SEPARATOR, left);
	struct slice text = {it->p, stop ? (size_t)(stop - it->p) : left};
	*why = read_packet(it, text, packet);
	if (*why) {
		*packet = (struct payload_packet){0};
		return PAYLOAD_BAD;
	}
	it->packets_n++;
	it->p = stop ? stop + 1 : NULL;
	return PAYLOAD_PACKET;
}

void payload_put(struct str *s, enum payload_type type, const char *data, size_t len)
{
	assert(type < PAYLOAD_TYPES_N);
	if (s->len)
		str_addc(s, PAYLOAD_SEPARATOR);
	str_addc(s, (char)('0' + type));
	str_add(s, data, len);
}

void payload_put_text(struct str *s, const char *data, size_t len)
{
	payload_put(s, PAYLOAD_MESSAGE, data, len);
}

void payload_put_binary(struct str *s, const void *data, size_t len)
{
	size_t room = sodium_base64_ENCODED_LEN(len, BASE64); /* with a NUL */

	if (s->len)
		str_addc(s, PAYLOAD_SEPARATOR);
	str_addc(s, 'b');
	str_reserve(s, room);
	sodium_bin2base64(s->p + s->len, room, data, len, BASE64);
	s->len += room - 1;
}
