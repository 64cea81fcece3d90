#include "autoconf.h"
#include "status.h"

#include <unistd.h>

#include "binlog.h"
#include "clock.h"
#include "group.h"
#include "hub.h"
#include "journal.h"
#include "session.h"
#include "sessions.h"
#include "shm.h"
#include "tail.h"

static void add_number(struct str *s, const char *key, uint64_t v)
{
	if (s->p[s->len - 1] != '{')
		str_addc(s, ',');
	str_addf(s, "\"%s\":%llu", key, (unsigned long long)v);
}

static void add_sources(struct hub *hub, struct str *s, const struct tail_stats *st)
{
	bool is_pushed = binlog_is_streaming(hub->binlog);

	str_addf(s, ",\"active_source\":\"%s\",\"sources\":{\"binlog\":",
		is_pushed                   ? "binlog"
		: hub->cfg->poller.doorbell ? "doorbell+timer"
					    : "timer");
	binlog_status(hub->binlog, s);
	s->len--; /* its closing brace: one more member */
	add_number(s, "wakes", atomic_load(&st->wakes[SOURCE_BINLOG]));
	str_addf(s, "},\"doorbell\":{\"state\":\"%s\"", hub->cfg->poller.doorbell ? "on" : "off");
	add_number(s, "wakes", atomic_load(&st->wakes[SOURCE_DOORBELL]));
	str_adds(s, "},\"timer\":{\"state\":\"on\"");
	add_number(s, "interval_ms",
		(uint64_t)(is_pushed ? hub->cfg->poller.safety_ms : hub->cfg->poller.timer_ms));
	add_number(s, "wakes", atomic_load(&st->wakes[SOURCE_TIMER]));
	str_adds(s, "}}");
}

static void add_gaps(struct str *s, const struct tail_stats *st)
{
	int64_t since = atomic_load(&st->gap_since_ms);

	str_adds(s, ",\"gaps\":{");
	add_number(s, "held", since ? 1 : 0);
	add_number(s, "oldest_ms", since ? (uint64_t)(clock_ms() - since) : 0);
	add_number(s, "events_behind", atomic_load(&st->pending));
	add_number(s, "dead_ids", atomic_load(&st->dead));
	add_number(s, "given_up_ids", atomic_load(&st->given_up));
	add_number(s, "late_events", atomic_load(&st->late));
	add_number(s, "probes", atomic_load(&st->probes));
	str_addc(s, '}');
}

static void add_clients(struct hub *hub, struct str *s)
{
	const struct hub_stats *h = &hub->stats;

	add_number(s, "connections", hub->conns_n);
	add_number(s, "waiters", hub->waiters_n);
	add_number(s, "groups", HASH_COUNT(hub->groups));
	str_adds(s, ",\"answers\":{");
	add_number(s, "total", h->answers);
	add_number(s, "events", h->delivered_events);
	add_number(s, "bodies_rendered", h->bodies);
	add_number(s, "timeouts", h->timeouts);
	add_number(s, "cancelled", h->cancels);
	str_adds(s, "},\"resets\":{");
	add_number(s, "expired", h->resets_expired);
	add_number(s, "epoch", h->resets_epoch);
	add_number(s, "ahead", h->resets_ahead);
	str_adds(s, "},\"catch_up\":{");
	add_number(s, "page_reads", h->page_reads);
	add_number(s, "page_hits", h->page_hits);
	add_number(s, "pages_kept", hub->pages_kept);
	str_adds(s, "},\"errors\":{");
	add_number(s, "protocol", h->protocol_errors);
	add_number(s, "slow_connections_dropped", h->conns_dropped);
	str_addc(s, '}');
}

static void add_ends(struct str *s, const struct session_stats *st)
{
	str_adds(s, ",\"ended\":{");
	for (int i = 0; i < END_N; i++) {
		if (i)
			str_addc(s, ',');
		str_add_json(s, session_end_name((enum session_end)i));
		str_addf(s, ":%llu", (unsigned long long)st->closed[i]);
	}
	str_addc(s, '}');
}

static void add_sessions(const struct sessions *ss, struct str *s)
{
	const struct session_stats *st = &ss->stats;

	str_adds(s, ",\"sessions\":{");
	add_number(s, "open", ss->n[SESSION_OPEN]);
	add_number(s, "joined", ss->n[SESSION_JOINED]);
	add_number(s, "closing", ss->n[SESSION_CLOSING]);
	add_number(s, "recoverable", ss->n[SESSION_GONE]);
	add_number(s, "opened", st->opened);
	add_number(s, "recovered", st->recovered);
	add_number(s, "adopted", st->adopted);
	add_number(s, "refused", st->refused);
	add_number(s, "evicted", st->evicted);
	add_ends(s, st);
	add_number(s, "messages_received", st->heard);
	add_number(s, "messages_sent", st->sent);
	add_number(s, "acknowledged", st->acks);
	add_number(s, "rate_limited", st->limited);
	add_number(s, "subscriptions", st->subscriptions);
	add_number(s, "answers_resent", st->resent);
	add_number(s, "queue_overflows", st->overflows);
	add_number(s, "two_polls_at_once", st->dup_polls);
	add_number(s, "held_bytes", ss->held_bytes + ss->hub->pool.bytes);
	add_number(s, "journal_set_aside", ss->journal && journal_was_bad(ss->journal));
	add_number(s, "journal_bytes", ss->journal ? journal_size(ss->journal) : 0);
	str_addc(s, '}');
}

