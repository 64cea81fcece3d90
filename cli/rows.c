#include "rows.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "json.h"
#include "mem.h"
#include "out.h"

#define COLUMN_MAX 60 /* one long cell is not to widen all rows */

/* Length of the word at p, which ends at a blank or the end. */
static size_t rows_word_len(const char *p)
{
	return strcspn(p, " ");
}

static const char *next_word(const char *p)
{
	p += rows_word_len(p);
	return *p ? p + 1 : p;
}

static struct json_object *list_of(const char *text)
{
	struct json_object *a = json_object_new_array();

	while (text && *text) {
		size_t len = strcspn(text, "\n");

		json_object_array_add(a, json_object_new_string_len(text, (int)len));
		text += len + (text[len] == '\n');
	}
	return a;
}

static struct json_object *rows_value_of(const struct db_val *v, char kind)
{
	char at[CLOCK_RFC3339_SIZE];
	const char *why = NULL;
	size_t offset = 0;

	if (kind == 'l')
		return list_of(dbv_text(v));
	if (v->type == DB_NULL)
		return NULL;
	switch (kind) {
	case 'u':
		return json_object_new_uint64(dbv_u(v));
	case 'b':
		return json_object_new_boolean(dbv_u(v) != 0);
	case 't':
		clock_from_sql(dbv_text(v), at);
		return json_object_new_string(at);
	case 'j':
		return json_parse_own(v->s.p, v->s.len, &why, &offset);
	default:
		return json_object_new_string(dbv_text(v));
	}
}

struct json_object *rows_object(const char *cols, const struct db_val *vals, size_t n)
{
	struct json_object *o = json_object_new_object();
	const char *p = cols;

	for (size_t i = 0; i < n; i++, p = next_word(p)) {
		char *name = xstrndup(p, strcspn(p, ":"));

		json_object_object_add(o, name, rows_value_of(&vals[i], p[rows_word_len(p) - 1]));
		free(name);
	}
	return o;
}

enum err rows_query(struct db *db, const struct db_stmt *st, const struct db_val *in, size_t in_n,
	const char *cols, struct json_object **rows)
{
	const struct db_val *row;
	enum err e = db_query(db, st, in, in_n);

	*rows = NULL;
	if (e != ERR_OK)
		return e;
	*rows = json_object_new_array();
	while ((row = db_fetch(db)))
		json_object_array_add(*rows, rows_object(cols, row, (size_t)st->cols_n));
	db_done(db);
	return ERR_OK;
}

/* ---- text ---- */

/* A value as a cell of a table; returns its width. */
static size_t add_cell(struct str *out, struct json_object *v)
{
	size_t width = 0;

	if (!v)
		return out_add_safe(out, "-");
	if (json_object_is_type(v, json_type_boolean))
		return out_add_safe(out, json_object_get_boolean(v) ? "yes" : "no");
	if (json_object_is_type(v, json_type_object)) {
		struct str json = STR_INIT;

		json_print(&json, v);
		width = out_add_safe(out, str_c(&json));
		str_fini(&json);
		return width;
	}
	if (!json_object_is_type(v, json_type_array)) {
		const char *text = json_object_get_string(v);

		return out_add_safe(out, *text ? text : "-");
	}
	for (size_t i = 0; i < json_object_array_length(v); i++) {
		if (i > 0)
			width += out_add_safe(out, ",");
		width += add_cell(out, json_object_array_get_idx(v, i));
	}
	return width ? width : out_add_safe(out, "-");
}

static struct json_object *member(struct json_object *o, const char *word)
{
	char *name = xstrndup(word, rows_word_len(word));
	struct json_object *v = json_get(o, name);

	free(name);
	return v;
}

/* A member's name as people read it, lastSeen and last_seen as LAST SEEN; returns its width. */
static size_t add_head(struct str *out, const char *word)
{
	size_t len = rows_word_len(word), before = out->len;

	for (size_t i = 0; i < len; i++) {
		bool is_lower = word[i] >= 'a' && word[i] <= 'z';

		if (i > 0 && word[i] >= 'A' && word[i] <= 'Z')
			str_addc(out, ' ');
		str_addc(out, word[i] == '_' ? ' ' : (char)(is_lower ? word[i] - 32 : word[i]));
	}
	return out->len - before;
}

