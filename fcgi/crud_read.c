#include <ctype.h>
#include <string.h>

#include "clock.h"
#include "crud_engine.h"
#include "crud_value.h"

#define PAGE_SIZE 20
#define PAGE_SIZE_MAX 200
#define PAGE_MAX 1000000
#define TEXT_MAX 256 /* characters of ?q= */

/* ---- one row ---- */

static void put_value(struct str *out, enum field_type type, const struct db_val *v)
{
	if (v->type == DB_NULL)
		str_adds(out, "null");
	else if (type == FIELD_BOOL)
		str_adds(out, dbv_u(v) ? "true" : "false");
	else if (type == FIELD_LIST)
		str_add(out, v->s.p, v->s.len); /* JSON as the server made it */
	else if (v->type == DB_TEXT)
		str_add_json_n(out, v->s.p, v->s.len);
	else if (v->type == DB_INT)
		str_addi(out, dbv_i(v));
	else
		str_addu(out, dbv_u(v));
}

static void put_time(struct str *out, const char *name, const struct db_val *v)
{
	char text[CLOCK_RFC3339_SIZE];
	clock_from_sql(dbv_text(v), text);
	str_addf(out, ",\"%s\":\"%s\"", name, text);
}

/* The one place where a row becomes JSON. col: the columns of crud_sql.c's put_columns(). */
static void render(const struct resource *res, const struct db_val *col, struct str *out)
{
	str_adds(out, "{\"id\":");
	str_addu(out, dbv_u(col++));
	for (size_t i = 0; i < res->fields_n; i++) {
		const struct field *f = &res->fields[i];
		str_addf(out, ",\"%s\":", f->name);
		put_value(out, f->type, col++);
		for (size_t j = 0; j < CRUD_SHOWS_MAX && f->shows[j].json; j++) {
			str_addf(out, ",\"%s\":", f->shows[j].json);
			put_value(out, f->shows[j].type, col++);
		}
	}
	str_adds(out, ",\"version\":");
	str_addu(out, dbv_u(col++));
	put_time(out, "created_at", col++);
	put_time(out, "updated_at", col);
	str_addc(out, '}');
}

enum err crud_render(struct ctx *ctx, const struct crud *c, uint64_t id, struct str *out)
{
	const struct db_val in[] = {DBV_U(ctx->task.who->tenant_id), DBV_U(id)}, *row = NULL;
	enum err e = db_one(ctx->task.db, &c->row, in, 2, &row);
	if (e == ERR_OK && !row)
		e = ERR_NOT_FOUND;
	if (e == ERR_OK)
		render(c->res, row, out);
	return e;
}

enum err crud_render_each(struct ctx *ctx, const struct crud *c, const uint64_t *ids, size_t n,
	void (*visit)(struct ctx *ctx, const struct crud *c, const struct str *row, void *arg),
	void *arg)
{
	struct str json = STR_INIT, text = STR_INIT;
	const struct db_val *row;
	enum err e = ERR_OK;
	for (size_t at = 0; at < n && e == ERR_OK; at += CRUD_ROWS_MAX) {
		str_clear(&json);
		ids_json(ids + at, n - at < CRUD_ROWS_MAX ? n - at : CRUD_ROWS_MAX, &json);
		const struct db_val in[] = {
			dbv_b(json.p, json.len), DBV_U(ctx->task.who->tenant_id)};
		e = db_query(ctx->task.db, &c->rows, in, 2);
		while (e == ERR_OK && (row = db_fetch(ctx->task.db))) {
			str_clear(&text);
			render(c->res, row, &text);
			visit(ctx, c, &text, arg);
		}
		if (e == ERR_OK)
			db_done(ctx->task.db);
	}
	str_fini(&json);
	str_fini(&text);
	return e;
}

void crud_get(struct ctx *ctx)
{
	const struct crud *c = ctx->route->arg;
	struct str row = STR_INIT;
	uint64_t id = ctx->params.v[0].id;
	enum err e = crud_render(ctx, c, id, &row);
	if (e == ERR_OK)
		ctx_ok(ctx, 200, &row);
	else if (e == ERR_NOT_FOUND)
		ctx_failf(ctx, e, "There is no %s %llu.", c->res->noun, (unsigned long long)id);
	else
		ctx_fail_db(ctx, e, "get");
	str_fini(&row);
}

