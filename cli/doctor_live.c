/* doctor: the running programs. */
#include "autoconf.h"

#include "doctor.h"

#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "event.h"
#include "event_name.h"
#include "json.h"
#include "poller.h"

#define POLLER_TIMEOUT_MS 3000
#define LAG_TIMEOUT_MS 3000
#define LOOK_EVERY_US 50000
#define HANGUPS 8
#define HANGUP_AFTER_MS 300
#define HANGUP_SEEN_MS 2000
#define HELD_LONG_MS 5000

static const struct db_stmt newest_id = {
	.name = "doctor.newest",
	.sql = "SELECT MAX(id) FROM ws_events",
	.cols_n = 1,
};
static const struct db_stmt log_now = {
	.name = "doctor.log",
	.sql = "SELECT epoch, (SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE"
	       " TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'ws_events') FROM ws_log",
	.cols_n = 2,
};
static const struct db_stmt lately_named = {
	.name = "doctor.names",
	.sql = "SELECT name, COUNT(*), MAX(id) FROM"
	       " (SELECT id, name FROM ws_events ORDER BY id DESC LIMIT 100000) AS lately"
	       " WHERE name <> '' GROUP BY name ORDER BY MAX(id) DESC LIMIT 1000",
	.cols_n = 3,
};
const struct db_set doctor_live_sql = {
	.name = "doctor_live",
	.stmts = (const struct db_stmt *const[]){&newest_id, &log_now, &lately_named, NULL},
	.is_lazy = true,
};

/* What the poller says of itself now; NULL with why set. */
static struct json_object *doctor_live_ask(const struct doctor *d, struct str *why)
{
	static const struct str none = STR_INIT;
	struct str json = STR_INIT;
	struct json_object *o = NULL;
	struct poller *p;
	const char *bad;
	size_t at;

	if (poller_open(d->cfg->poller.socket, POLLER_TIMEOUT_MS, &p, why) == POLLER_OPEN &&
		poller_ask(p, "status", 0, &none, &json, why))
		o = json_parse_own(str_c(&json), json.len, &bad, &at);
	poller_close(p);
	str_fini(&json);
	return o;
}

static uint64_t doctor_live_number(struct json_object *o, const char *key)
{
	return json_object_get_uint64(json_get(o, key));
}

static bool is_there(const struct doctor *d, struct finding *f)
{
	if (!d->poller)
		finding_skip(f, "the poller was not reached");
	return d->poller;
}

/* Its connections without ours. */
unsigned doctor_fcgi_processes(const struct doctor *d)
{
	uint64_t n = doctor_live_number(d->poller, "connections");

	return n > 0 && n < UINT32_MAX ? (unsigned)n - 1 : 0;
}

void check_poller(struct doctor *d, struct finding *f)
{
	struct str why = STR_INIT;
	const char *version;

	d->poller = doctor_live_ask(d, &why);
	version = json_get_str(d->poller, "version");
	if (!d->poller)
		finding_bad(f, VERDICT_FAIL,
			"start cmdb-poller (systemctl start cmdb-poller) and look at its log", "%s",
			str_c(&why));
	else if (doctor_live_number(json_get(d->poller, "sessions"), "journal_set_aside"))
		finding_bad(f, VERDICT_WARN,
			"keep the file for a report, delete it, and restart cmdb-poller",
			"it could not read what sessions there were before it began, and set that "
			"aside as %s.sessions.bad",
			d->cfg->poller.socket);
	else if (version && strcmp(version, PACKAGE_VERSION))
		finding_bad(f, VERDICT_WARN, "restart cmdb-poller after an upgrade",
			"it is version %s, cmdbctl is " PACKAGE_VERSION, version);
	else
		finding_ok(f, "version %s, node %llu, up for %llu s", version ? version : "?",
			(unsigned long long)doctor_live_number(d->poller, "node_id"),
			(unsigned long long)doctor_live_number(d->poller, "uptime_s"));
	str_fini(&why);
}

