#include "session_queue.h"

#include <string.h>

#include "body.h"
#include "config.h"
#include "hub.h"
#include "log.h"
#include "observer.h"
#include "packets.h"
#include "session.h"
#include "session_store.h"
#include "sessions.h"

#define RESYNC "\"resync\",{\"reason\":\"too_slow\"}"

/* ---- how much it is ---- */

void session_weigh(struct session *s)
{
	struct sessions *ss = s->hub->sessions;
	size_t held = s->queue.own + s->inflight.own + s->pending.len;
	bool is_holder = !packets_is_empty(&s->queue) || !packets_is_empty(&s->inflight);

	ss->held_bytes += held - s->held;
	s->held = held;
	if (is_holder && !s->is_holder)
		TAILQ_INSERT_TAIL(&ss->holders, s, holder_entry);
	if (!is_holder && s->is_holder)
		TAILQ_REMOVE(&ss->holders, s, holder_entry);
	s->is_holder = is_holder;
}

void session_fetched(struct session *s)
{
	struct sessions *ss = s->hub->sessions;

	if (!s->is_holder)
		return;
	TAILQ_REMOVE(&ss->holders, s, holder_entry);
	TAILQ_INSERT_TAIL(&ss->holders, s, holder_entry);
}

void session_throw_away(struct session *s)
{
	packets_fini(&s->queue);
	packets_fini(&s->inflight);
	s->has_lost = true;
	store_lost(s);
	session_weigh(s);
}

static void session_queue_add(struct session *s, struct slice packets)
{
	packets_add(&s->queue, packets);
	store_queued(s, packets.p, packets.len);
	session_weigh(s);
}

static void put_event(struct session *s, struct sock *k, struct slice args, uint64_t offset,
	bool ack, struct str *before, struct str *after);

static void overflow(struct session *s)
{
	static const struct slice main_nsp = {"/", 1}, resync = {RESYNC, sizeof(RESYNC) - 1};
	struct sock *k = session_sock(s, main_nsp);
	struct str packet = STR_INIT, after = STR_INIT;

	log_info("overflow", "session %s does not fetch its replies: closed", s->client_id);
	figure_add(s->hub->figures, FIGURE_QUEUE_OVERFLOWS, 1);
	session_throw_away(s);
	if (k) {
		put_event(s, k, resync, 0, false, &packet, &after);
		str_add(&packet, str_c(&after), after.len);
		session_queue_add(s, (struct slice){packet.p, packet.len});
	}
	str_fini(&packet);
	str_fini(&after);
	session_close(s, END_FORCED_CLOSE);
}

bool session_has_room(const struct session *s, size_t len)
{
	const struct config *cfg = s->hub->cfg;

	return s->queue.own + s->queue.lent + len <= (size_t)cfg->socketio.queue_bytes &&
	       s->hub->sessions->held_bytes + s->hub->pool.bytes + len <=
		       (size_t)cfg->socketio.memory_bytes;
}

/* Of one whose client is not there, or was told that it is over, only what is kept goes. */
static void evict(struct session *s)
{
	if (s->state == SESSION_OPEN || s->state == SESSION_JOINED)
		overflow(s);
	else
		session_throw_away(s);
}

static bool session_queue_make_room(struct session *s, size_t need)
{
	struct sessions *ss = s->hub->sessions;
	size_t max = (size_t)s->hub->cfg->socketio.memory_bytes;

	while (ss->held_bytes + s->hub->pool.bytes + need > max) {
		struct session *oldest = TAILQ_FIRST(&ss->holders);

		if (oldest == s)
			oldest = TAILQ_NEXT(oldest, holder_entry);
		if (!oldest)
			return false;
		evict(oldest);
	}
	return true;
}

/* Is there room for len more in its queue, of which so much takes memory? If not, it is closed. */
static bool admit(struct session *s, size_t len, size_t need)
{
	size_t queued = s->queue.own + s->queue.lent;

	/* One packet may be larger than the bound. */
	if ((packets_is_empty(&s->queue) || !queued ||
		    queued + len <= (size_t)s->hub->cfg->socketio.queue_bytes) &&
		session_queue_make_room(s, need))
		return true;
	overflow(s);
	return false;
}

/* ---- queueing ---- */

bool session_queue(struct session *s, const void *packets, size_t len)
{
	if (!admit(s, len, len))
		return false;
	session_queue_add(s, (struct slice){packets, len});
	return true;
}

