#include "log_parse.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "device.h"
#include "json.h"
#include "mem.h"
#include "text.h"

#define NAME_MAX_LEN 64 /* of an unknown field, as far as it is told */
#define FIELD_SIZE 128
#define PROBLEM_SIZE 256
#define NO_INDEX SIZE_MAX /* it is the only entry */

struct parse {
	size_t index; /* of the entry at hand */
	size_t problems_n;
	log_problem_fn *problem;
	void *arg;
};

static void log_problem(struct parse *p, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void log_problem(struct parse *p, const char *field, const char *fmt, ...)
{
	char name[FIELD_SIZE] = "", text[PROBLEM_SIZE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (p->index == NO_INDEX)
		snprintf(name, sizeof(name), "%s", field);
	else
		snprintf(name, sizeof(name), "[%zu]%s%s", p->index, *field ? "." : "", field);
	p->problems_n++;
	p->problem(p->arg, name, text);
}

static struct slice log_text_of(struct json_object *o)
{
	return (struct slice){json_object_get_string(o), (size_t)json_object_get_string_len(o)};
}

/* ---- fields ---- */

static void take_device(
	struct parse *p, const char *name, struct json_object *v, struct log_entry *e)
{
	e->device = log_text_of(v);
	if (!device_is_id(e->device))
		log_problem(p, name, "must be 1 to %d letters, digits and -._~@:+", DEVICE_ID_MAX);
}

static void take_time(struct parse *p, const char *name, struct json_object *v, struct log_entry *e)
{
	struct slice text = log_text_of(v);

	if (json_object_is_type(v, json_type_int)) {
		e->logged_ms = json_object_get_int64(v);
		if (e->logged_ms < 0 || e->logged_ms > CLOCK_WALL_MAX_MS)
			log_problem(p, name, "must be from 0 to %lld, in milliseconds since 1970",
				(long long)CLOCK_WALL_MAX_MS);
	} else if (!json_object_is_type(v, json_type_string) ||
		   !clock_parse_rfc3339(text.p, text.len, &e->logged_ms)) {
		log_problem(p, name,
			"must be a time of RFC 3339 with its zone, from 1970 to 9999, as "
			"2026-11-22T19:35:00.123Z, or an integer of milliseconds since 1970");
	}
}

static void take_level(
	struct parse *p, const char *name, struct json_object *v, struct log_entry *e)
{
	e->level = entry_level_find(log_text_of(v));
	if (!e->level)
		log_problem(p, name, "must be DEBUG, INFO, WARN, ERROR or FATAL");
}

static void take_message(
	struct parse *p, const char *name, struct json_object *v, struct log_entry *e)
{
	e->message = log_text_of(v);
	if (e->message.len < 1 || e->message.len > LOG_MESSAGE_MAX)
		log_problem(p, name, "must have 1 to %d bytes", LOG_MESSAGE_MAX);
}

static bool is_tag_before(struct json_object *tags, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (json_object_equal(
			    json_object_array_get_idx(tags, k), json_object_array_get_idx(tags, i)))
			return true;
	return false;
}

static void take_tags(struct parse *p, const char *name, struct json_object *v, struct log_entry *e)
{
	size_t n = json_object_array_length(v);

	if (n > LOG_TAGS_MAX) {
		log_problem(p, name, "may have at most %d items", LOG_TAGS_MAX);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct json_object *tag = json_object_array_get_idx(v, i);
		struct slice text = log_text_of(tag);

		if (!json_object_is_type(tag, json_type_string) || text.len < 1 ||
			text.len > LOG_TAG_MAX) {
			log_problem(p, name, "must be texts of 1 to %d bytes", LOG_TAG_MAX);
			return;
		}
	}
	for (size_t i = n; i-- > 1;)
		if (is_tag_before(v, i))
			json_object_array_del_idx(v, i, 1);
	if (n)
		e->tags = json_text(v);
}

static void take_source(
	struct parse *p, const char *name, struct json_object *v, struct log_entry *e)
{
	e->source = log_text_of(v);
	if (e->source.len > LOG_SOURCE_MAX)
		log_problem(p, name, "may have at most %d bytes", LOG_SOURCE_MAX);
}

static int depth_of(struct json_object *o)
{
	int most = 0, depth;

	if (json_object_is_type(o, json_type_object)) {
		json_object_object_foreach (o, key, v) {
			(void)key;
			depth = depth_of(v);
			most = depth > most ? depth : most;
		}
		return most + 1;
	}
	if (!json_object_is_type(o, json_type_array))
		return 0;
	for (size_t i = 0; i < json_object_array_length(o); i++) {
		depth = depth_of(json_object_array_get_idx(o, i));
		most = depth > most ? depth : most;
	}
	return most + 1;
}

static void take_meta(struct parse *p, const char *name, struct json_object *v, struct log_entry *e)
{
	e->meta = json_text(v);
	if (e->meta.len > LOG_META_MAX)
		log_problem(p, name, "may have at most %d bytes as JSON", LOG_META_MAX);
	else if (depth_of(v) > LOG_META_DEPTH_MAX)
		log_problem(p, name, "may have at most %d levels", LOG_META_DEPTH_MAX);
}

static const struct log_field {
	const char *name;
	const char *type_name; /* NULL: take() looks at the type */
	json_type type;
	bool is_required;
	void (*take)(struct parse *p, const char *name, struct json_object *v, struct log_entry *e);
} log_fields[] = {
	{"deviceId", "a text", json_type_string, true, take_device},
	{"timestamp", NULL, json_type_null, false, take_time},
	{"level", "a text", json_type_string, true, take_level},
	{"message", "a text", json_type_string, true, take_message},
	{"tags", "an array of texts", json_type_array, false, take_tags},
	{"source", "a text", json_type_string, false, take_source},
	{"meta", "an object", json_type_object, false, take_meta},
};
#define LOG_FIELDS_N (sizeof(log_fields) / sizeof(log_fields[0]))

/* ---- entries ---- */

static void take_field(
	struct parse *p, const struct log_field *f, struct json_object *v, struct log_entry *e)
{
	if (!v && !f->is_required)
		return;
	if (f->type_name && !json_object_is_type(v, f->type))
		log_problem(p, f->name, "must be %s", f->type_name);
	else
		f->take(p, f->name, v, e);
}

static size_t log_field_find(const char *name)
{
	size_t i = 0;

	while (i < LOG_FIELDS_N && strcmp(log_fields[i].name, name) != 0)
		i++;
	return i;
}

static void take_entry(struct parse *p, struct json_object *o, struct log_entry *e)
{
	unsigned given = 0;

	*e = (struct log_entry){.logged_ms = LOG_NO_TIME};
	if (!json_object_is_type(o, json_type_object)) {
		log_problem(p, "", "must be an object");
		return;
	}
	json_object_object_foreach (o, key, v) {
		size_t i = log_field_find(key);

		if (i == LOG_FIELDS_N) {
			log_problem(p, strlen(key) > NAME_MAX_LEN ? "(a longer name)" : key,
				"unknown field");
			continue;
		}
		given |= 1u << i;
		take_field(p, &log_fields[i], v, e);
	}
	for (size_t i = 0; i < LOG_FIELDS_N; i++)
		if (log_fields[i].is_required && !(given & 1u << i))
			log_problem(p, log_fields[i].name, "is required");
}

static void check_number(struct parse *p, size_t n)
{
	p->index = NO_INDEX;
	if (n < 1 || n > LOG_ENTRIES_MAX)
		log_problem(p, "", "there must be 1 to %d entries", LOG_ENTRIES_MAX);
}

size_t log_parse_json(
	struct log_batch *b, struct json_object *o, log_problem_fn *problem, void *arg)
{
	bool is_array = json_object_is_type(o, json_type_array);
	size_t n = is_array ? json_object_array_length(o) : 1;
	struct parse p = {.problem = problem, .arg = arg};

	check_number(&p, n);
	if (p.problems_n)
		return p.problems_n;
	b->v = xcalloc(n, sizeof(*b->v));
	b->n = n;
	b->json = xcalloc(1, sizeof(struct json_object *));
	b->json[b->json_n++] = json_object_get(o);
	for (size_t i = 0; i < n; i++) {
		p.index = is_array ? i : NO_INDEX;
		take_entry(&p, is_array ? json_object_array_get_idx(o, i) : o, &b->v[i]);
	}
	return p.problems_n;
}

/* ---- lines ---- */

struct line {
	size_t number; /* from 1 */
	const char *p;
	size_t len;
};

static bool is_line_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The next line that is not blank; false at the end. */
static bool next_log_line(const char **at, const char *end, struct line *l)
{
	while (*at < end) {
		const char *from = *at, *to = memchr(from, '\n', (size_t)(end - from));

		l->number++;
		*at = to ? to + 1 : end;
		to = to ? to : end;
		while (from < to && is_line_blank(*from))
			from++;
		l->p = from;
		l->len = (size_t)(to - from);
		if (l->len)
			return true;
	}
	return false;
}

static void take_line(struct parse *p, struct log_batch *b, const struct line *l)
{
	const char *why = NULL;
	size_t offset = 0;
	struct json_object *o = json_parse(l->p, l->len, &why, &offset);

	if (!o && why) {
		log_problem(
			p, "", "line %zu is no JSON: %s (at its byte %zu)", l->number, why, offset);
		return;
	}
	b->json[b->json_n++] = o;
	take_entry(p, o, &b->v[b->n++]);
}

size_t log_parse_lines(
	struct log_batch *b, const char *text, size_t len, log_problem_fn *problem, void *arg)
{
	struct parse p = {.problem = problem, .arg = arg};
	const char *first = text + text_mark_len(text, len), *at = first, *end = text + len;
	struct line l = {0};
	size_t n = 0;

	while (n <= LOG_ENTRIES_MAX && next_log_line(&at, end, &l))
		n++;
	check_number(&p, n);
	if (p.problems_n)
		return p.problems_n;
	b->v = xcalloc(n, sizeof(*b->v));
	b->json = xcalloc(n, sizeof(struct json_object *));
	at = first;
	l.number = 0;
	for (p.index = 0; next_log_line(&at, end, &l); p.index++)
		take_line(&p, b, &l);
	return p.problems_n;
}

void log_batch_fini(struct log_batch *b)
{
	for (size_t i = 0; i < b->json_n; i++)
		json_object_put(b->json[i]);
	free(b->json);
	free(b->v);
	*b = (struct log_batch){0};
}