void check_source(struct doctor *d, struct finding *f)
{
	struct json_object *binlog;
	const char *active, *state, *reason;

	if (!is_there(d, f))
		return;
	active = json_get_str(d->poller, "active_source");
	binlog = json_get(json_get(d->poller, "sources"), "binlog");
	state = json_get_str(binlog, "state");
	reason = json_get_str(binlog, "reason");
	if (active && !strcmp(active, "binlog"))
		finding_ok(f, "the binlog");
	else if (!d->cfg->poller.binlog)
		finding_ok(f, "%s; poller.binlog is off", active ? active : "?");
	else
		finding_bad(f, VERDICT_WARN,
			"see the checks of the binlog above, and the poller's log",
			"%s; the binlog is %s%s%s%s: events arrive later than they could",
			active ? active : "?", state ? state : "not followed", reason ? " (" : "",
			reason ? reason : "", reason ? ")" : "");
}

/* Locks are seen only where they are taken: elsewhere a slow transaction's events are given up. */
void check_writer(struct doctor *d, struct finding *f)
{
	struct json_object *writer;
	const char *reason;

	if (!is_there(d, f))
		return;
	writer = json_get(d->poller, "writer");
	reason = json_get_str(writer, "reason");
	if (reason)
		finding_bad(f, VERDICT_FAIL,
			"[events] db_host or db_socket = the address of the server through which "
			"events are written, which moves with it; then restart cmdb-poller",
			"%s: events can be lost", reason);
	else
		finding_ok(f, "the poller works where events are written");
}

/* What the poller says of itself, anew. */
static void ask_again(struct doctor *d)
{
	struct str why = STR_INIT;
	struct json_object *now;

	usleep(LOOK_EVERY_US);
	now = doctor_live_ask(d, &why);
	if (now) {
		json_object_put(d->poller);
		d->poller = now;
	}
	str_fini(&why);
}

/* Is what the poller follows what the database has? false also when the database does not say. */
static bool is_its_log(struct doctor *d)
{
	const struct db_val *row = NULL;
	const char *epoch = json_get_str(d->poller, "epoch");
	uint64_t next;

	if (db_one(d->db, &log_now, NULL, 0, &row) != ERR_OK || !row || !epoch)
		return false;
	next = dbv_u(&row[1]);
	return !strcmp(dbv_text(&row[0]), epoch) &&
	       (!next || next > doctor_live_number(d->poller, "newest_seen"));
}

/* A table that was replaced (a dump, TRUNCATE) is another log, and has to have another epoch. */
void check_log(struct doctor *d, struct finding *f)
{
	int64_t until_ms = clock_ms() + LAG_TIMEOUT_MS;
	const char *why;

	if (!is_there(d, f))
		return;
	if (!d->db) {
		finding_skip(f, "the database was not reached");
		return;
	}
	while (!is_its_log(d) && clock_ms() < until_ms)
		ask_again(d);
	why = json_get_str(d->poller, "epoch_reason");
	if (!is_its_log(d))
		finding_bad(f, VERDICT_FAIL,
			"cmdbctl migrate --grants, so that it may begin a new epoch; look at the "
			"poller's log, and at [events] if it follows another server",
			"the database's event log is not the one that the poller follows");
	else if (why && *why)
		finding_ok(f, "the poller follows it; it began a new epoch: %s", why);
	else
		finding_ok(f, "the poller follows it");
}

/* Everything committed by now must soon be released; what holds it up is an open transaction. */
void check_lag(struct doctor *d, struct finding *f)
{
	int64_t until_ms = clock_ms() + LAG_TIMEOUT_MS, from_ms = clock_ms();
	const struct db_val *row = NULL;
	uint64_t newest, tail;

	if (!is_there(d, f))
		return;
	if (!d->db || db_one(d->db, &newest_id, NULL, 0, &row) != ERR_OK || !row) {
		finding_skip(f, "the database was not reached");
		return;
	}
	newest = dbv_u(&row[0]);
	while ((tail = doctor_live_number(d->poller, "tail")) < newest && clock_ms() < until_ms)
		ask_again(d);
	if (tail < newest)
		finding_bad(f, VERDICT_WARN,
			"look for a transaction that stays open: SHOW PROCESSLIST, "
			"or information_schema.INNODB_TRX",
			"event %llu is committed, the poller is still at %llu after %d ms "
			"(a gap is %llu ms old)",
			(unsigned long long)newest, (unsigned long long)tail, LAG_TIMEOUT_MS,
			(unsigned long long)doctor_live_number(
				json_get(d->poller, "gaps"), "oldest_ms"));
	else
		finding_ok(f, "at event %llu within %lld ms", (unsigned long long)tail,
			(long long)(clock_ms() - from_ms));
}