bool session_queue_all(struct session *s, struct packets *from)
{
	if (!admit(s, from->own + from->lent, from->own))
		return false;
	for (size_t i = 0; i < from->n; i++)
		store_piece(s, &from->v[i]);
	packets_move(&s->queue, from, PACKETS_ALL);
	session_weigh(s);
	return true;
}

/* What is before and after the arguments of an event. */
static void put_event(struct session *s, struct sock *k, struct slice args, uint64_t offset,
	bool ack, struct str *before, struct str *after)
{
	str_adds(before, "42");
	if (strcmp(k->nsp, "/") != 0)
		str_addf(before, "%s,", k->nsp);
	if (ack)
		str_addu(before, k->next_ack++);
	str_addc(before, '[');
	str_add(before, args.p, args.len);
	if (k->has_offsets)
		str_addf(after, ",\"%s:%llu\"", s->hub->epoch, (unsigned long long)offset);
	str_addc(after, ']');
	s->sent_n++;
	figure_add(s->hub->figures, FIGURE_MESSAGES_SENT, 1);
}

bool session_emit(struct session *s, struct sock *k, struct slice args, uint64_t offset, bool ack)
{
	struct str packet = STR_INIT, after = STR_INIT;
	bool is_queued;

	put_event(s, k, args, offset, ack, &packet, &after);
	str_add(&packet, str_c(&after), after.len);
	is_queued = session_queue(s, packet.p, packet.len);
	if (is_queued)
		observe_sent(s, k, args);
	str_fini(&packet);
	str_fini(&after);
	return is_queued;
}

static void add_shared(
	struct session *s, struct sock *k, struct shared *args, uint64_t offset, struct slice topic)
{
	struct str before = STR_INIT, after = STR_INIT;

	put_event(s, k, (struct slice){"", 0}, offset, false, &before, &after);
	packets_add_shared(&s->queue, args, (struct slice){before.p, before.len},
		(struct slice){after.p, after.len}, topic);
	store_piece(s, &s->queue.v[s->queue.n - 1]);
	session_weigh(s);
	observe_sent(s, k, (struct slice){args->bytes, args->len});
	str_fini(&before);
	str_fini(&after);
}

bool session_emit_shared(struct session *s, struct sock *k, struct shared *args, uint64_t offset)
{
	if (!admit(s, args->len, args->refs ? 0 : args->len))
		return false;
	add_shared(s, k, args, offset, (struct slice){"", 0});
	return true;
}

bool session_emit_rows(
	struct session *s, struct sock *k, struct shared *args, uint64_t offset, struct slice topic)
{
	if (packets_drop_rows(&s->queue, topic)) {
		store_dropped_rows(s, topic);
		session_weigh(s);
	}
	if (s->queue.rows + args->len > WIRE_BODIES_MAX ||
		!session_queue_make_room(s, args->refs ? 0 : args->len)) {
		overflow(s);
		return false;
	}
	add_shared(s, k, args, offset, topic);
	return true;
}

/* ---- sending ---- */

/* What is in flight may be sent again and again, and only so much of what came meanwhile with it.
 */
static bool may_go(const struct session *s)
{
	size_t inflight = s->inflight.own + s->inflight.lent, queued = s->queue.own + s->queue.lent;

	return packets_is_empty(&s->inflight) ||
	       (inflight + queued <= 2 * (size_t)s->hub->cfg->socketio.queue_bytes &&
		       s->inflight.rows + s->queue.rows <= WIRE_BODIES_MAX);
}

/* How many packets there may be with those in flight. */
static uint32_t room(const struct session *s)
{
	uint32_t n = s->answer_packets ? packets_count(&s->inflight) : 0;

	if (!s->answer_packets)
		return PACKETS_ALL;
	return n < s->answer_packets ? s->answer_packets - n : 0;
}

struct body *session_take(struct session *s)
{
	uint32_t most = !packets_is_empty(&s->queue) && may_go(s) ? room(s) : 0;
	struct body *b;

	if (most > 0) {
		packets_move(&s->inflight, &s->queue, most);
		store_taken(s, most);
		session_weigh(s);
	}
	if (packets_is_empty(&s->inflight))
		return NULL;
	b = body_new(WIRE_SOCKET, s->hub->epoch);
	packets_render(&s->inflight, b->buf);
	b->packets_n = s->answer_packets ? packets_count(&s->inflight) : 0;
	return b;
}

void session_arrived(struct session *s)
{
	packets_fini(&s->inflight);
	session_weigh(s);
}
