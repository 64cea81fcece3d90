#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "config_row.h"
#include "log.h"

#define KEY(section, key, type, ...)                                                    \
	{                                                                               \
#section, #key, type, offsetof(struct config, section.key), __VA_ARGS__ \
	}
#define DAY_S 86400
#define VALUE_MAX 170 /* bytes; with its key it must fit a line as long as inih takes (200) */

const struct config_row config_rows[] = {
	KEY(database, socket, TEXT, "/run/mysqld/mysqld.sock", 0, 107, "",
		"UNIX socket of MariaDB. Empty: host and port are used."),
	KEY(database, host, TEXT, "", 0, VALUE_MAX, "", "Host of MariaDB when socket is empty."),
	KEY(database, port, INT, "3306", 1, 65535, "", "TCP port of MariaDB."),
	KEY(database, name, TEXT, "cmdb", 1, 64, "", "Name of the database."),
	KEY(database, tls_ca, TEXT, "", 0, VALUE_MAX, "",
		"File of the CA that signed the server's certificate. Not empty: TLS is required."),
	KEY(database, connect_timeout_ms, INT, "2000", 1000, 60000, "ms",
		"How long connecting may take; rounded up to whole seconds by the client library."),
	KEY(database, io_timeout_ms, INT, "30000", 0, 600000, "ms",
		"How long one read or write may take. 0: no limit."),

	KEY(fcgi, db_user, TEXT, "cmdb_fcgi", 0, 128, "",
		"Database account of cmdb-fcgi. Empty: the user it runs as."),
	KEY(fcgi, db_password, SECRET, "", 0, 128, "",
		"Its password. Empty: the account logs in by unix_socket."),
	KEY(fcgi, workers, INT, "4", 1, 64, "threads",
		"Requests one process works on at a time, as many again that read rows and as many "
		"that change some, each with a database connection."),
	KEY(fcgi, event_workers, INT, "2", 1, 64, "threads",
		"Socket.IO requests with events one process works on at a time, and as many again "
		"that ask for rows, each with a database connection."),
	KEY(fcgi, max_parked, INT, "10000", 1, 1000000, "requests",
		"Long-polls one process holds; more are answered 503."),
	KEY(fcgi, request_timeout_ms, INT, "30000", 100, 3600000, "ms",
		"How long a request may take to arrive whole; a later one is answered 408."),
	KEY(fcgi, max_receiving, INT, "1024", 1, 1000000, "requests",
		"Requests that may be arriving at a time; past that the slowest is answered 503."),
	KEY(fcgi, receive_bytes, INT, "67108864", 1048576, 17179869184, "bytes",
		"Memory for requests that arrive or wait for a worker; past that the slowest is "
		"answered 503."),
	KEY(fcgi, keep_idle_s, INT, "90", 1, 86400, "s",
		"How long a connection that the web server keeps (FCGI_KEEP_CONN) may be idle; "
		"longer than the web server keeps it."),
	KEY(fcgi, db_idle_s, INT, "10", 1, 86400, "s",
		"How long a thread that has nothing to do keeps its database connection."),
	KEY(fcgi, process_per_request, CHOICE, "auto", 0, 0, "auto|on|off",
		"The web server starts a process for each request at a time (mod_fcgid, CGI): "
		"requests are held for short_hold_ms only. auto: for mod_fcgid, told by its "
		"socket."),
	KEY(fcgi, short_hold_ms, INT, "3000", 100, 55000, "ms",
		"How long a request is held then, whatever it asks for."),
	KEY(fcgi, max_body, INT, "1048576", 1024, 67108864, "bytes",
		"Largest request body; a larger one is answered 413."),
	KEY(fcgi, memory_bytes, INT, "268435456", 67108864, 17179869184, "bytes",
		"Bodies and rows one process keeps for Socket.IO requests that wait; who wants "
		"more is told to come later. As much, of events and of other answers, for "
		"clients that do not read; past it who has read nothing for longest is dropped."),
	KEY(fcgi, stop_timeout_ms, INT, "10000", 0, 600000, "ms",
		"How long running requests may go on after SIGTERM."),
	KEY(fcgi, cache, BOOL, "on", 0, 0, "",
		"Serve unchanged answers and identities from memory while the poller "
		"vouches for them."),

	KEY(poller, db_user, TEXT, "cmdb_poller", 0, 128, "",
		"Database account of cmdb-poller. Empty: the user it runs as."),
	KEY(poller, db_password, SECRET, "", 0, 128, "",
		"Its password. Empty: the account logs in by unix_socket."),
	KEY(poller, socket, TEXT, "/run/cmdb/poller.sock", 1, 100, "",
		"Where cmdb-poller listens. The page it shares is this path with .page added."),
	KEY(poller, node_id, INT, "1", 1, 65535, "",
		"Number of this host among those that use the database."),
	KEY(poller, server_id, INT, "0", 0, 4294967295, "",
		"Replica id for reading the binlog, unique among all servers and replicas. "
		"0: derived from node_id."),
	KEY(poller, timer_ms, INT, "50", 1, 10000, "ms",
		"How often to look for new events where there is no binlog to tell of them."),
	KEY(poller, safety_ms, INT, "1000", 50, 60000, "ms",
		"How often to look for new events although the binlog tells of them."),
	KEY(poller, grace_ms, INT, "50", 5, 10000, "ms",
		"Age at which a missing id that no transaction holds is given up."),
	KEY(poller, hold_limit_ms, INT, "60000", 1000, 3600000, "ms",
		"How long an open transaction may hold back the events after its own."),
	KEY(poller, ring_events, INT, "65536", 64, 16777216, "events",
		"Recent events kept in memory for replay."),
	KEY(poller, ring_bytes, INT, "67108864", 65536, 17179869184, "bytes",
		"Memory these events may take."),
	KEY(poller, expire_s, INT, "3600", 0, 86400, "s",
		"How often it removes what is over from the database, in small steps, one host for "
		"all: tokens, answers kept for Idempotency-Key and the like, as cmdbctl events "
		"prune does. 0: never."),
	KEY(poller, stats_s, INT, "5", 0, 3600, "s",
		"How often the figures of each tenant that is connected to this host are "
		"published, "
		"as system:stats. 0: never."),
	KEY(poller, max_clients, INT, "20000", 1, 1000000, "clients",
		"Clients a host holds, waiting requests and Socket.IO sessions together: no more "
		"than its web server bears. More are answered 503, a new session is refused."),
	KEY(poller, binlog, BOOL, "on", 0, 0, "",
		"Follow MariaDB's binlog where it is on and the account may."),
	KEY(poller, doorbell, BOOL, "on", 0, 0, "",
		"Take word from cmdb-fcgi when it has committed an event."),

	KEY(events, timeout_s, INT, "25", 0, 55, "s",
		"How long GET /events waits when the request does not say."),
	KEY(events, timeout_max_s, INT, "55", 0, 55, "s", "The longest wait of a request."),
	KEY(events, limit, INT, "500", 1, 10000, "events", "Most events in one answer."),
	KEY(events, sse_heartbeat_s, INT, "15", 1, 300, "s",
		"Pause after which a quiet event stream gets a comment."),
	KEY(events, max_per_user, INT, "5000", 0, 1000000, "requests",
		"Requests of one user or API key that wait on this host; more are answered 429. "
		"0: no limit."),
	KEY(events, max_per_address, INT, "5000", 0, 1000000, "requests",
		"Requests of one client address that wait on this host; more are answered 429. "
		"0: no limit."),
	KEY(events, retention_days, INT, "7", 1, 3650, "days",
		"Events older than this are pruned by `cmdbctl events prune`."),
	KEY(events, retention_rows, INT, "1000000", 1000, 10000000000, "rows",
		"Most events that pruning leaves."),
	KEY(events, brief_retention_s, INT, "3600", 60, 31 * DAY_S, "s",
		"Events of topics that are kept briefly (logs, devices, stats) and are older than "
		"this are "
		"pruned by `cmdbctl events prune`."),
	KEY(events, brief_retention_rows, INT, "200000", 1000, 10000000000, "rows",
		"Most events of these topics that pruning leaves."),
	KEY(events, db_socket, TEXT, "", 0, 107, "",
		"UNIX socket of the server through which events are written, where cmdb-poller "
		"works. Empty, "
		"and db_host too: [database]."),
	KEY(events, db_host, TEXT, "", 0, VALUE_MAX, "",
		"Its host when db_socket is empty, as an address that moves with the writer."),
	KEY(events, db_port, INT, "3306", 1, 65535, "", "TCP port of db_host."),
	KEY(events, db_user, TEXT, "", 0, 128, "",
		"Account of cmdb-poller there. Empty: poller.db_user and its password."),
	KEY(events, db_password, SECRET, "", 0, 128, "", "Password of db_user."),
	KEY(events, db_tls_ca, TEXT, "", 0, VALUE_MAX, "",
		"File of the CA that signed that server's certificate. Empty: database.tls_ca."),

	KEY(auth, algorithm, CHOICE, "HS256", 0, 0, "HS256|RS256|ES256",
		"The one signature that access tokens may have."),
	KEY(auth, key_file, TEXT, "/etc/cmdb/jwt.key", 0, VALUE_MAX, "",
		"HS256: a secret of 32 bytes or more. RS256, ES256: the private key, PEM."),
	KEY(auth, public_key_file, TEXT, "", 0, VALUE_MAX, "",
		"RS256, ES256: the public key, PEM."),
	KEY(auth, issuer, TEXT, "cmdb", 1, 128, "", "The iss of tokens, given and required."),
	KEY(auth, audience, TEXT, "cmdb", 1, 128, "", "The aud of tokens, given and required."),
	KEY(auth, access_ttl_s, INT, "900", 30, DAY_S, "s", "Life of an access token."),
	KEY(auth, refresh_ttl_s, INT, "1209600", 60, 366 * DAY_S, "s", "Life of a refresh token."),
	KEY(auth, leeway_s, INT, "5", 0, 300, "s",
		"How far ahead of this host's clock iat and nbf of a token may be."),
	KEY(auth, login_failures, INT, "5", 1, 1000, "",
		"Failed logins of an account within login_window_s before it has to wait."),
	KEY(auth, login_window_s, INT, "300", 1, DAY_S, "s", "The window of both limits."),
	KEY(auth, address_failures, INT, "50", 1, 100000, "",
		"Failed logins and bad tokens of an address within login_window_s before it "
		"has to wait."),
	KEY(auth, argon2_parallel, INT, "2", 1, 64, "",
		"Passwords one process hashes at a time, each taking argon2_memory_kib and a "
		"thread "
		"of its own."),
	KEY(auth, password_queue, INT, "32", 1, 10000, "requests",
		"Logins that may wait for their turn; more are answered 503."),
	KEY(auth, argon2_memory_kib, INT, "65536", 8, 4194304, "KiB", "Memory of Argon2id."),
	KEY(auth, argon2_passes, INT, "2", 1, 100, "", "Passes of Argon2id over that memory."),

	KEY(auth, require_at_handshake, BOOL, "off", 0, 0, "",
		"Refuse a Socket.IO handshake without a token; off: it may come with CONNECT."),

	KEY(socketio, path, TEXT, "/socket.io/", 2, 100, "",
		"Where Engine.IO requests come, with a slash at both ends; the web server has to "
		"pass it "
		"on."),
	KEY(socketio, cookie, TEXT, "", 0, 64, "",
		"Name of a cookie with the session id that the handshake sets. Empty: none."),
	KEY(socketio, ping_interval_ms, INT, "25000", 100, 3600000, "ms",
		"How often a client is asked whether it is there."),
	KEY(socketio, ping_timeout_ms, INT, "20000", 100, 3600000, "ms",
		"How long it may take to answer."),
	KEY(socketio, connect_timeout_ms, INT, "45000", 100, 3600000, "ms",
		"How long a session may be without a namespace."),
	KEY(socketio, recovery_ms, INT, "120000", 0, 86400000, "ms",
		"How long after a drop a client may go on where it was."),
	KEY(socketio, max_payload, INT, "1000000", 100, 16777216, "bytes",
		"Largest body a client may send; a larger one is answered 413."),
	KEY(socketio, queue_bytes, INT, "1048576", 4096, 67108864, "bytes",
		"Replies kept for a client that does not fetch them; past that it has to start "
		"anew."),
	KEY(socketio, memory_bytes, INT, "134217728", 67108864, 17179869184, "bytes",
		"All that is kept for clients that do not fetch it, each list of rows counted "
		"once; "
		"past that those who have fetched nothing for longest have to start anew."),
	KEY(socketio, limit, INT, "500", 1, 10000, "events", "Most events in one answer."),
	KEY(socketio, answer_packets, INT, "0", 0, 10000, "packets",
		"Most packets of any kind in one answer. 0: as many as the client is known by its "
		"User-Agent to take: python-socketio 16, others any number."),
	KEY(socketio, list_wait_ms, INT, "1000", 0, 60000, "ms",
		"How long after CONNECT live events wait for the client to ask for its lists."),
	KEY(socketio, max_replay, INT, "100000", 1, 1000000000, "ids",
		"How far behind the log's end a recovered client may be."),
	KEY(socketio, max_sessions, INT, "20000", 1, 1000000, "sessions",
		"Sessions a host holds; more are refused."),
	KEY(socketio, max_pending, INT, "4096", 1, 1000000, "sessions",
		"Of these without a namespace; past that, or where others need the place, the "
		"oldest of them goes."),
	KEY(socketio, max_per_user, INT, "5000", 0, 1000000, "sessions",
		"Sessions of one user. 0: no limit."),
	KEY(socketio, max_per_address, INT, "5000", 0, 1000000, "sessions",
		"Sessions of one client address. 0: no limit."),
	KEY(socketio, events_per_s, INT, "100", 1, 1000000, "events/s",
		"Events a session may send, with a burst of twice as many; more are refused."),
	KEY(socketio, admin, CHOICE, "on", 0, 0, "off|readonly|on",
		"The Socket.IO Admin UI's namespace, /admin: not there, without or with commands."),
	KEY(socketio, admin_events, BOOL, "on", 0, 0, "",
		"Show every socket and event there (its development mode); off: figures alone."),
	KEY(socketio, admin_ttl_s, INT, "43200", 60, 31 * DAY_S, "s",
		"How long a login there lasts."),

	KEY(logs, max_per_s, INT, "100", 0, 1000000, "lines",
		"Lines of devices' logs that a socket is sent in a second. What is beyond is left "
		"out, and the client told which. 0: any number."),
	KEY(logs, max_keyword_views, INT, "50", 0, 1000000, "views",
		"Sockets and waiting requests of one user or API key that filter logs by keyword, "
		"on "
		"this host: each message may have to be looked through for each of them. More are "
		"refused. 0: no limit."),
	KEY(logs, replay, INT, "1000", 0, 10000, "lines",
		"The most lines that log:resume brings of those that came during a pause. Of the "
		"rest the client is told which they are."),
	KEY(logs, offline_s, INT, "60", 0, DAY_S, "s",
		"A device of which neither a line nor a heartbeat has come for so long is offline. "
		"0: none ever is."),
	KEY(logs, file, TEXT, "", 0, VALUE_MAX, "",
		"File that lines of devices' logs are written to as well, as JSON lines; %Y, %m, "
		"%d and %H in its name are the time (UTC), as /var/log/cmdb/logs-%Y-%m-%d.jsonl. "
		"Empty: "
		"none."),
	KEY(logs, fsync, CHOICE, "second", 0, 0, "never|second|write",
		"When what is written there is put on the disk: when the system likes, once a "
		"second, or before each request is answered."),
	KEY(logs, retention_days, INT, "30", 1, 36500, "days",
		"Lines of logs that came longer ago, and devices that have been silent for as "
		"long, are removed by cmdbctl logs prune."),
	KEY(logs, retention_rows, INT, "50000000", 1000, 1000000000000, "lines",
		"The newest so many are kept at most."),
	KEY(logs, index, BOOL, "on", 0, 0, "",
		"Whether cmdb-poller makes the index by which keywords are found among many lines. "
		"off: they are found all the same, only slower."),
	KEY(logs, index_settle_s, INT, "30", 1, 3600, "s",
		"Ids of lines that are missing are taken for rolled back after so long, if nobody "
		"has them locked; until then the lines around them are not in the index."),

	KEY(conformance, app, CHOICE, "off", 0, 0, "off|echo-engineio|echo-socketio",
		"For protocol test suites only: instead of cmdb's own events an application "
		"without "
		"authentication answers at socketio.path."),

	KEY(http, cors_origins, ORIGINS, "", 0, VALUE_MAX, "",
		"Sites whose pages may call the API with credentials: scheme://host[:port], "
		"separated by blanks or commas, or one a line with the key before each."),
	KEY(http, idempotency_ttl_s, INT, "86400", 60, 30 * DAY_S, "s",
		"How long the answer to an Idempotency-Key is kept."),

	KEY(log, level, CHOICE, "info", 0, 0, "debug|info|warn|error", "The least level to log."),
	KEY(log, format, CHOICE, "text", 0, 0, "text|json", "How log lines are written."),

	KEY(cli, db_user, TEXT, "", 0, 128, "",
		"Database account of cmdbctl. Empty: the user who runs it."),
	KEY(cli, db_password, SECRET, "", 0, 128, "",
		"Its password. Empty: the account logs in by unix_socket."),
	KEY(cli, url, TEXT, "http://127.0.0.1:8080", 0, VALUE_MAX, "",
		"Where the web server is, for commands that use the API."),
	KEY(cli, api_key_file, TEXT, "", 0, VALUE_MAX, "",
		"File with the API key for these commands."),
};

