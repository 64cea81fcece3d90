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
	str_fini(&it->converted);
}

/* The six bits of a character of either alphabet (RFC 4648 sections 4 and 5), -1: of none. */
static int six_bits(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

/* libsodium's decoder refuses too much. */
static void payload_decode(struct str *out, struct slice base64)
{
	uint32_t bits = 0;
	unsigned bits_n = 0;
	char *to;

	str_clear(out);
	str_reserve(out, base64.len / 4 * 3 + 3);
	to = out->p;
	for (size_t i = 0; i < base64.len && base64.p[i] != '='; i++) {
		int six = six_bits(base64.p[i]);
		if (six < 0)
			continue;
		bits = bits << 6 | (uint32_t)six;
		bits_n += 6;
		if (bits_n < 8)
			continue;
		bits_n -= 8;
		*to++ = (char)(bits >> bits_n & 0xff);
	}
	out->len = (size_t)(to - out->p);
	*to = '\0';
}

static const char *read_packet(struct payload *it, struct slice text, struct payload_packet *packet)
{
	if (text.len == 0)
		return "an empty packet";
	char type = text.p[0];
	*packet = (struct payload_packet){.data = {text.p + 1, text.len - 1}};
	packet->is_binary = type == 'b';
	if (!packet->is_binary && (type < '0' || type >= '0' + PAYLOAD_TYPES_N))
		return "an unknown packet type";
	packet->type = packet->is_binary ? PAYLOAD_MESSAGE : (enum payload_type)(type - '0');
	if (packet->is_binary) {
		payload_decode(&it->converted, packet->data);
	} else if (!json_is_utf8(packet->data.p, packet->data.len)) {
		str_clear(&it->converted);
		json_add_utf8(&it->converted, packet->data.p, packet->data.len);
	} else {
		return NULL;
	}
	packet->data = (struct slice){str_c(&it->converted), it->converted.len};
	return NULL;
}

enum payload_got payload_next(struct payload *it, struct payload_packet *packet, const char **why)
{
	*why = NULL;
	*packet = (struct payload_packet){0};
	if (!it->p)
		return PAYLOAD_END;
	size_t left = (size_t)(it->end - it->p);
	const char *stop = memchr(it->p, PAYLOAD_SEPARATOR, left);
	struct slice text = {it->p, stop ? (size_t)(stop - it->p) : left};
	*why = read_packet(it, text, packet);
	if (*why) {
		*packet = (struct payload_packet){0};
		return PAYLOAD_BAD;
	}
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