void status_render(struct hub *hub, struct str *s)
{
	const struct tail_stats *st = tail_stats(hub->tail_thread);

	str_adds(s, "{\"version\":\"" PACKAGE_VERSION "\"");
	add_number(s, "node_id", (uint64_t)hub->cfg->poller.node_id);
	add_number(s, "pid", (uint64_t)getpid());
	add_number(s, "uptime_s", (uint64_t)(clock_ms() - hub->started_ms) / 1000);
	str_addf(s, ",\"ready\":%s,\"epoch\":\"%s\"", hub->is_ready ? "true" : "false", hub->epoch);
	add_number(s, "epoch_changes", atomic_load(&st->epoch_changes));
	if (hub->epoch_why[0]) {
		str_adds(s, ",\"epoch_reason\":");
		str_add_json(s, hub->epoch_why);
	}
	add_number(s, "tail", hub->tail);
	add_number(s, "floor", hub->floors.of[RETENTION_LASTING]);
	add_number(s, "brief_floor", hub->floors.of[RETENTION_BRIEF]);
	add_number(s, "newest_seen", atomic_load(&st->seen));
	add_number(s, "released", atomic_load(&st->released));
	add_number(s, "reads", atomic_load(&st->reads));
	add_number(s, "renamed_events", atomic_load(&st->renamed));
	str_addf(s, ",\"database\":{\"state\":\"%s\"", atomic_load(&st->is_db_up) ? "up" : "down");
	add_number(s, "read_ms_ago", (uint64_t)(clock_ms() - atomic_load(&st->read_ok_ms)));
	str_addc(s, '}');
	str_adds(s, ",\"writer\":");
	tail_add_writer(hub->tail_thread, s);
	add_sources(hub, s, st);
	add_gaps(s, st);
	str_adds(s, ",\"ring\":{");
	add_number(s, "events", hub->ring.n);
	add_number(s, "bytes", hub->ring.bytes);
	add_number(s, "covered_from", hub->ring.covered);
	str_addc(s, '}');
	add_clients(hub, s);
	add_sessions(hub->sessions, s);
	str_addc(s, '}');
}

void status_publish(struct hub *hub)
{
	const struct tail_stats *st = tail_stats(hub->tail_thread);
	const struct hub_stats *h = &hub->stats;
	const struct session_stats *ses = &hub->sessions->stats;
	int64_t now = clock_ms(), gap_since = atomic_load(&st->gap_since_ms);
	const uint64_t figures[SHM_FIGURE_N] = {
		[SHM_WAITERS] = hub->waiters_n,
		[SHM_EVENTS_RELEASED] = atomic_load(&st->released),
		[SHM_EVENTS_DELIVERED] = h->delivered_events,
		[SHM_READ_AGE_MS] = (uint64_t)(now - atomic_load(&st->read_ok_ms)),
		[SHM_GAP_AGE_MS] = gap_since ? (uint64_t)(now - gap_since) : 0,
		[SHM_EVENTS_HELD] = atomic_load(&st->pending),
		[SHM_DEAD_IDS] = atomic_load(&st->dead),
		[SHM_LATE_EVENTS] = atomic_load(&st->late),
		[SHM_RENAMED_EVENTS] = atomic_load(&st->renamed),
		[SHM_REPLAYED_PAGES] = h->page_reads + h->page_hits,
		[SHM_RESETS_EXPIRED] = h->resets_expired,
		[SHM_RESETS_EPOCH] = h->resets_epoch,
		[SHM_RESETS_AHEAD] = h->resets_ahead,
		[SHM_BINLOG_UP] = binlog_is_streaming(hub->binlog),
		[SHM_SESSIONS] = sessions_live_n(hub->sessions),
		[SHM_SESSIONS_OPENED] = ses->opened,
		[SHM_SESSIONS_RECOVERED] = ses->recovered,
		[SHM_SESSIONS_ADOPTED] = ses->adopted,
		[SHM_SESSIONS_REFUSED] = ses->refused,
		[SHM_PING_TIMEOUTS] = ses->closed[END_PING_TIMEOUT],
		[SHM_MESSAGES_SENT] = ses->sent,
		[SHM_MESSAGES_RECEIVED] = ses->heard,
		[SHM_MESSAGES_LIMITED] = ses->limited,
		[SHM_SUBSCRIPTIONS] = ses->subscriptions,
		[SHM_ANSWERS_RESENT] = ses->resent,
		[SHM_QUEUE_OVERFLOWS] = ses->overflows,
	};

	for (size_t i = 0; i < SHM_FIGURE_N; i++)
		atomic_store_explicit(&hub->shm->figure[i], figures[i], memory_order_relaxed);
}