const size_t config_rows_n = sizeof(config_rows) / sizeof(config_rows[0]);

void config_fini(struct config *c)
{
	for (size_t i = 0; i < config_rows_n; i++) {
		const struct config_row *r = &config_rows[i];
		if (r->type == ORIGINS)
			strlist_fini(list_at(c, r));
		else if (r->type != INT && r->type != BOOL)
			free(*text_at(c, r));
	}
	*c = (struct config){0};
}

static void add_value(
	struct str *out, const struct config *c, const struct config_row *r, bool with_secrets)
{
	switch (r->type) {
	case INT:
		str_addi(out, *int_at(c, r));
		break;
	case BOOL:
		str_adds(out, *bool_at(c, r) ? "on" : "off");
		break;
	case SECRET:
		str_adds(out, with_secrets || !**text_at(c, r) ? *text_at(c, r) : "********");
		break;
	case ORIGINS:
		/* A line each, so that a long list does not make a line too long to read. */
		for (size_t i = 0; i < list_at(c, r)->n; i++) {
			if (i)
				str_addf(out, "\n%s = ", r->key);
			str_adds(out, list_at(c, r)->v[i]);
		}
		break;
	case TEXT:
	case CHOICE:
		str_adds(out, *text_at(c, r));
		break;
	}
}

