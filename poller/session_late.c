#include "session_late.h"

#include <stdlib.h>

#include "group.h"
#include "hub.h"
#include "mem.h"
#include "packets.h"
#include "record.h"
#include "session.h"
#include "session_poll.h"
#include "session_queue.h"
#include "session_show.h"
#include "session_store.h"
#include "sessions.h"
#include "shared.h"
#include "view.h"
#include "wait.h"

/* One that is held gets them by the fan-out, whole, unless its client may not take so many. */
static bool is_served(const struct session *s, size_t n)
{
	return s->poll && s->poll->state == WAITER_PARKED &&
	       (!s->answer_packets || n <= s->answer_packets);
}

/* Has it passed the event, in the views that are paced, or in the others? */
static bool has_passed(const struct session *s, const struct record *r, bool is_paced)
{
	const struct waiter *w = s->poll;
	bool is_on_its_way = w && w->state != WAITER_PARKED;
	uint64_t at = is_on_its_way ? wait_seen(w) : session_cursor(s);

	if (!is_paced)
		return r->item.id <= at;
	if (is_on_its_way && w->start.is_open)
		return r->item.id <= w->cursor;
	return r->item.id <= (w ? wait_shown(w, at) : s->pace.shown);
}

static bool queue_one(
	struct session *s, struct sock *k, const struct record *r, struct shared *args)
{
	struct hits h = {0};
	bool ok = true;

	group_match(s->group, r, &h);
	for (size_t i = 0; ok && i < h.n; i++) {
		const struct hit *hit = &h.v[i];

		if (!has_passed(s, r, hit_is_paced(hit)))
			continue;
		if (hit->row)
			ok = session_emit_hit(s, k, &h, hit);
		else if (!session_skips(s, r, false))
			ok = session_emit_shared(s, k, args, r->item.id);
	}
	hits_fini(&h);
	return ok;
}

/* To any other what its cursor has passed is queued. */
static void queue_late(struct session *s, struct sock *k, struct record *const *records,
	struct shared *const *args, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!queue_one(s, k, records[i], args[i]))
			return;
	if (!packets_is_empty(&s->queue))
		session_flush(s);
}

/* Should the answer of the fan-out be lost, it goes on from before them. */
static void rewind_acked(struct session *s, struct record *const *records, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!group_wants(s->group, records[i]))
			continue;
		if (s->acked >= records[i]->item.id)
			s->acked = records[i]->item.id - 1;
		if (s->pace.acked > s->acked)
			s->pace.acked = s->acked;
		return;
	}
}

/* Whose client is away: what it wants is not known any more, so it is not to take itself for
 * recovered. */
static void spoil(struct session *s, const struct sock *k, struct record *const *records, size_t n)
{
	for (size_t i = 0; i < n && !s->has_lost; i++) {
		if (record_is_internal(records[i]) || records[i]->tenant_id != sock_tenant(k) ||
			records[i]->item.id > s->cursor)
			continue;
		s->has_lost = true;
		store_session(s);
	}
}

/* What is queued of one event is kept once for all. */
static struct shared *share(struct hub *hub, const struct record *r)
{
	struct str args = STR_INIT;
	struct shared *b;

	record_socket_args(r, &args);
	b = shared_get(&hub->pool, (struct slice){args.p, args.len});
	str_fini(&args);
	return b;
}

/* Room for one may cost another its place in any list, so the walk is by number. */
void sessions_late(struct hub *hub, struct record *const *records, size_t n)
{
	static const struct slice main_nsp = {"/", 1};
	struct shared **args = xcalloc(n, sizeof(struct shared *));
	struct sessions *ss = hub->sessions;
	struct session *s;
	uint32_t num = 0;

	for (size_t i = 0; i < n; i++)
		args[i] = share(hub, records[i]);
	while ((s = sessions_next(ss, &num))) {
		struct sock *k = session_sock(s, main_nsp);

		if (!k || s->state != SESSION_JOINED)
			continue;
		if (is_served(s, n))
			rewind_acked(s, records, n);
		else
			queue_late(s, k, records, args, n);
	}
	for (size_t i = 0; i < n; i++)
		shared_return(args[i]);
	free(args);
	for (int i = SESSION_CLOSING; i <= SESSION_GONE; i++) {
		TAILQ_FOREACH (s, &ss->lists[i], entry) {
			struct sock *k = session_sock(s, main_nsp);

			if (k)
				spoil(s, k, records, n);
		}
	}
}