/* Whoever INSERTs gives events names, and is told of bad ones nowhere else. */
void check_event_names(struct doctor *d, struct finding *f)
{
	unsigned long long bad_n = 0, last_id = 0;
	struct str last = STR_INIT;
	const struct db_val *row;

	if (!d->db || db_query(d->db, &lately_named, NULL, 0) != ERR_OK) {
		finding_skip(f, "the database was not reached");
		return;
	}
	while ((row = db_fetch(d->db))) {
		if (!event_is_named_badly(&row[0]))
			continue;
		if (bad_n == 0) {
			event_add_text(&last, &row[0]);
			last_id = dbv_u(&row[2]);
		}
		bad_n += dbv_u(&row[1]);
	}
	db_done(d->db);
	if (bad_n)
		finding_bad(f, VERDICT_WARN,
			"have whoever INSERTs them into ws_events give another name: none of "
			"Socket.IO's own, no control characters",
			"%llu of the last events have a name that none may have, the last is %llu "
			"with \"%s\"; sockets get them as \"" EVENT_NAME_SAFE "\"",
			bad_n, last_id, str_c(&last));
	else
		finding_ok(f, "clients can take those of the last events");
	str_fini(&last);
}

/* GET path without a key; false with a finding if there is no answer or not 200. */
static bool get(struct doctor *d, const char *path, const char *cure, struct rest_answer *a,
	struct finding *f)
{
	struct str why = STR_INIT;
	bool is_good;

	if (!d->nobody)
		d->nobody = rest_new(d->cfg->cli.url, NULL, NULL);
	if (!rest_call(d->nobody, "GET", path, NULL, REST_TIMEOUT_MS, a, &why)) {
		finding_bad(f, VERDICT_FAIL, cure, "%s", str_c(&why));
		str_fini(&why);
		return false;
	}
	is_good = a->status == 200;
	if (!is_good) {
		finding_bad(
			f, VERDICT_FAIL, cure, "%s%s answers %d", d->cfg->cli.url, path, a->status);
		rest_answer_fini(a);
	}
	return is_good;
}

void check_web(struct doctor *d, struct finding *f)
{
	struct rest_answer a;

	if (!get(d, "/healthz",
		    "start the web server and cmdb-fcgi; have /healthz, /events, /api/ "
		    "and /metrics handed to cmdb-fcgi; look at [cli] url",
		    &a, f))
		return;
	rest_answer_fini(&a);
	finding_ok(f, "%s/healthz answers", d->cfg->cli.url);
}