/* A comment of the help text, broken into lines, and of what is accepted. */
static void add_comment(struct str *out, const struct config_row *r)
{
	struct str text = STR_INIT;
	str_adds(&text, r->help);
	if (r->type == INT)
		str_addf(&text, " (%s%s%lld..%lld)", r->unit, *r->unit ? ", " : "",
			(long long)r->min, (long long)r->max);
	if (r->type == CHOICE)
		str_addf(&text, " (%s)", r->unit);
	if (r->type == BOOL)
		str_adds(&text, " (on|off)");
	size_t column = 100;
	for (const char *p = text.p; *p;) {
		size_t n = strcspn(p, " ");
		if (column + 1 + n > 96) {
			str_adds(out, column == 100 ? "#" : "\n#");
			column = 1;
		}
		str_addc(out, ' ');
		str_add(out, p, n);
		column += 1 + n;
		p += n + (p[n] == ' ');
	}
	str_addc(out, '\n');
	str_fini(&text);
}

void config_print(struct str *out, const struct config *c, bool with_secrets)
{
	struct str value = STR_INIT;
	struct config defaults;

	config_defaults(&defaults);
	if (!c)
		c = &defaults;
	str_adds(out,
		"# cmdb.conf, see cmdb.conf(5). Keys that begin with # are at their defaults.\n");
	for (size_t i = 0; i < config_rows_n; i++) {
		const struct config_row *r = &config_rows[i];
		if (i == 0 || strcmp(r->section, config_rows[i - 1].section) != 0)
			str_addf(out, "\n[%s]\n", r->section);
		add_comment(out, r);
		str_clear(&value);
		add_value(&value, c, r, with_secrets);
		str_addf(out, "%s%s =%s%s\n", strcmp(str_c(&value), r->def) == 0 ? "#" : "", r->key,
			value.len ? " " : "", str_c(&value));
	}
	str_fini(&value);
	config_fini(&defaults);
}

