/* The bytes are a payload: its messages go to two assemblers, one of which is saved and loaded
 * before each. Both must say the same, and what is whole must encode to an equal packet. */
#include "fuzz.h"

#include <string.h>

#include "packet.h"
#include "payload.h"

static bool is_same(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static void must_equal(const struct packet *a, const struct packet *b)
{
	MUST(a->type == b->type);
	MUST(is_same(a->nsp, b->nsp));
	MUST(a->has_id == b->has_id && a->id == b->id);
	MUST(a->attachments_n == b->attachments_n);
	MUST(!a->beyond == !b->beyond);
	MUST(!a->name == !b->name && (!a->name || strcmp(a->name, b->name) == 0));
	MUST(is_same(a->args, b->args));
	MUST(json_object_equal(a->json, b->json));
}

static void encode(struct str *s, const struct packet *p)
{
	switch (p->type) {
	case PACKET_CONNECT:
		packet_put_connect(s, p->nsp, p->payload);
		break;
	case PACKET_DISCONNECT:
		packet_put_disconnect(s, p->nsp);
		break;
	case PACKET_EVENT:
		packet_put_event(
			s, p->nsp, p->has_id ? &p->id : NULL, p->attachments_n, p->name, p->args);
		break;
	case PACKET_ACK:
		packet_put_ack(s, p->nsp, p->id, p->attachments_n, p->args);
		break;
	default:
		MUST(!"a type that is not decoded");
	}
}

static void must_encode(const struct packet *p)
{
	struct str text = STR_INIT;
	struct packet again;
	const char *why;

	MUST(p->nsp.len > 0 && p->nsp.p[0] == '/');
	MUST(!p->name || p->json);
	/* What a server does not send. */
	if (p->beyond || (p->type == PACKET_EVENT && !p->name) ||
		(p->type == PACKET_ACK && !p->has_id))
		return;
	MUST(p->attachments_n <= PACKET_ATTACHMENTS_MAX);
	MUST(p->id <= PACKET_ID_MAX);
	encode(&text, p);
	MUST(packet_decode(&again, (struct slice){text.p, text.len}, &why));
	must_equal(p, &again);
	packet_fini(&again);
	str_fini(&text);
}

static void save_and_load(struct packet_pending *pending)
{
	struct str saved = STR_INIT;
	const char *why;
	unsigned missing_n = pending->missing_n;

	packet_pending_save(pending, &saved);
	MUST(saved.len <= PACKET_PENDING_MAX);
	packet_pending_fini(pending);
	MUST(packet_pending_load(pending, (struct slice){saved.p, saved.len}, &why));
	MUST(pending->missing_n == missing_n);
	str_fini(&saved);
}

static enum packet_got feed(
	struct packet_pending *pending, const struct payload_packet *message, struct packet *p)
{
	const char *why;
	enum packet_got got = message->is_binary
				      ? packet_feed_binary(pending, message->data, p, &why)
				      : packet_feed_text(pending, message->data, p, &why);

	MUST((got == PACKET_BAD) == (why != NULL));
	MUST(got != PACKET_MORE || pending->missing_n > 0);
	return got;
}

/* Any bytes may have been kept, too. */
static void load_any(const uint8_t *p, size_t len)
{
	struct packet_pending pending;
	const char *why;

	if (packet_pending_load(&pending, (struct slice){(const char *)p, len}, &why))
		save_and_load(&pending);
	else
		MUST(why);
	packet_pending_fini(&pending);
}

bool fuzz_packet(const uint8_t *p, size_t len)
{
	struct payload it = payload_of((struct slice){(const char *)p, len});
	struct packet_pending here = {0}, there = {0};
	struct payload_packet message;
	enum packet_got got = PACKET_WHOLE;
	const char *why;

	load_any(p, len);
	while (got != PACKET_BAD && payload_next(&it, &message, &why) == PAYLOAD_PACKET) {
		struct packet a, b;

		save_and_load(&there);
		got = feed(&here, &message, &a);
		MUST(feed(&there, &message, &b) == got);
		if (got != PACKET_WHOLE)
			continue;
		must_equal(&a, &b);
		for (unsigned i = 0; i < a.attachments_n; i++)
			MUST(is_same(a.attachments[i], b.attachments[i]));
		must_encode(&a);
		packet_fini(&a);
		packet_fini(&b);
	}
	bool is_accepted = got == PACKET_WHOLE && !it.p;
	packet_pending_fini(&here);
	packet_pending_fini(&there);
	payload_fini(&it);
	return is_accepted;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	fuzz_packet(p, len);
	return 0;
}
