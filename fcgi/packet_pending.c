#include <assert.h>
#include <string.h>

#include "packet.h"

/* What is kept is `blob text, n * blob attachment` from the start, so that saving is copying, and
 * the whole packet takes it over as it is. The text is decoded once to know that it is good and
 * again when it is whole: what json-c builds need not be moved about or saved. */

#define DROPPED '!' /* begins the text of which only the head was kept */

static size_t blob_size(struct slice bytes)
{
	return sizeof(uint32_t) + bytes.len;
}

/* A text as it is kept. */
static bool packet_pending_decode(struct packet *p, struct slice text, const char **why)
{
	bool is_dropped = text.len && text.p[0] == DROPPED;

	if (is_dropped)
		text = (struct slice){text.p + 1, text.len - 1};
	if (!packet_decode(p, text, why))
		return false;
	if (is_dropped)
		p->beyond = "a packet with attachments is too large";
	return true;
}

static void keep(struct packet_pending *pending, struct slice bytes)
{
	bytes_put_blob(&pending->kept, bytes.p, bytes.len);
}

/* Keeps the head of p, and what tells how many of its attachments have come. */
static void packet_pending_drop(struct packet_pending *pending, const struct packet *p)
{
	unsigned got_n = p->attachments_n - pending->missing_n;
	struct str head = STR_INIT, kept = STR_INIT;

	str_addf(&head, "%c%c%u-", DROPPED, p->type == PACKET_EVENT ? '5' : '6', p->attachments_n);
	str_add(&head, p->nsp.p, p->nsp.len);
	str_addc(&head, ',');
	if (p->has_id)
		str_addu(&head, p->id);
	bytes_put_blob(&kept, head.p, head.len);
	for (unsigned i = 0; i < got_n; i++)
		bytes_put_blob(&kept, "", 0);
	str_fini(&head);
	str_fini(&pending->kept);
	pending->kept = kept;
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
	if (p->nsp.len > PACKET_NSP_MAX) {
		*why = "attachments to a namespace that there cannot be";
		packet_fini(p);
		return PACKET_BAD;
	}
	pending->missing_n = p->attachments_n;
	if (blob_size(text) > PACKET_PENDING_MAX)
		packet_pending_drop(pending, p);
	else
		keep(pending, text);
	packet_fini(p);
	return PACKET_MORE;
}

/* Keeps one more attachment, if there is room. */
static void keep_data(struct packet_pending *pending, struct slice data)
{
	struct bytes b = bytes_of(pending->kept.p, pending->kept.len);
	struct slice text = bytes_blob(&b), none = {"", 0};
	bool is_dropped = text.p[0] == DROPPED;
	struct packet p;
	const char *why;

	if (!is_dropped && blob_size(data) > PACKET_PENDING_MAX - pending->kept.len &&
		packet_pending_decode(&p, text, &why)) {
		packet_pending_drop(pending, &p);
		packet_fini(&p);
		is_dropped = true;
	}
	keep(pending, is_dropped ? none : data);
	pending->missing_n--;
}

enum packet_got packet_feed_binary(
	struct packet_pending *pending, struct slice data, struct packet *p, const char **why)
{
	*p = (struct packet){0};
	*why = NULL;
	if (pending->missing_n == 0) {
		*why = "binary data that no packet announced";
		return PACKET_BAD;
	}
	keep_data(pending, data);
	if (pending->missing_n)
		return PACKET_MORE;

	struct bytes b = bytes_of(pending->kept.p, pending->kept.len);
	bool is_good = packet_pending_decode(p, bytes_blob(&b), why);
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
	if (!packet_pending_decode(&p, text, why))
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