static void add_json_value(struct str *out, const struct config *c, const struct config_row *r)
{
	struct str value = STR_INIT;

	if (r->type == ORIGINS) {
		str_addc(out, '[');
		for (size_t i = 0; i < list_at(c, r)->n; i++) {
			str_adds(out, i ? "," : "");
			str_add_json(out, list_at(c, r)->v[i]);
		}
		str_addc(out, ']');
		return;
	}
	if (r->type == BOOL)
		str_adds(&value, *bool_at(c, r) ? "true" : "false");
	else
		add_value(&value, c, r, false);
	if (r->type == BOOL || r->type == INT)
		str_adds(out, str_c(&value));
	else
		str_add_json(out, str_c(&value));
	str_fini(&value);
}

void config_print_json(struct str *out, const struct config *c)
{
	struct config defaults;

	config_defaults(&defaults);
	if (!c)
		c = &defaults;
	for (size_t i = 0; i < config_rows_n; i++) {
		const struct config_row *r = &config_rows[i];
		bool is_first = i == 0 || strcmp(r->section, config_rows[i - 1].section) != 0;
		if (is_first)
			str_addf(out, "%s\"%s\":{", i ? "}," : "{", r->section);
		str_addf(out, "%s\"%s\":", is_first ? "" : ",", r->key);
		add_json_value(out, c, r);
	}
	str_adds(out, "}}");
	config_fini(&defaults);
}

