#include "autoconf.h"
#include "hub.h"
#include "status.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "binlog.h"
#include "clock.h"
#include "figure.h"
#include "group.h"
#include "journal.h"
#include "json.h"
#include "mem.h"
#include "saver.h"
#include "session.h"
#include "sessions.h"
#include "shm.h"
#include "tail.h"

/* Of each what enum session_end says; of each source, enum source. */
static_assert(
	FIGURE_ENDED_TAKEN_OVER - FIGURE_ENDED == END_TAKEN_OVER && END_TAKEN_OVER == END_N - 1,
	"each end of a session has its row");
static_assert(FIGURE_WAKES_TIMER - FIGURE_WAKES_BINLOG == SOURCE_TIMER, "each source has its row");

/* ---- what is looked up ---- */

static void look_at_log(struct hub *hub)
{
	const struct tail_stats *st = tail_stats(hub->tail_thread);
	int64_t now = clock_ms(), gap_since = atomic_load(&st->gap_since_ms);
	_Atomic uint64_t *f = hub->figures;

	figure_set(f, FIGURE_TAIL, hub->tail);
	figure_set(f, FIGURE_FLOOR, hub->floors.of[RETENTION_LASTING]);
	figure_set(f, FIGURE_BRIEF_FLOOR, hub->floors.of[RETENTION_BRIEF]);
	figure_set(f, FIGURE_NEWEST_SEEN, atomic_load(&st->seen));
	figure_set(f, FIGURE_READ_AGE_MS, (uint64_t)(now - atomic_load(&st->read_ok_ms)));
	figure_set(f, FIGURE_BINLOG_UP, binlog_is_streaming(hub->binlog));
	figure_set(f, FIGURE_GAPS_HELD, gap_since != 0);
	figure_set(f, FIGURE_GAP_AGE_MS, gap_since ? (uint64_t)(now - gap_since) : 0);
	figure_set(f, FIGURE_RING_EVENTS, hub->ring.n);
	figure_set(f, FIGURE_RING_BYTES, hub->ring.bytes);
	figure_set(f, FIGURE_RING_COVERED_FROM, hub->ring.covered);
}

static void look_at_clients(struct hub *hub)
{
	const struct sessions *ss = hub->sessions;
	_Atomic uint64_t *f = hub->figures;

	figure_set(f, FIGURE_CONNECTIONS, hub->conns_n);
	figure_set(f, FIGURE_WAITERS, hub->waiters_n);
	figure_set(f, FIGURE_CLIENTS, clients_n(&hub->clients));
	figure_set(f, FIGURE_GROUPS, HASH_COUNT(hub->groups));
	figure_set(f, FIGURE_PAGES_KEPT, hub->pages_kept);
	figure_set(f, FIGURE_REPLAYED_PAGES,
		figure_get(f, FIGURE_PAGE_READS) + figure_get(f, FIGURE_PAGE_HITS));
	figure_set(f, FIGURE_SESSIONS, sessions_live_n(ss));
	figure_set(f, FIGURE_SESSIONS_OPEN, ss->n[SESSION_OPEN]);
	figure_set(f, FIGURE_SESSIONS_JOINED, ss->n[SESSION_JOINED]);
	figure_set(f, FIGURE_SESSIONS_CLOSING, ss->n[SESSION_CLOSING]);
	figure_set(f, FIGURE_SESSIONS_RECOVERABLE, ss->n[SESSION_GONE]);
	figure_set(f, FIGURE_HELD_BYTES, ss->held_bytes + hub->pool.bytes);
	figure_set(f, FIGURE_JOURNAL_SET_ASIDE, ss->journal && journal_was_bad(ss->journal));
	figure_set(f, FIGURE_JOURNAL_BYTES, ss->journal ? journal_size(ss->journal) : 0);
}