/* What /api/ws/health says, also when that is no. */
void check_ready(struct doctor *d, struct finding *f)
{
	struct str why = STR_INIT;
	struct rest_answer a;
	struct json_object *data;
	const char *poller, *writes;

	if (!d->nobody)
		d->nobody = rest_new(d->cfg->cli.url, NULL, NULL);
	if (!rest_call(d->nobody, "GET", "/api/ws/health", NULL, REST_TIMEOUT_MS, &a, &why)) {
		finding_bad(
			f, VERDICT_FAIL, "start the web server and cmdb-fcgi", "%s", str_c(&why));
		str_fini(&why);
		return;
	}
	data = rest_data(&a);
	poller = json_get_str(data, "poller");
	writes = json_get_str(data, "writes");
	if (!json_get(data, "healthy"))
		finding_bad(f, VERDICT_FAIL, "have /api/ handed to cmdb-fcgi, and look at its log",
			"%s/api/ws/health answers %d", d->cfg->cli.url, a.status);
	else if (json_object_get_boolean(json_get(data, "healthy")))
		finding_ok(f, "ready");
	else if (writes && strcmp(writes, "ok"))
		finding_bad(f, VERDICT_FAIL,
			"see the checks of the database above, and \"writes:\" in the log of "
			"cmdb-fcgi, which has the reason",
			"its writes to the database are %s", writes);
	else if (poller && strcmp(poller, "ok"))
		finding_bad(f, VERDICT_FAIL,
			"run cmdb-fcgi with the poller's group, and with its runtime directory "
			"writable (ReadWritePaths= in its unit); see cmdb-poller's log",
			"it does not see %s.page, or the poller does not follow the event log",
			d->cfg->poller.socket);
	else
		finding_bad(f, VERDICT_WARN,
			"raise socketio.max_sessions, poller.max_clients or fcgi.max_parked and "
			"the "
			"limit of open files, whichever is short, or start more cmdb-fcgi",
			"nearly all places are taken: %llu of %llu sessions, %llu of %llu clients, "
			"%llu of %llu requests of a process",
			(unsigned long long)doctor_live_number(data, "connections"),
			(unsigned long long)doctor_live_number(data, "maxConnections"),
			(unsigned long long)doctor_live_number(data, "clients"),
			(unsigned long long)doctor_live_number(data, "maxClients"),
			(unsigned long long)doctor_live_number(data, "parked"),
			(unsigned long long)doctor_live_number(data, "maxParked"));
	rest_answer_fini(&a);
	str_fini(&why);
}

/* Opens blocked requests and hangs up on them; returns how many were really blocked. Each comes
 * some time after another one on its connection: lighttpd 1.4.69 does not watch a connection for
 * the client's end when the whole request was there as soon as it looked for one. */
static unsigned hang_up(struct doctor *d)
{
	unsigned blocked = 0;

	for (int i = 0; i < HANGUPS; i++) {
		struct str why = STR_INIT;
		struct rest_answer a;

		if (rest_call(d->rest, "GET", "/healthz", NULL, REST_TIMEOUT_MS, &a, &why))
			rest_answer_fini(&a);
		usleep(LOOK_EVERY_US);
		if (rest_call(
			    d->rest, "GET", "/events?timeout=55", NULL, HANGUP_AFTER_MS, &a, &why))
			rest_answer_fini(&a);
		else if (a.is_timeout)
			blocked++;
		str_fini(&why);
	}
	return blocked;
}

/* Whoever hangs up must not keep a place. The poller knows how many wait: others come and go
 * meanwhile, so it is enough that most of ours have gone. */
void check_hangup(struct doctor *d, struct finding *f)
{
	struct str why = STR_INIT;
	struct json_object *now;
	uint64_t before, after;
	unsigned blocked;
	int64_t until_ms;

	if (!d->rest || !is_there(d, f)) {
		if (!d->rest)
			finding_skip(f, "there is no API key to ask with");
		return;
	}
	before = after = doctor_live_number(d->poller, "waiters");
	blocked = hang_up(d);
	if (blocked < HANGUPS / 2) {
		finding_skip(f, "requests to /events do not block: the API key may not read, or "
				"events come all the time");
		return;
	}
	until_ms = clock_ms() + HANGUP_SEEN_MS;
	do {
		now = doctor_live_ask(d, &why);
		if (now)
			after = doctor_live_number(now, "waiters");
		json_object_put(now);
	} while (after >= before + blocked / 2 && clock_ms() < until_ms && !usleep(LOOK_EVERY_US));
	if (after >= before + blocked / 2)
		/* Not all web servers can; the places are free at the timeout. */
		finding_bad(f, VERDICT_WARN,
			"lighttpd: \"tcp-fin-propagate\" => \"enable\" in fastcgi.server; "
			"nginx: fastcgi_ignore_client_abort off; Apache and Caddy have nothing "
			"like it, there a short timeout of requests frees places sooner",
			"%u clients have hung up, %llu still wait after %d ms", blocked,
			(unsigned long long)(after - before), HANGUP_SEEN_MS);
	else
		finding_ok(f, "whoever hangs up is gone within %d ms", HANGUP_SEEN_MS);
	str_fini(&why);
}
