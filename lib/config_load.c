#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <ini.h>

#include "config_row.h"
#include "day_file.h"
#include "mem.h"
#include "text.h"

#define CONFIG_FILE "/etc/cmdb/cmdb.conf"
#define CONFIG_SIZE_MAX (1024 * 1024)

struct load {
	struct config *c;
	struct str *errors;
	const char *file; /* or "--set", then line is 0 */
	unsigned line;
	unsigned *set_at;    /* by row, the line of the file that set the key, 0: none */
	const char *p, *end; /* what of the file is unread */
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
	if (len == 0 || strchr(text, '|'))
		return false;
	for (const char *p = choices; p; p = strchr(p, '|')) {
		p += *p == '|';
		if (strncmp(p, text, len) == 0 && (p[len] == '|' || p[len] == '\0'))
			return true;
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

static void set_origins(struct load *l, const struct config_row *r, const char *value)
{
	for (const char *p = value; *p;) {
		size_t n = strcspn(p, ", \t");
		char *origin = xstrndup(p, n);
		if (strcmp(origin, "*") == 0)
			problem(l, r->section, r->key,
				"\"*\" is not accepted: answers carry credentials, and browsers "
				"refuse \"*\" with those; list the origins");
		else if (n && (n > (size_t)r->max || !is_origin(origin)))
			problem(l, r->section, r->key,
				"\"%s\" is no origin: write scheme://host[:port] in lower case, "
				"nothing behind it",
				origin);
		else if (n && !strlist_has(list_at(l->c, r), origin))
			strlist_add(list_at(l->c, r), origin, n);
		free(origin);
		p += n + (p[n] != '\0');
	}
}

static void set_int(struct load *l, const struct config_row *r, const char *value)
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
	for (size_t n; len > 0; text += n, len -= n) {
		bool is_utf8;
		uint32_t c;

		n = text_next(text, len, &c, &is_utf8);
		if (!is_utf8 || text_is_unsafe(c))
			return false;
	}
	return true;
}

/* Is text read back from a file as it is? */
static bool is_plain(const char *text, size_t len)
{
	if (len == 0)
		return true;
	return text[0] != ' ' && text[0] != ';' && text[len - 1] != ' ' && !strstr(text, " ;");
}

static void set_text(struct load *l, const struct config_row *r, const char *value)
{
	size_t len = strlen(value);
	if (len < (size_t)r->min)
		problem(l, r->section, r->key, "must not be empty");
	else if (len > (size_t)r->max)
		problem(l, r->section, r->key, "has %zu bytes, at most %lld are accepted", len,
			(long long)r->max);
	else if (!is_printable(value, len))
		problem(l, r->section, r->key, "has control characters or is not UTF-8");
	else if (!is_plain(value, len))
		problem(l, r->section, r->key,
			"begins or ends with a blank, or has a \";\" where a comment would begin");
	else if (r->type == TEXT && len > 1 && value[0] == '"' && value[len - 1] == '"')
		problem(l, r->section, r->key, "is in quotes: write it without");
	else {
		free(*text_at(l->c, r));
		*text_at(l->c, r) = xstrdup(value);
	}
}

static void config_load_set_value(struct load *l, const struct config_row *r, const char *value)
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
static const struct config_row *config_load_find(
	struct load *l, const char *section, const char *key)
{
	bool is_section = false;
	const char *elsewhere = NULL;
	for (size_t i = 0; i < config_rows_n; i++) {
		bool same = strcmp(config_rows[i].section, section) == 0;
		is_section |= same;
		if (strcmp(config_rows[i].key, key) != 0)
			continue;
		if (same)
			return &config_rows[i];
		elsewhere = config_rows[i].section;
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
	const struct config_row *r = config_load_find(l, section, key);
	if (!r)
		return 1;
	unsigned *at = &l->set_at[r - config_rows];
	if (*at && r->type != ORIGINS) {
		problem(l, section, key, "was set in line %u already", *at);
		return 1;
	}
	*at = l->line;
	config_load_set_value(l, r, value);
	return 1;
}

/* The whole file, or false with a problem noted. */
static bool config_load_read_file(struct load *l, struct str *text)
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
	if (config_load_read_file(l, &text)) {
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
	const struct config_row *r = config_load_find(l, section, key);
	if (r) {
		if (r->type == ORIGINS)
			strlist_fini(list_at(l->c, r));
		config_load_set_value(l, r, eq + 1);
	}
	free(section);
	free(key);
}

static void check_together(struct load *l)
{
	const struct config *c = l->c;
	struct str name = STR_INIT;

	if (c->events.timeout_s > c->events.timeout_max_s)
		problem(l, "events", "timeout_s", "%lld s is more than timeout_max_s, %lld s",
			(long long)c->events.timeout_s, (long long)c->events.timeout_max_s);
	if (!*c->database.socket && !*c->database.host)
		problem(l, "database", "socket", "empty, and so is database.host: set one of them");
	if (*c->logs.file && (*c->logs.file != '/' || !day_file_name(&name, c->logs.file, 0)))
		problem(l, "logs", "file",
			"\"%s\" is no path that begins with / and has %% in %%Y, %%m, %%d, %%H and "
			"%%%% alone",
			c->logs.file);
	str_fini(&name);
}

void config_defaults(struct config *c)
{
	struct str none = STR_INIT;
	struct load l = {.c = c, .errors = &none, .file = "default"};
	*c = (struct config){0};
	for (size_t i = 0; i < config_rows_n; i++)
		config_load_set_value(&l, &config_rows[i], config_rows[i].def);
	assert(none.len == 0);
	str_fini(&none);
}

bool config_load(
	struct config *c, const char *file, const char *const *sets, size_t n, struct str *errors)
{
	struct load l = {.c = c, .errors = errors, .file = file};

	str_clear(errors);
	if (!l.file || !*l.file)
		l.file = getenv("CMDB_CONFIG");
	bool is_named = l.file && *l.file;
	if (!is_named)
		l.file = CONFIG_FILE;
	config_defaults(c);
	l.set_at = xcalloc(config_rows_n, sizeof(*l.set_at));
	load_file(&l, is_named);
	free(l.set_at);
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