static void look_at_rows(struct hub *hub)
{
	const struct saver_stats *st = saver_stats(hub->sessions->saver);
	_Atomic uint64_t *f = hub->figures;

	figure_set(f, FIGURE_ROWS_SAVED, atomic_load(&st->written));
	figure_set(f, FIGURE_ROWS_DROPPED, atomic_load(&st->dropped));
	figure_set(f, FIGURE_ROWS_REFUSED, atomic_load(&st->refused));
	figure_set(f, FIGURE_ROWS_WAITING, atomic_load(&st->pending));
}

void status_publish(struct hub *hub)
{
	look_at_log(hub);
	look_at_clients(hub);
	look_at_rows(hub);
	for (size_t i = 0; i < FIGURE_N; i++)
		figure_set(hub->shm->figures, i, figure_get(hub->figures, i));
}

/* ---- status ---- */

/* Puts v where path says, with the objects it names; takes v. */
static void status_put(struct json_object *in, const char *path, struct json_object *v)
{
	const char *dot;

	while ((dot = strchr(path, '.'))) {
		char *name = xstrndup(path, (size_t)(dot - path));
		struct json_object *next = json_get(in, name);

		if (!next) {
			next = json_object_new_object();
			json_object_object_add(in, name, next);
		}
		free(name);
		in = next;
		path = dot + 1;
	}
	json_object_object_add(in, path, v);
}

static void status_put_text(struct json_object *o, const char *path, const char *text)
{
	status_put(o, path, json_object_new_string(text));
}

static void put_number(struct json_object *o, const char *path, uint64_t v)
{
	status_put(o, path, json_object_new_uint64(v));
}

/* An object as another module renders it. */
static void put_rendered(struct json_object *o, const char *path, struct str *json)
{
	const char *why;
	size_t at;

	status_put(o, path, json_parse_own(str_c(json), json->len, &why, &at));
	str_fini(json);
}

static void put_sources(struct hub *hub, struct json_object *o)
{
	bool is_pushed = binlog_is_streaming(hub->binlog), is_rung = hub->cfg->poller.doorbell;
	struct str binlog = STR_INIT;

	status_put_text(o, "active_source",
		is_pushed ? "binlog"
		: is_rung ? "doorbell+timer"
			  : "timer");
	binlog_status(hub->binlog, &binlog);
	put_rendered(o, "sources.binlog", &binlog);
	status_put_text(o, "sources.doorbell.state", is_rung ? "on" : "off");
	status_put_text(o, "sources.timer.state", "on");
	put_number(o, "sources.timer.interval_ms",
		(uint64_t)(is_pushed ? hub->cfg->poller.safety_ms : hub->cfg->poller.timer_ms));
}

void status_render(struct hub *hub, struct str *s)
{
	const struct tail_stats *st = tail_stats(hub->tail_thread);
	struct json_object *o = json_object_new_object();
	struct str writer = STR_INIT;

	look_at_log(hub);
	look_at_clients(hub);
	look_at_rows(hub);
	status_put_text(o, "version", PACKAGE_VERSION);
	put_number(o, "node_id", (uint64_t)hub->cfg->poller.node_id);
	put_number(o, "pid", (uint64_t)getpid());
	put_number(o, "uptime_s", (uint64_t)(clock_ms() - hub->started_ms) / 1000);
	status_put(o, "ready", json_object_new_boolean(hub->is_ready));
	status_put_text(o, "epoch", hub->epoch);
	if (hub->epoch_why[0])
		status_put_text(o, "epoch_reason", hub->epoch_why);
	status_put_text(o, "database.state", atomic_load(&st->is_db_up) ? "up" : "down");
	tail_add_writer(hub->tail_thread, &writer);
	put_rendered(o, "writer", &writer);
	put_sources(hub, o);
	for (size_t i = 0; i < FIGURE_N; i++)
		if (figure_rows[i].path)
			put_number(o, figure_rows[i].path, figure_get(hub->figures, i));
	json_print(s, o);
	json_object_put(o);
}