/* ---- all rows ---- */

enum err crud_all(struct db *db, const struct crud *c, uint32_t tenant_id, uint64_t max_n,
	size_t max_len, struct str *items, uint64_t *total)
{
	const size_t from = items->len;
	const struct db_val *row;
	uint64_t after = 0, n = 0, asked_n, got_n;
	enum err e;
	do {
		asked_n = max_n - n < CRUD_ROWS_MAX ? max_n - n : CRUD_ROWS_MAX;
		got_n = 0;
		const struct db_val in[] = {DBV_U(tenant_id), DBV_U(after), DBV_U(asked_n)};
		e = db_query(db, &c->after, in, 3);
		if (e != ERR_OK)
			return e;
		while (items->len - from < max_len && (row = db_fetch(db))) {
			if (n)
				str_addc(items, ',');
			after = dbv_u(&row[0]);
			render(c->res, row, items);
			n++, got_n++;
		}
		db_done(db);
	} while (got_n == asked_n && n < max_n && items->len - from < max_len);

	*total = n;
	if (n < max_n && items->len - from < max_len)
		return ERR_OK;
	const struct db_val in[] = {DBV_U(tenant_id)};
	e = db_one(db, &c->count[false], in, 1, &row);
	if (e == ERR_OK)
		*total = dbv_u(&row[0]);
	return e;
}

/* ---- lists ---- */

struct listing {
	struct ctx *ctx;
	const struct crud *c;
	uint64_t page, page_size;
	const struct crud_sort *sort;
	bool is_down;
	/* Values, as c->filters; NULL: not given. */
	struct json_object *filters[CRUD_FIELDS_MAX + 1];
	struct str ascii; /* the text to search for, for columns that hold lower-case ASCII only */
	struct str items;
};

/* %text%, with LIKE's own characters escaped; in ascii with a '?', which no such column has, for
 * what is not ASCII. */
static struct json_object *search_pattern(const char *text, struct str *ascii, struct fault *why)
{
	size_t chars = 0;
	struct str like = STR_INIT;
	str_addc(&like, '%');
	for (const char *p = text; *p; p++) {
		chars += ((unsigned char)*p & 0xc0) != 0x80;
		if (strchr("%_\\", *p))
			str_addc(&like, '\\');
		str_addc(&like, *p);
	}
	str_addc(&like, '%');
	str_clear(ascii);
	for (const char *p = like.p; *p; p++)
		str_addc(ascii, *p & 0x80 ? '?' : (char)tolower((unsigned char)*p));
	struct json_object *v = chars > TEXT_MAX
					? fault(why, "must be at most %d characters", TEXT_MAX)
					: json_object_new_string(like.p);
	str_fini(&like);
	return v;
}

static void read_sort(struct listing *l, const char *value)
{
	l->is_down = value[0] == '-';
	for (size_t i = 0; i < l->c->sorts_n; i++)
		if (strcmp(l->c->sorts[i].name, value + l->is_down) == 0) {
			l->sort = &l->c->sorts[i];
			return;
		}
	struct str names = STR_INIT;
	for (size_t i = 0; i < l->c->sorts_n; i++)
		str_addf(&names, "%s %s", i ? "," : "", l->c->sorts[i].name);
	ctx_problem(l->ctx, "sort", "must be one of%s, each also with - before it", str_c(&names));
	str_fini(&names);
}

static void read_filter(struct listing *l, size_t i, const char *value)
{
	struct fault why;
	const struct crud_filter *f = &l->c->filters[i];
	struct json_object *v = f->field ? value_from_text(f->field, value, &why)
					 : search_pattern(value, &l->ascii, &why);
	if (!v)
		ctx_problem(l->ctx, f->name, "%s", why.text);
	json_object_put(l->filters[i]);
	l->filters[i] = v;
}

