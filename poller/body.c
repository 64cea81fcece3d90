#include "body.h"

#include <stdlib.h>

#include "batch.h"
#include "mem.h"
#include "pace.h"
#include "record.h"

struct body *body_new(enum wire_format format, const char *epoch)
{
	struct body *b = xcalloc(1, sizeof(*b));

	b->format = format;
	b->epoch = epoch;
	b->refs = 1;
	b->budget = PACE_ANY;
	b->held = UINT64_MAX;
	b->buf = evbuffer_new();
	if (format == WIRE_JSON)
		evbuffer_add(b->buf, "{\"events\":[", 11);
	return b;
}

bool body_has_room(const struct body *b, size_t limit, size_t packets_n)
{
	size_t bytes = evbuffer_get_length(b->buf);

	for (const struct batch *batch = b->batches; batch; batch = batch->next) {
		packets_n += batch_packets(batch);
		bytes += batch->bytes;
	}
	if (b->n == 0 && !b->batches)
		return b->packets_n == 0 || b->packets_n + packets_n <= limit;
	return b->n + b->packets_n + packets_n <= limit && bytes < BODY_BYTES_MAX;
}

/* One packet of a payload (Engine.IO protocol 4, "Packet encoding"): a message with an EVENT packet
 * (Socket.IO protocol 5), whose last argument is the offset to go on from. */
static void begin_packet(const struct body *b, struct str *packet)
{
	if (evbuffer_get_length(b->buf))
		str_addc(packet, '\x1e');
	str_adds(packet, "42[");
}

static void end_packet(struct body *b, struct str *packet, uint64_t offset)
{
	str_addf(packet, ",\"%s:%llu\"]", b->epoch, (unsigned long long)offset);
	evbuffer_add(b->buf, packet->p, packet->len);
	str_fini(packet);
	b->n++;
}

static void note_event(struct body *b, const struct record *r)
{
	b->last_id = r->item.id;
	if (b->last_id > b->offset)
		b->offset = b->last_id;
}

static struct batch *batch_of(struct body *b, const struct stream_view *row)
{
	struct batch **at = &b->batches;

	while (*at && (*at)->row != row)
		at = &(*at)->next;
	if (!*at)
		*at = batch_new(row);
	return *at;
}

static void add_paced(struct body *b, const struct hits *h, const struct hit *hit)
{
	struct batch *batch = batch_of(b, hit->row);
	uint32_t n = hit_entries_n(hit);
	char date[RECORD_DATE_SIZE];
	struct event_row e = record_row(hit->record, date);

	b->is_paced = true;
	for (uint32_t i = 0; i < n; i++) {
		if (hit->row->pace->per_s && b->rated_n >= b->budget) {
			b->has_dropped = true;
			batch_drop(batch, hit_entry_id(h, hit, i));
			continue;
		}
		b->rated_n += hit->row->pace->per_s > 0;
		batch_add(batch, &e, hit_entry(h, hit, i));
	}
}

/* Behind all else in the answer: a client that goes on from its offset has all of that. */
static void add_batch_packet(struct slice args, void *arg)
{
	struct body *b = arg;
	struct str packet = STR_INIT;

	begin_packet(b, &packet);
	str_add(&packet, args.p, args.len);
	end_packet(b, &packet, b->offset);
}

void body_add_batches(struct body *b, size_t limit)
{
	struct batch *batch;

	while ((batch = b->batches)) {
		size_t used = b->n + b->packets_n, others = 0;

		for (const struct batch *o = batch->next; o; o = o->next)
			others += batch_packets(o);
		batch_put(batch, used + others < limit ? limit - used - others : 1,
			add_batch_packet, b);
		b->batches = batch->next;
		batch_free(batch);
	}
}

static void add_packet(struct body *b, const struct record *r)
{
	struct str packet = STR_INIT;

	begin_packet(b, &packet);
	record_socket_args(r, &packet);
	end_packet(b, &packet, r->item.id);
}

static void add_json(struct body *b, uint64_t id, const char *json, size_t len)
{
	b->n++;
	if (b->format == WIRE_SSE)
		evbuffer_add_printf(b->buf, "id: %llu\ndata: ", (unsigned long long)id);
	else if (b->n > 1)
		evbuffer_add(b->buf, ",", 1);
	evbuffer_add(b->buf, json, len);
	if (b->format == WIRE_SSE)
		evbuffer_add(b->buf, "\n\n", 2);
}

void body_add(struct body *b, const struct record *r)
{
	note_event(b, r);
	if (b->format == WIRE_SOCKET)
		add_packet(b, r);
	else
		add_json(b, r->item.id, r->json, r->json_len);
}

void body_add_hit(struct body *b, const struct hits *h, const struct hit *hit)
{
	struct str text = STR_INIT;

	note_event(b, hit->record);
	if (hit_is_paced(hit)) {
		add_paced(b, h, hit);
	} else if (b->format == WIRE_SOCKET) {
		begin_packet(b, &text);
		hit_put(h, hit, &text);
		end_packet(b, &text, hit->record->item.id);
	} else {
		hit_put_json(h, hit, &text);
		add_json(b, hit->record->item.id, text.p, text.len);
		str_fini(&text);
	}
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
	struct batch *batch;

	if (!b || --b->refs)
		return;
	while ((batch = b->batches)) {
		b->batches = batch->next;
		batch_free(batch);
	}
	evbuffer_free(b->buf);
	free(b);
}
