#include "late.h"

#include <stdlib.h>
#include <string.h>

#include "group.h"
#include "hub.h"
#include "mem.h"
#include "packets.h"
#include "record.h"
#include "ring.h"
#include "session.h"
#include "session_poll.h"
#include "session_queue.h"
#include "session_store.h"
#include "session_who.h"
#include "sessions.h"
#include "shared.h"
#include "wait.h"

/* ---- what is remembered ---- */

static void drop_first(struct late *late)
{
	late->bytes -= record_size(late->events[0].record);
	record_free(late->events[0].record);
	late->n--;
	memmove(late->events, late->events + 1, late->n * sizeof(*late->events));
	if (late->fresh_n > late->n)
		late->fresh_n = late->n;
}

static void remember(struct hub *hub, const struct record *r)
{
	struct late *late = &hub->late;

	if (!late->events)
		late->events = xcalloc(LATE_MAX, sizeof(*late->events));
	while (late->n && (late->n == LATE_MAX || late->bytes + record_size(r) > LATE_BYTES_MAX))
		drop_first(late);
	late->events[late->n++] = (struct late_event){.record = record_dup(r), .after = hub->tail};
	late->events[late->n - 1].record->is_again = true;
	late->bytes += record_size(r);
	late->fresh_n++;
}

void late_fini(struct late *late)
{
	while (late->n)
		drop_first(late);
	free(late->events);
	*late = (struct late){0};
}

bool late_missed(const struct hub *hub, const struct group *g, uint64_t since)
{
	for (size_t i = hub->late.n; since < hub->tail && i-- > 0;) {
		const struct late_event *e = &hub->late.events[i];

		if (e->record->item.id <= since && since <= e->after && group_wants(g, e->record))
			return true;
	}
	return false;
}

/* ---- sessions ---- */

/* One that is held gets them by the fan-out, whole, unless its client may not take so many. */
static bool is_served(const struct session *s, size_t n)
{
	return s->poll && s->poll->state == WAITER_PARKED &&
	       (!s->answer_packets || n <= s->answer_packets);
}

/* To any other what its cursor has passed is queued. */
static void queue_late(struct session *s, struct sock *k, struct record *const *records,
	struct shared *const *args, size_t n)
{
	bool is_on_its_way = s->poll && s->poll->state != WAITER_PARKED;
	uint64_t at = is_on_its_way ? s->poll->cursor : session_cursor(s);

	for (size_t i = 0; i < n; i++)
		if (records[i]->item.id <= at && group_wants(s->group, records[i]) &&
			!session_skips(s, records[i]) &&
			!session_emit_shared(s, k, args[i], records[i]->item.id))
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
static void tell_sessions(struct hub *hub, struct record *const *records, size_t n)
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

/* ---- all ---- */

void late_came(struct hub *hub, struct record **records, size_t n)
{
	groups_forget(hub);
	for (size_t i = 0; i < n; i++) {
		remember(hub, records[i]);
		wait_came_late(hub, records[i]);
	}
	tell_sessions(hub, records, n);
	fanout(hub, records, n, hub->tail, true);
	for (size_t i = 0; i < n; i++)
		ring_insert(&hub->ring, records[i]);
}

void late_fanout(struct hub *hub, struct record *const *records, size_t n)
{
	struct late *late = &hub->late;
	size_t fresh = late->fresh_n;
	struct record **all;

	if (!fresh) {
		fanout(hub, records, n, hub->tail, false);
		return;
	}
	all = xcalloc(fresh + n, sizeof(*all));
	for (size_t i = 0; i < fresh; i++)
		all[i] = late->events[late->n - fresh + i].record;
	memcpy(all + fresh, records, n * sizeof(*all));
	late->fresh_n = 0;
	fanout(hub, all, fresh + n, hub->tail, false);
	free(all);
}