void config_each(void (*visit)(const char *section, const char *key, const char *unit,
			 const char *def, const char *help, void *arg),
	void *arg)
{
	for (const struct config_row *r = config_rows; r < config_rows + config_rows_n; r++)
		visit(r->section, r->key, r->unit, r->def, r->help, arg);
}

bool config_names_writer(const struct config *c)
{
	return *c->events.db_socket || *c->events.db_host;
}

/* All that cmdb-poller does, it does where events are written: a replica may lack what an event
 * tells of, and takes no notes. */
static void login_writer(const struct config *c, struct db_login *login)
{
	login->user = c->poller.db_user;
	login->password = c->poller.db_password;
	if (*c->events.db_user) {
		login->user = c->events.db_user;
		login->password = c->events.db_password;
	}
	if (!config_names_writer(c))
		return;
	login->socket = c->events.db_socket;
	login->host = c->events.db_host;
	login->port = (unsigned)c->events.db_port;
	if (*c->events.db_tls_ca)
		login->tls_ca = c->events.db_tls_ca;
}

struct db_login config_login(const struct config *c, enum config_account who)
{
	struct db_login login = {
		.socket = c->database.socket,
		.host = c->database.host,
		.port = (unsigned)c->database.port,
		.name = c->database.name,
		.tls_ca = c->database.tls_ca,
		.connect_timeout_ms = (unsigned)c->database.connect_timeout_ms,
		.io_timeout_ms = (unsigned)c->database.io_timeout_ms,
	};
	switch (who) {
	case CONFIG_FCGI:
		login.user = c->fcgi.db_user;
		login.password = c->fcgi.db_password;
		break;
	case CONFIG_POLLER:
		login_writer(c, &login);
		break;
	case CONFIG_CLI:
		login.user = c->cli.db_user;
		login.password = c->cli.db_password;
		break;
	}
	return login;
}

void config_log_init(const struct config *c, const char *program)
{
	static const char *const levels[] = {"debug", "info", "warn", "error"};
	enum log_level level = LOG_DEBUG;

	while (level < LOG_ERROR && strcmp(levels[level], c->log.level) != 0)
		level++;
	log_init(program, level, strcmp(c->log.format, "json") ? LOG_TEXT : LOG_JSON);
}

void config_page_path(const struct config *c, struct str *out)
{
	str_addf(out, "%s.page", c->poller.socket);
}