static size_t column_width(struct json_object *rows, const char *word)
{
	struct str cell = STR_INIT;
	size_t most = add_head(&cell, word);

	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		size_t width;

		str_clear(&cell);
		width = add_cell(&cell, member(json_object_array_get_idx(rows, i), word));
		if (width > most)
			most = width;
	}
	str_fini(&cell);
	return most < COLUMN_MAX ? most : COLUMN_MAX;
}

/* Up to the column's width and two blanks; a longer cell pushes on what follows it in its row. */
static void pad(struct str *out, size_t width, size_t column)
{
	for (size_t n = (width < column ? column - width : 0) + 2; n > 0; n--)
		str_addc(out, ' ');
}

void rows_print(const struct call *call, struct json_object *rows, const char *cols)
{
	struct str out = STR_INIT;
	size_t widths[32], n = 0;

	if (call->json) {
		out_json(rows);
		return;
	}
	for (const char *p = cols; *p && n < sizeof(widths) / sizeof(widths[0]);
		p = next_word(p), n++) {
		size_t width = add_head(&out, p);

		widths[n] = column_width(rows, p);
		if (*next_word(p))
			pad(&out, width, widths[n]);
	}
	str_addc(&out, '\n');
	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		const char *p = cols;

		for (size_t k = 0; k < n; k++, p = next_word(p)) {
			size_t width =
				add_cell(&out, member(json_object_array_get_idx(rows, i), p));

			if (*next_word(p))
				pad(&out, width, widths[k]);
		}
		str_addc(&out, '\n');
	}
	out_text(str_c(&out));
	str_fini(&out);
}

static void add_members(struct str *out, const char *prefix, struct json_object *o)
{
	json_object_object_foreach (o, name, v) {
		struct str dotted = STR_INIT;

		str_addf(&dotted, "%s%s%s", prefix, *prefix ? "." : "", name);
		if (json_object_is_type(v, json_type_object)) {
			add_members(out, str_c(&dotted), v);
		} else {
			out_add_safe(out, str_c(&dotted));
			str_adds(out, ": ");
			add_cell(out, v);
			str_addc(out, '\n');
		}
		str_fini(&dotted);
	}
}

void rows_print_one(const struct call *call, struct json_object *o)
{
	struct str out = STR_INIT;

	if (call->json) {
		out_json(o);
		return;
	}
	add_members(&out, "", o);
	out_text(str_c(&out));
	str_fini(&out);
}

void rows_print_done(const struct call *call, struct json_object *o, const char *fmt, ...)
{
	struct str text = STR_INIT, out = STR_INIT;
	va_list ap;

	if (call->json) {
		out_json(o);
		return;
	}
	va_start(ap, fmt);
	str_addv(&text, fmt, ap);
	va_end(ap);
	out_add_safe(&out, str_c(&text));
	out_line(str_c(&out));
	str_fini(&text);
	str_fini(&out);
}

/* "id:u name:s" -> "id name" */
static void names_of(const char *cols, struct str *out)
{
	for (const char *p = cols; *p; p = next_word(p)) {
		if (out->len)
			str_addc(out, ' ');
		str_add(out, p, strcspn(p, ":"));
	}
}

enum ctl_exit rows_list(struct call *call, const struct db_set *const *sets,
	const struct db_stmt *st, const struct db_val *in, size_t in_n, const char *cols)
{
	enum ctl_exit status = cmd_db(call, sets);
	struct json_object *rows;
	struct str names = STR_INIT;
	enum err e;

	if (status != CTL_OK)
		return status;
	e = rows_query(call->db, st, in, in_n, cols, &rows);
	if (e != ERR_OK)
		return cmd_fail_db(call, e, "cannot read");
	names_of(cols, &names);
	rows_print(call, rows, str_c(&names));
	str_fini(&names);
	json_object_put(rows);
	return CTL_OK;
}

enum ctl_exit rows_show(struct call *call, const struct db_set *const *sets,
	const struct db_stmt *st, const char *cols, const char *what, const char *name)
{
	struct db_val in[1] = {dbv_s(name)};
	enum ctl_exit status = cmd_db(call, sets);
	struct json_object *rows;
	enum err e;

	if (status != CTL_OK)
		return status;
	e = rows_query(call->db, st, in, 1, cols, &rows);
	if (e != ERR_OK)
		return cmd_fail_db(call, e, "cannot read");
	if (json_object_array_length(rows) > 0)
		rows_print_one(call, json_object_array_get_idx(rows, 0));
	else
		status = cmd_fail(CTL_NOT_FOUND, "there is no %s named \"%s\"; see cmdbctl %s list",
			what, name, what);
	json_object_put(rows);
	return status;
}