static void read_param(const char *key, const char *value, void *arg)
{
	struct listing *l = arg;
	if (strcmp(key, "page") == 0) {
		if (!parse_u64(value, 1, PAGE_MAX, &l->page))
			ctx_problem(l->ctx, key, "must be an integer from 1 to %d", PAGE_MAX);
		return;
	}
	if (strcmp(key, "page_size") == 0) {
		if (!parse_u64(value, 1, PAGE_SIZE_MAX, &l->page_size))
			ctx_problem(l->ctx, key, "must be an integer from 1 to %d", PAGE_SIZE_MAX);
		return;
	}
	if (strcmp(key, "sort") == 0) {
		read_sort(l, value);
		return;
	}
	for (size_t i = 0; i < l->c->filters_n; i++)
		if (strcmp(l->c->filters[i].name, key) == 0) {
			read_filter(l, i, value);
			return;
		}
	if (strcmp(key, "token") != 0) /* who asks: read by dispatch */
		ctx_problem(l->ctx, key, "unknown parameter");
}

static bool has_filters(const struct listing *l)
{
	for (size_t i = 0; i < l->c->filters_n; i++)
		if (l->filters[i])
			return true;
	return false;
}

/* The parameters of a count; a page takes two more. How many. */
static size_t bind_filters(const struct listing *l, struct db_val *in)
{
	size_t n = 0;
	in[n++] = DBV_U(l->ctx->task.who->tenant_id);
	for (size_t i = 0; i < l->c->filters_n && has_filters(l); i++) {
		struct db_val v = value_bind(l->filters[i]);
		in[n++] = v;
		for (const char *b = l->c->filters[i].binds; *b; b++)
			if (*b == 't')
				in[n++] = in[0];
			else if (*b == 'a' && l->filters[i])
				in[n++] = dbv_b(l->ascii.p, l->ascii.len);
			else
				in[n++] = v;
	}
	return n;
}

static enum err read_page(struct listing *l, uint64_t *total)
{
	struct db *db = l->ctx->task.db;
	struct db_val in[CRUD_BINDS_MAX];
	const struct db_val *row;
	bool is_filtered = has_filters(l);
	size_t n = bind_filters(l, in);
	uint64_t offset = (l->page - 1) * l->page_size, rows_n = 0;
	in[n] = DBV_U(l->page_size);
	in[n + 1] = DBV_U(offset);

	enum err e = db_query(db, &l->sort->page[is_filtered][l->is_down], in, n + 2);
	if (e != ERR_OK)
		return e;
	for (; (row = db_fetch(db)); rows_n++) {
		if (rows_n)
			str_addc(&l->items, ',');
		render(l->c->res, row, &l->items);
	}
	db_done(db);

	/* A page that is not full is the last one: then there is nothing to count. */
	*total = offset + rows_n;
	if (rows_n == l->page_size || (rows_n == 0 && offset > 0)) {
		e = db_one(db, &l->c->count[is_filtered], in, n, &row);
		if (e == ERR_OK)
			*total = dbv_u(&row[0]);
	}
	return e;
}

void crud_list(struct ctx *ctx)
{
	const struct crud *c = ctx->route->arg;
	struct listing l = {
		.ctx = ctx, .c = c, .page = 1, .page_size = PAGE_SIZE, .sort = &c->sorts[0]};
	struct str data = STR_INIT;
	uint64_t total = 0;

	if (!query_each(ctx->req.query, read_param, &l)) {
		ctx_fail(ctx, ERR_BAD_REQUEST, "The query string is not well encoded.");
		goto out;
	}
	if (ctx->problems_n) {
		ctx_fail(ctx, ERR_BAD_REQUEST, NULL);
		goto out;
	}
	enum err e = read_page(&l, &total);
	if (e != ERR_OK) {
		ctx_fail_db(ctx, e, "list");
		goto out;
	}
	str_addf(&data, "{\"items\":[%s],\"total\":%llu,\"page\":%llu,\"page_size\":%llu}",
		str_c(&l.items), (unsigned long long)total, (unsigned long long)l.page,
		(unsigned long long)l.page_size);
	ctx_ok(ctx, 200, &data);
out:
	for (size_t i = 0; i < c->filters_n; i++)
		json_object_put(l.filters[i]);
	str_fini(&l.ascii);
	str_fini(&l.items);
	str_fini(&data);
}
