#include <assert.h>
#include <string.h>

#include "packet.h"

/* What is kept is `blob text, n * blob attachment` from the start, so that saving is copying, and
 * the whole packet takes it over as it is. The text is decoded once to know that it is good and
 * again when it is whole: what json-c builds need not be moved about or saved. */

static size_t blob_size(struct slice bytes)
{
	return sizeof(uint32_t) + bytes.len;
}

enum packet_got packet_feed_text(
	struct packet_pending *pending, struct slice text, struct packet *p, const char **why)
{
	*p = (struct packet){0};
	if (pending->missing_n) {
		*why = "text came while attachments were missing";
		return PACKET_BAD;
	}
	if (!packet_decode(p, text, why))
		return PACKET_BAD;
	if (p->attachments_n == 0)
		return PACKET_WHOLE;
	unsigned missing_n = p->attachments_n;
	packet_fini(p);
	if (blob_size(text) > PACKET_PENDING_MAX) {
		*why = "a packet with attachments is too large";
		return PACKET_BAD;
	}
	bytes_put_blob(&pending->kept, text.p, text.len);
	pending->missing_n = missing_n;
	return PACKET_MORE;
}

enum packet_got packet_feed_binary(
	struct packet_pending *pending, struct slice data, struct packet *p, const char **why)
{
	*p = (struct packet){0};
	*why = NULL;
	if (pending->missing_n == 0)
		*why = "binary data that no packet announced";
	else if (blob_size(data) > PACKET_PENDING_MAX - pending->kept.len)
		*why = "a packet with attachments is too large";
	if (*why)
		return PACKET_BAD;
	bytes_put_blob(&pending->kept, data.p, data.len);
	if (--pending->missing_n)
		return PACKET_MORE;

	struct bytes b = bytes_of(pending->kept.p, pending->kept.len);
	bool is_good = packet_decode(p, bytes_blob(&b), why);
	assert(is_good);
	(void)is_good;
	for (unsigned i = 0; i < p->attachments_n; i++)
		p->attachments[i] = bytes_blob(&b);
	assert(bytes_are_done(&b));
	p->own = pending->kept;
	pending->kept = (struct str)STR_INIT;
	return PACKET_WHOLE;
}

void packet_pending_save(const struct packet_pending *pending, struct str *s)
{
	str_add(s, pending->kept.p, pending->kept.len);
}

bool packet_pending_load(struct packet_pending *pending, struct slice bytes, const char **why)
{
	struct packet p;
	unsigned got_n = 0;

	*pending = (struct packet_pending){0};
	*why = NULL;
	if (bytes.len == 0)
		return true;
	if (bytes.len > PACKET_PENDING_MAX) {
		*why = "what was kept of a packet is too large";
		return false;
	}
	struct bytes b = bytes_of(bytes.p, bytes.len);
	struct slice text = bytes_blob(&b);
	while (!b.is_bad && b.p < b.end) {
		bytes_blob(&b);
		got_n++;
	}
	if (b.is_bad) {
		*why = "what was kept of a packet is cut short";
		return false;
	}
	if (!packet_decode(&p, text, why))
		return false;
	unsigned attachments_n = p.attachments_n;
	packet_fini(&p);
	if (got_n >= attachments_n) {
		*why = "what was kept of a packet lacks no attachment";
		return false;
	}
	str_add(&pending->kept, bytes.p, bytes.len);
	pending->missing_n = attachments_n - got_n;
	return true;
}

void packet_pending_fini(struct packet_pending *pending)
{
	str_fini(&pending->kept);
	*pending = (struct packet_pending){0};
}
