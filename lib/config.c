#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <ini.h>

#include "json.h"
#include "mem.h"

#define CONFIG_FILE "/etc/cmdb/cmdb.conf"
#define CONFIG_SIZE_MAX (1024 * 1024)

enum type { TEXT, SECRET, CHOICE, INT, BOOL, ORIGINS };

/* One key. Texts have at most max bytes; of a CHOICE, unit names what is accepted. */
struct row {
	const char *section, *key;
	enum type type;
	size_t offset;
	const char *def;
	int64_t min, max;
	const char *unit;
	const char *help;
};

#define KEY(section, key, type, ...) \
	{#section, #key, type, offsetof(struct config, section.key), __VA_ARGS__}
#define DAY_S 86400

static const struct row rows[] = {
	KEY(database, socket, TEXT, "/run/mysqld/mysqld.sock", 0, 107, "",
		"UNIX socket of MariaDB. Empty: host and port are used."),
	KEY(database, host, TEXT, "", 0, 255, "", "Host of MariaDB when socket is empty."),
	KEY(database, port, INT, "3306", 1, 65535, "", "TCP port of MariaDB."),
	KEY(database, name, TEXT, "cmdb", 1, 64, "", "Name of the database."),
	KEY(database, tls_ca, TEXT, "", 0, 4095, "",
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
		"Requests one process works on at a time, each with a database connection."),
	KEY(fcgi, max_parked, INT, "10000", 1, 1000000, "requests",
		"Long-polls one process holds; more are answered 503."),
	KEY(fcgi, max_body, INT, "1048576", 1024, 67108864, "bytes",
		"Largest request body; a larger one is answered 413."),
	KEY(fcgi, stop_timeout_ms, INT, "10000", 0, 600000, "ms",
		"How long running requests may go on after SIGTERM."),
	KEY(fcgi, cache, BOOL, "on", 0, 0, "",
		"Serve unchanged answers and identities from memory while the poller vouches for them."),

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
	KEY(poller, grace_ms, INT, "30", 5, 10000, "ms",
		"Age at which a missing id that no transaction holds is given up."),
	KEY(poller, hold_limit_ms, INT, "60000", 1000, 3600000, "ms",
		"How long an open transaction may hold back the events after its own."),
	KEY(poller, ring_events, INT, "65536", 64, 16777216, "events",
		"Recent events kept in memory for replay."),
	KEY(poller, ring_bytes, INT, "67108864", 65536, 17179869184, "bytes",
		"Memory these events may take."),
	KEY(poller, binlog, BOOL, "on", 0, 0, "",
		"Follow MariaDB's binlog where it is on and the account may."),
	KEY(poller, doorbell, BOOL, "on", 0, 0, "",
		"Take word from cmdb-fcgi when it has committed an event."),

	KEY(events, timeout_s, INT, "25", 0, 55, "s",
		"How long GET /events waits when the request does not say."),
	KEY(events, timeout_max_s, INT, "55", 0, 55, "s", "The longest wait a request may ask for."),
	KEY(events, limit, INT, "500", 1, 10000, "events", "Most events in one answer."),
	KEY(events, sse_heartbeat_s, INT, "15", 1, 300, "s",
		"Pause after which a quiet event stream gets a comment."),
	KEY(events, retention_days, INT, "7", 1, 3650, "days",
		"Events older than this are pruned by `cmdbctl events prune`."),
	KEY(events, retention_rows, INT, "1000000", 1000, 10000000000, "rows",
		"Most events that pruning leaves."),

	KEY(auth, algorithm, CHOICE, "HS256", 0, 0, "HS256|RS256|ES256",
		"The one signature that access tokens may have."),
	KEY(auth, key_file, TEXT, "/etc/cmdb/jwt.key", 0, 4095, "",
		"HS256: a secret of 32 bytes or more. RS256, ES256: the private key, PEM."),
	KEY(auth, public_key_file, TEXT, "", 0, 4095, "", "RS256, ES256: the public key, PEM."),
	KEY(auth, issuer, TEXT, "cmdb", 1, 128, "", "The iss of tokens, given and required."),
	KEY(auth, audience, TEXT, "cmdb", 1, 128, "", "The aud of tokens, given and required."),
	KEY(auth, access_ttl_s, INT, "900", 30, DAY_S, "s", "Life of an access token."),
	KEY(auth, refresh_ttl_s, INT, "1209600", 60, 366 * DAY_S, "s", "Life of a refresh token."),
	KEY(auth, leeway_s, INT, "5", 0, 300, "s",
		"How far the clocks of hosts may differ when times in tokens are checked."),
	KEY(auth, login_failures, INT, "5", 1, 1000, "",
		"Failed logins of an account within login_window_s before it has to wait."),
	KEY(auth, login_window_s, INT, "300", 1, DAY_S, "s", "The window of both limits."),
	KEY(auth, address_failures, INT, "50", 1, 100000, "",
		"Failed logins and bad tokens of an address within login_window_s before it has to wait."),
	KEY(auth, argon2_parallel, INT, "2", 1, 64, "",
		"Passwords one process hashes at a time, each taking argon2_memory_kib."),
	KEY(auth, argon2_memory_kib, INT, "65536", 8, 4194304, "KiB", "Memory of Argon2id."),
	KEY(auth, argon2_passes, INT, "2", 1, 100, "", "Passes of Argon2id over that memory."),

	KEY(http, cors_origins, ORIGINS, "", 0, 4095, "",
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
	KEY(cli, url, TEXT, "http://127.0.0.1:8080", 0, 4095, "",
		"Where the web server is, for commands that use the API."),
	KEY(cli, api_key_file, TEXT, "", 0, 4095, "", "File with the API key for these commands."),
};

#define ROWS_N (sizeof(rows) / sizeof(rows[0]))

static char **text_at(const struct config *c, const struct row *r)
{
	return (char **)((char *)c + r->offset);
}

static int64_t *int_at(const struct config *c, const struct row *r)
{
	return (int64_t *)((char *)c + r->offset);
}

static bool *bool_at(const struct config *c, const struct row *r)
{
	return (bool *)((char *)c + r->offset);
}

static struct strlist *list_at(const struct config *c, const struct row *r)
{
	return (struct strlist *)((char *)c + r->offset);
}

/* ---- reading ---- */

struct load {
	struct config *c;
	struct str *errors;
	const char *file; /* or "--set", then line is 0 */
	unsigned line;
	unsigned set_at[ROWS_N]; /* the line of the file that set a key, 0: none */
	const char *p, *end;     /* what of the file is unread */
};

static void problem(struct load *l, const char *section, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void problem(struct load *l, const char *section, const char *key, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	if (l->errors->len)
		str_addc(l->errors, '\n');
	str_adds(l->errors, l->file);
	if (l->line)
		str_addf(l->errors, ":%u", l->line);
	str_adds(l->errors, ": ");
	if (section)
		str_addf(l->errors, "%s.%s: ", section, key);
	str_addv(l->errors, fmt, ap);
	va_end(ap);
}

static bool parse_int(const char *text, int64_t *out)
{
	char *end;
	if (*text != '-' && (*text < '0' || *text > '9'))
		return false;
	errno = 0;
	long long v = strtoll(text, &end, 10);
	*out = v;
	return errno == 0 && *end == '\0' && end[-1] != '-';
}

static bool parse_bool(const char *text, bool *out)
{
	static const char *const words[] = {"off", "on", "no", "yes", "false", "true", "0", "1"};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasecmp(text, words[i]) == 0) {
			*out = i % 2;
			return true;
		}
	return false;
}

/* Is text one of the words that choices joins with '|'? */
static bool is_choice(const char *choices, const char *text)
{
	size_t len = strlen(text);
	for (const char *p = choices; p; p = strchr(p, '|')) {
		p += *p == '|';
		if (strncmp(p, text, len) == 0 && (p[len] == '|' || p[len] == '\0'))
			return len > 0;
	}
	return false;
}

/* scheme://host[:port] as browsers send it in Origin: lower-case, no path. */
static bool is_origin(const char *text)
{
	const char *p = strstr(text, "://");
	int64_t port;
	if (!p || p == text ||
		strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+-.") != (size_t)(p - text))
		return false;
	p += 3;
	size_t n;
	if (*p == '[') {
		n = strspn(p + 1, "0123456789abcdef:.");
		if (n == 0 || p[n + 1] != ']')
			return false;
		n += 2;
	} else {
		n = strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789-._");
	}
	if (n == 0 || p[n] == '\0')
		return n > 0;
	return p[n] == ':' && parse_int(p + n + 1, &port) && port >= 1 && port <= 65535;
}

static void set_origins(struct load *l, const struct row *r, const char *value)
{
	for (const char *p = value; *p;) {
		size_t n = strcspn(p, ", \t");
		char *origin = xstrndup(p, n);
		if (strcmp(origin, "*") == 0)
			problem(l, r->section, r->key,
				"\"*\" is not accepted: answers carry credentials, and browsers refuse "
				"\"*\" with those; list the origins");
		else if (n && !is_origin(origin))
			problem(l, r->section, r->key,
				"\"%s\" is no origin: write scheme://host[:port] in lower case, "
				"nothing behind it", origin);
		else if (n && !strlist_has(list_at(l->c, r), origin))
			strlist_add(list_at(l->c, r), origin, n);
		free(origin);
		p += n + (p[n] != '\0');
	}
}

static void set_int(struct load *l, const struct row *r, const char *value)
{
	int64_t v;
	if (parse_int(value, &v) && v >= r->min && v <= r->max)
		*int_at(l->c, r) = v;
	else
		problem(l, r->section, r->key, "\"%s\" is not a whole number from %lld to %lld%s%s",
			value, (long long)r->min, (long long)r->max, *r->unit ? " " : "", r->unit);
}

static bool is_printable(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return json_is_utf8(text, len);
}

static void set_text(struct load *l, const struct row *r, const char *value)
{
	size_t len = strlen(value);
	if (len < (size_t)r->min)
		problem(l, r->section, r->key, "must not be empty");
	else if (len > (size_t)r->max)
		problem(l, r->section, r->key, "has %zu bytes, at most %lld are accepted", len,
			(long long)r->max);
	else if (!is_printable(value, len))
		problem(l, r->section, r->key, "has control characters or is not UTF-8");
	else {
		free(*text_at(l->c, r));
		*text_at(l->c, r) = xstrdup(value);
	}
}

static void set_value(struct load *l, const struct row *r, const char *value)
{
	switch (r->type) {
	case INT:
		set_int(l, r, value);
		break;
	case BOOL:
		if (!parse_bool(value, bool_at(l->c, r)))
			problem(l, r->section, r->key, "\"%s\" is neither on nor off", value);
		break;
	case CHOICE:
		if (!is_choice(r->unit, value)) {
			problem(l, r->section, r->key, "\"%s\" is none of %s", value, r->unit);
			break;
		}
		free(*text_at(l->c, r));
		*text_at(l->c, r) = xstrdup(value);
		break;
	case ORIGINS:
		set_origins(l, r, value);
		break;
	case TEXT:
	case SECRET:
		set_text(l, r, value);
		break;
	}
}

/* The row of a key; NULL, with a problem that helps to find the right one, when there is none. */
static const struct row *find(struct load *l, const char *section, const char *key)
{
	bool is_section = false;
	const char *elsewhere = NULL;
	for (size_t i = 0; i < ROWS_N; i++) {
		bool same = strcmp(rows[i].section, section) == 0;
		is_section |= same;
		if (strcmp(rows[i].key, key) != 0)
			continue;
		if (same)
			return &rows[i];
		elsewhere = rows[i].section;
	}
	if (elsewhere)
		problem(l, section, key, "unknown key; there is one in section [%s]", elsewhere);
	else
		problem(l, section, key, "unknown %s; `cmdbctl config default` lists all",
			is_section ? "key" : "section");
	return NULL;
}

/* inih's reader, called once for each line, which is how lines are counted. Blanks before the key
 * are taken off, since inih would go on with the value of the line before; of a comment, and of a
 * line inih has no room for, only the line end is left. */
static char *next_line(char *out, int size, void *arg)
{
	struct load *l = arg;
	if (l->p == l->end)
		return NULL;
	const char *nl = memchr(l->p, '\n', (size_t)(l->end - l->p));
	const char *end = nl ? nl : l->end;
	const char *p = l->p;
	l->p = nl ? nl + 1 : l->end;
	l->line++;
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	size_t n = (size_t)(end - p), max = (size_t)size - 3;
	if (memchr(p, '\0', n)) {
		problem(l, NULL, NULL, "a NUL byte");
		n = 0;
	} else if (n > 0 && *p == '#') {
		n = 0;
	} else if (n > max) {
		problem(l, NULL, NULL, "a line of %zu bytes, at most %zu are accepted", n, max);
		n = 0;
	}
	memcpy(out, p, n);
	memcpy(out + n, "\n", 2);
	return out;
}

static int on_pair(void *arg, const char *section, const char *key, const char *value)
{
	struct load *l = arg;
	const struct row *r = find(l, section, key);
	if (!r)
		return 1;
	unsigned *at = &l->set_at[r - rows];
	if (*at && r->type != ORIGINS) {
		problem(l, section, key, "was set in line %u already", *at);
		return 1;
	}
	*at = l->line;
	set_value(l, r, value);
	return 1;
}

/* The whole file, or false with a problem noted. */
static bool read_file(struct load *l, struct str *text)
{
	int fd = open(l->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = -1;
	if (fd >= 0) {
		do {
			str_reserve(text, 16384);
			n = read(fd, text->p + text->len, 16384);
			if (n > 0)
				text->len += (size_t)n;
		} while (n > 0 && text->len <= CONFIG_SIZE_MAX);
	}
	if (n < 0)
		problem(l, NULL, NULL, "cannot be read: %s", strerror(errno));
	else if (n > 0)
		problem(l, NULL, NULL, "has more than %d bytes: this is no configuration file",
			CONFIG_SIZE_MAX);
	if (fd >= 0)
		close(fd);
	return n == 0;
}

static void load_file(struct load *l, bool is_named)
{
	struct str text = STR_INIT;
	if (!is_named && access(l->file, F_OK) < 0 && errno == ENOENT)
		return;
	if (read_file(l, &text)) {
		l->p = str_c(&text);
		l->end = l->p + text.len;
		int bad = ini_parse_stream(next_line, l, on_pair, l);
		if (bad > 0) {
			l->line = (unsigned)bad;
			problem(l, NULL, NULL, "neither [section] nor key = value");
		}
	}
	l->line = 0;
	str_fini(&text);
}

static void load_set(struct load *l, const char *set)
{
	const char *dot = strchr(set, '.');
	const char *eq = dot ? strchr(dot, '=') : NULL;
	if (!eq) {
		problem(l, NULL, NULL, "\"%s\": write section.key=value", set);
		return;
	}
	char *section = xstrndup(set, (size_t)(dot - set));
	char *key = xstrndup(dot + 1, (size_t)(eq - dot - 1));
	const struct row *r = find(l, section, key);
	if (r) {
		if (r->type == ORIGINS)
			strlist_fini(list_at(l->c, r));
		set_value(l, r, eq + 1);
	}
	free(section);
	free(key);
}

static void check_together(struct load *l)
{
	const struct config *c = l->c;
	if (c->events.timeout_s > c->events.timeout_max_s)
		problem(l, "events", "timeout_s", "%lld s is more than timeout_max_s, %lld s",
			(long long)c->events.timeout_s, (long long)c->events.timeout_max_s);
	if (!*c->database.socket && !*c->database.host)
		problem(l, "database", "socket", "empty, and so is database.host: set one of them");
}

static void set_defaults(struct config *c)
{
	struct str none = STR_INIT;
	struct load l = {.c = c, .errors = &none, .file = "default"};
	*c = (struct config){0};
	for (size_t i = 0; i < ROWS_N; i++)
		set_value(&l, &rows[i], rows[i].def);
	assert(none.len == 0);
	str_fini(&none);
}

bool config_load(struct config *c, const char *file, const char *const *sets, size_t n,
	struct str *errors)
{
	struct load l = {.c = c, .errors = errors, .file = file};

	str_clear(errors);
	if (!l.file || !*l.file)
		l.file = getenv("CMDB_CONFIG");
	bool is_named = l.file && *l.file;
	if (!is_named)
		l.file = CONFIG_FILE;
	set_defaults(c);
	load_file(&l, is_named);
	const char *where = l.file;
	l.file = "--set";
	for (size_t i = 0; i < n; i++)
		load_set(&l, sets[i]);
	l.file = where;
	check_together(&l);
	if (errors->len == 0)
		return true;
	config_fini(c);
	return false;
}

void config_fini(struct config *c)
{
	for (size_t i = 0; i < ROWS_N; i++) {
		const struct row *r = &rows[i];
		if (r->type == ORIGINS)
			strlist_fini(list_at(c, r));
		else if (r->type != INT && r->type != BOOL)
			free(*text_at(c, r));
	}
	*c = (struct config){0};
}

/* ---- printing ---- */

static void add_value(struct str *out, const struct config *c, const struct row *r,
	bool with_secrets)
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
static void add_comment(struct str *out, const struct row *r)
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

	set_defaults(&defaults);
	if (!c)
		c = &defaults;
	str_adds(out, "# cmdb.conf, see cmdb.conf(5). Keys that begin with # are at their defaults.\n");
	for (size_t i = 0; i < ROWS_N; i++) {
		const struct row *r = &rows[i];
		if (i == 0 || strcmp(r->section, rows[i - 1].section) != 0)
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

static void add_json_value(struct str *out, const struct config *c, const struct row *r)
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
	for (size_t i = 0; i < ROWS_N; i++) {
		const struct row *r = &rows[i];
		bool is_first = i == 0 || strcmp(r->section, rows[i - 1].section) != 0;
		if (is_first)
			str_addf(out, "%s\"%s\":{", i ? "}," : "{", r->section);
		str_addf(out, "%s\"%s\":", is_first ? "" : ",", r->key);
		add_json_value(out, c, r);
	}
	str_adds(out, "}}");
}

void config_each(void (*visit)(const char *section, const char *key, const char *unit,
			 const char *def, const char *help, void *arg), void *arg)
{
	for (size_t i = 0; i < ROWS_N; i++)
		visit(rows[i].section, rows[i].key, rows[i].unit, rows[i].def, rows[i].help, arg);
}

/* ---- what programs ask for ---- */

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
		login.user = c->poller.db_user;
		login.password = c->poller.db_password;
		break;
	case CONFIG_CLI:
		login.user = c->cli.db_user;
		login.password = c->cli.db_password;
		break;
	}
	return login;
}

void config_page_path(const struct config *c, struct str *out)
{
	str_addf(out, "%s.page", c->poller.socket);
}
