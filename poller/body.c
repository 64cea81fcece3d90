#include "body.h"

#include <stdlib.h>

#include "mem.h"
#include "record.h"

struct body *body_new(enum wire_format format, const char *epoch)
{
	struct body *b = xcalloc(1, sizeof(*b));

	b->format = format;
	b->epoch = epoch;
	b->refs = 1;
	b->buf = evbuffer_new();
	if (format == WIRE_JSON)
		evbuffer_add(b->buf, "{\"events\":[", 11);
	return b;
}

bool body_has_room(const struct body *b, size_t limit)
{
	return b->n + b->packets_n < limit &&
	       (b->n == 0 || evbuffer_get_length(b->buf) < BODY_BYTES_MAX);
}

/* One packet of a payload (Engine.IO protocol 4, "Packet encoding"): a message with an EVENT packet
 * (Socket.IO protocol 5), whose last argument is the offset to go on from. */
static void add_packet(struct body *b, const struct record *r)
{
	struct str packet = STR_INIT;

	if (evbuffer_get_length(b->buf))
		str_addc(&packet, '\x1e');
	str_adds(&packet, "42[");
	record_socket_args(r, &packet);
	str_addf(&packet, ",\"%s:%llu\"]", b->epoch, (unsigned long long)r->item.id);
	evbuffer_add(b->buf, packet.p, packet.len);
	str_fini(&packet);
}

void body_add(struct body *b, const struct record *r)
{
	b->n++;
	b->last_id = r->item.id;
	if (b->format == WIRE_SOCKET) {
		add_packet(b, r);
		return;
	}
	if (b->format == WIRE_SSE)
		evbuffer_add_printf(b->buf, "id: %llu\ndata: ", (unsigned long long)r->item.id);
	else if (b->n > 1)
		evbuffer_add(b->buf, ",", 1);
	evbuffer_add(b->buf, r->json, r->json_len);
	if (b->format == WIRE_SSE)
		evbuffer_add(b->buf, "\n\n", 2);
}

void body_finish(struct body *b, uint64_t cursor, bool is_more)
{
	b->cursor = cursor;
	if (b->format == WIRE_SOCKET) {
		/* An answer has at least one packet: a noop. */
		if (!evbuffer_get_length(b->buf))
			evbuffer_add(b->buf, "6", 1);
		return;
	}
	if (b->format == WIRE_JSON)
		evbuffer_add_printf(b->buf, "],\"lastEventId\":%llu,\"epoch\":\"%s\",\"more\":%s}",
			(unsigned long long)cursor, b->epoch, is_more ? "true" : "false");
	else if (cursor != b->last_id)
		/* An id without data moves Last-Event-ID and shows nothing (HTML, 9.2.6). */
		evbuffer_add_printf(b->buf, "id: %llu\n\n", (unsigned long long)cursor);
}

struct body *body_reset(
	enum wire_format format, const char *reason, uint64_t cursor, const char *epoch)
{
	struct body *b = xcalloc(1, sizeof(*b));

	b->format = format;
	b->refs = 1;
	b->buf = evbuffer_new();
	b->cursor = cursor;
	if (format == WIRE_SSE)
		evbuffer_add_printf(
			b->buf, "event: reset\nid: %llu\ndata: ", (unsigned long long)cursor);
	evbuffer_add_printf(b->buf,
		"{\"events\":[],\"reset\":{\"reason\":\"%s\"},\"lastEventId\":%llu,"
		"\"epoch\":\"%s\","
		"\"more\":false}",
		reason, (unsigned long long)cursor, epoch);
	if (format == WIRE_SSE)
		evbuffer_add(b->buf, "\n\n", 2);
	return b;
}

struct body *body_ref(struct body *b)
{
	b->refs++;
	return b;
}

void body_put(struct body *b)
{
	if (!b || --b->refs)
		return;
	evbuffer_free(b->buf);
	free(b);
}
