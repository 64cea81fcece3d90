/*
 * A statement is prepared once a connection and then costs one round trip: execute, with the rows
 * coming back in the same answer and held by Connector/C. Rows are bound by what the server says of
 * the columns at each execution, into one buffer that the statement keeps.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errmsg.h>

#include "db_internal.h"
#include "mem.h"

/* uthash grows its table by malloc: like all small allocations it does not fail here. */
#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

#define BUF_KEEP_SIZE (256u * 1024) /* a larger row buffer is freed with its result */
#define ROWS_MAX 10000              /* rows of one execution */
#define TEXT_SIZE_MIN 68            /* any number or time as text */

struct db_prepared {
	const struct db_stmt *st; /* the key */
	MYSQL_STMT *stmt;
	MYSQL_BIND *in, *out;
	unsigned long *lens;
	my_bool *nulls;
	struct db_val *row;
	char *buf;
	size_t buf_size;
	UT_hash_handle hh;
};

struct db_val dbv_s(const char *text)
{
	return text ? dbv_b(text, strlen(text)) : DBV_NULL;
}

struct db_val dbv_b(const void *p, size_t len)
{
	return (struct db_val){.type = DB_TEXT, .s = {p, len}};
}

uint64_t dbv_u(const struct db_val *v)
{
	assert(v->type == DB_NULL || v->type == DB_UINT || (v->type == DB_INT && v->i >= 0));
	return v->type == DB_NULL ? 0 : v->u;
}

int64_t dbv_i(const struct db_val *v)
{
	assert(v->type == DB_NULL || v->type == DB_INT ||
		(v->type == DB_UINT && v->u <= INT64_MAX));
	return v->type == DB_NULL ? 0 : v->i;
}

const char *dbv_text(const struct db_val *v)
{
	assert(v->type == DB_NULL || v->type == DB_TEXT);
	return v->type == DB_NULL ? NULL : v->s.p;
}

struct slice dbv_slice(const struct db_val *v)
{
	assert(v->type == DB_NULL || v->type == DB_TEXT);
	return (struct slice){
		.p = v->type == DB_NULL ? "" : v->s.p, .len = v->type == DB_NULL ? 0 : v->s.len};
}

/* ---- preparing ---- */

static void prepared_free(struct db_prepared *p)
{
	if (p->stmt)
		mysql_stmt_close(p->stmt);
	free(p->in);
	free(p->out);
	free(p->lens);
	free(p->nulls);
	free(p->row);
	free(p->buf);
	free(p);
}

static void prepared_drop(struct db *db, struct db_prepared *p)
{
	if (db->active == p)
		db->active = NULL;
	HASH_DEL(db->prepared, p);
	prepared_free(p);
}

void db_prepared_drop_all(struct db *db)
{
	struct db_prepared *p, *next;

	HASH_ITER (hh, db->prepared, p, next)
		prepared_drop(db, p);
}

static enum err fail_stmt(struct db *db, struct db_prepared *p, const char *what)
{
	char message[512];
	unsigned code = mysql_stmt_errno(p->stmt);

	snprintf(message, sizeof(message), "%s", mysql_stmt_error(p->stmt));
	return db_fail(db, code ? code : CR_UNKNOWN_ERROR, message, what);
}

static enum err db_stmt_check_shape(struct db *db, const struct db_prepared *p)
{
	unsigned long params_n = mysql_stmt_param_count(p->stmt);
	unsigned cols_n = mysql_stmt_field_count(p->stmt);
	char message[128];

	if (params_n == (unsigned long)p->st->params_n && cols_n == (unsigned)p->st->cols_n)
		return ERR_OK;
	snprintf(message, sizeof(message), "has %lu parameters and %u columns, not %d and %d",
		params_n, cols_n, p->st->params_n, p->st->cols_n);
	return db_fail(db, CR_UNKNOWN_ERROR, message, p->st->name);
}

/* *out is of the connection, borrowed. */
static enum err prepare(struct db *db, const struct db_stmt *st, struct db_prepared **out)
{
	struct db_prepared *p = xcalloc(1, sizeof(*p));
	size_t params_n = (size_t)st->params_n, cols_n = (size_t)st->cols_n;
	my_bool yes = 1;
	enum err e;

	p->st = st;
	p->stmt = mysql_stmt_init(db->conn);
	if (!p->stmt)
		abort(); /* out of memory */
	mysql_stmt_attr_set(p->stmt, STMT_ATTR_UPDATE_MAX_LENGTH, &yes);
	/* From here on it is the connection's, which db_fail() may drop with all that it has. */
	HASH_ADD_PTR(db->prepared, st, p);
	if (mysql_stmt_prepare(p->stmt, st->sql, strlen(st->sql)))
		e = fail_stmt(db, p, st->name);
	else
		e = db_stmt_check_shape(db, p);
	if (e != ERR_OK) {
		HASH_FIND_PTR(db->prepared, &st, p);
		if (p)
			prepared_drop(db, p);
		return e;
	}
	p->in = xcalloc(params_n + 1, sizeof(*p->in));
	p->out = xcalloc(cols_n + 1, sizeof(*p->out));
	p->lens = xcalloc(cols_n + 1, sizeof(*p->lens));
	p->nulls = xcalloc(cols_n + 1, sizeof(*p->nulls));
	p->row = xcalloc(cols_n + 1, sizeof(*p->row));
	*out = p;
	return ERR_OK;
}

static enum err prepared_get(struct db *db, const struct db_stmt *st, struct db_prepared **out)
{
	HASH_FIND_PTR(db->prepared, &st, *out);
	return *out ? ERR_OK : prepare(db, st, out);
}

enum err db_prepare_sets(struct db *db)
{
	for (size_t i = 0; db->sets && db->sets[i]; i++) {
		const struct db_set *set = db->sets[i];

		for (size_t k = 0; !set->is_lazy && set->stmts[k]; k++) {
			struct db_prepared *p;
			enum err e = prepared_get(db, set->stmts[k], &p);

			if (e != ERR_OK)
				return e;
		}
	}
	return ERR_OK;
}

/* ---- executing ---- */

static void bind_params(struct db_prepared *p, const struct db_val *in)
{
	for (int i = 0; i < p->st->params_n; i++) {
		MYSQL_BIND *b = &p->in[i];

		memset(b, 0, sizeof(*b));
		switch (in[i].type) {
		case DB_NULL:
			b->buffer_type = MYSQL_TYPE_NULL;
			break;
		case DB_INT:
		case DB_UINT:
			b->buffer_type = MYSQL_TYPE_LONGLONG;
			b->buffer = (void *)&in[i].u;
			b->is_unsigned = in[i].type == DB_UINT;
			break;
		case DB_DOUBLE:
			b->buffer_type = MYSQL_TYPE_DOUBLE;
			b->buffer = (void *)&in[i].d;
			break;
		case DB_TEXT:
			b->buffer_type = MYSQL_TYPE_STRING;
			b->buffer = (void *)in[i].s.p;
			b->buffer_length = in[i].s.len;
			break;
		}
	}
}

static bool execute_once(struct db_prepared *p, const struct db_val *in)
{
	bind_params(p, in);
	if (p->st->params_n && mysql_stmt_bind_param(p->stmt, p->in))
		return false;
	return !mysql_stmt_execute(p->stmt);
}

/* A column of many rows, as Connector/C takes it: arrays of values, lengths and whether they are
 * NULL. */
struct column {
	union {
		uint64_t *numbers;
		const char **texts;
	} v;
	unsigned long *lens;
	char *indicators;
};

static void column_fill(
	struct column *c, const struct db_val *in, size_t n, size_t rows_n, MYSQL_BIND *b)
{
	enum db_type type = DB_NULL;

	memset(b, 0, sizeof(*b));
	c->v.numbers = xcalloc(rows_n, sizeof(uint64_t));
	c->lens = xcalloc(rows_n, sizeof(*c->lens));
	c->indicators = xcalloc(rows_n, 1);
	for (size_t i = 0; i < rows_n; i++, in += n) {
		c->indicators[i] = in->type == DB_NULL ? STMT_INDICATOR_NULL : STMT_INDICATOR_NONE;
		if (in->type == DB_NULL)
			continue;
		assert(type == DB_NULL || type == in->type);
		type = in->type;
		if (type == DB_TEXT) {
			c->v.texts[i] = in->s.p;
			c->lens[i] = in->s.len;
		} else {
			c->v.numbers[i] = in->u; /* a double's bits, too */
		}
	}
	b->buffer_type = type == DB_TEXT     ? MYSQL_TYPE_STRING
			 : type == DB_DOUBLE ? MYSQL_TYPE_DOUBLE
			 : type == DB_NULL   ? MYSQL_TYPE_STRING
					     : MYSQL_TYPE_LONGLONG;
	b->is_unsigned = type == DB_UINT;
	b->buffer = c->v.numbers;
	b->length = c->lens;
	b->u.indicator = c->indicators;
}

static void column_fini(struct column *c)
{
	free(c->v.numbers);
	free(c->lens);
	free(c->indicators);
}

static bool execute_rows(struct db_prepared *p, const struct db_val *in, size_t rows_n)
{
	size_t n = (size_t)p->st->params_n;
	struct column *columns = xcalloc(n, sizeof(*columns));
	unsigned int array_n = (unsigned int)rows_n, none = 0;
	bool ok;

	static_assert(sizeof(uint64_t) == sizeof(char *), "numbers and texts share their array");
	for (size_t i = 0; i < n; i++)
		column_fill(&columns[i], in + i, n, rows_n, &p->in[i]);
	mysql_stmt_attr_set(p->stmt, STMT_ATTR_ARRAY_SIZE, &array_n);
	ok = !mysql_stmt_bind_param(p->stmt, p->in) && !mysql_stmt_execute(p->stmt);
	mysql_stmt_attr_set(p->stmt, STMT_ATTR_ARRAY_SIZE, &none);
	for (size_t i = 0; i < n; i++)
		column_fini(&columns[i]);
	free(columns);
	return ok;
}

/* The packet of an execution: a header, and each parameter with its type, length and bytes. */
static size_t size_of(const struct db_val *in, size_t in_n)
{
	size_t size = 16 + in_n / 8;

	for (size_t i = 0; i < in_n; i++)
		size += 2 + 9 + (in[i].type == DB_TEXT ? in[i].s.len : 8);
	return size;
}

/* A server may forget a statement without the connection being lost (a proxy that moved us to
 * another server, an altered table): it is prepared again, once. Nothing was done by then. */
static enum err execute(struct db *db, const struct db_stmt *st, const struct db_val *in,
	size_t rows_n, struct db_prepared **out)
{
	enum err fits;

	if (!db->conn)
		return ERR_DB_LOST;
	fits = db_check_size(db, size_of(in, rows_n * (size_t)st->params_n), st->name);
	if (fits != ERR_OK)
		return fits;
	db_done(db);
	for (bool is_again = false;; is_again = true) {
		enum err e = prepared_get(db, st, out);

		if (e != ERR_OK)
			return e;
		if (rows_n == 1 ? execute_once(*out, in) : execute_rows(*out, in, rows_n))
			return ERR_OK;
		if (is_again || !db_error_is_stale_stmt(mysql_stmt_errno((*out)->stmt)))
			return fail_stmt(db, *out, st->name);
		prepared_drop(db, *out);
	}
}

enum err db_exec(struct db *db, const struct db_stmt *st, const struct db_val *in, size_t in_n,
	uint64_t *affected, uint64_t *insert_id)
{
	struct db_prepared *p;
	enum err e;

	assert(!st->cols_n && in_n == (size_t)st->params_n);
	e = execute(db, st, in, 1, &p);
	if (e != ERR_OK)
		return e;
	if (affected)
		*affected = mysql_stmt_affected_rows(p->stmt);
	if (insert_id)
		*insert_id = mysql_stmt_insert_id(p->stmt);
	return ERR_OK;
}

/* So many of the rows, at least one, as one packet takes. */
static size_t rows_that_fit(const struct db *db, const struct db_val *in, size_t n, size_t rows_n)
{
	size_t size = 0, i;

	for (i = 0; i < rows_n && i < ROWS_MAX; i++) {
		size += size_of(in + i * n, n);
		if (i > 0 && db->packet_max && size > db->packet_max)
			break;
	}
	return i;
}

enum err db_exec_rows(
	struct db *db, const struct db_stmt *st, const struct db_val *in, size_t rows_n)
{
	size_t n = (size_t)st->params_n;

	assert(!st->cols_n && n > 0);
	while (rows_n > 0) {
		size_t some = rows_that_fit(db, in, n, rows_n);
		struct db_prepared *p;
		enum err e = execute(db, st, in, some, &p);

		if (e != ERR_OK)
			return e;
		in += some * n;
		rows_n -= some;
	}
	return ERR_OK;
}

/* ---- rows ---- */

static enum db_type db_stmt_type_of(const MYSQL_FIELD *f)
{
	switch (f->type) {
	case MYSQL_TYPE_TINY:
	case MYSQL_TYPE_SHORT:
	case MYSQL_TYPE_INT24:
	case MYSQL_TYPE_LONG:
	case MYSQL_TYPE_LONGLONG:
	case MYSQL_TYPE_YEAR:
		return f->flags & UNSIGNED_FLAG ? DB_UINT : DB_INT;
	case MYSQL_TYPE_FLOAT:
	case MYSQL_TYPE_DOUBLE:
		return DB_DOUBLE;
	default:
		return DB_TEXT;
	}
}

static size_t text_size(const MYSQL_FIELD *f)
{
	return f->max_length < TEXT_SIZE_MIN ? TEXT_SIZE_MIN : f->max_length + 1;
}

static void bind_column(struct db_prepared *p, int i, const MYSQL_FIELD *f, char *buf)
{
	MYSQL_BIND *b = &p->out[i];
	struct db_val *v = &p->row[i];

	memset(b, 0, sizeof(*b));
	v->type = db_stmt_type_of(f);
	b->is_null = &p->nulls[i];
	b->length = &p->lens[i];
	switch (v->type) {
	case DB_INT:
	case DB_UINT:
		b->buffer_type = MYSQL_TYPE_LONGLONG;
		b->is_unsigned = v->type == DB_UINT;
		b->buffer = &v->u;
		break;
	case DB_DOUBLE:
		b->buffer_type = MYSQL_TYPE_DOUBLE;
		b->buffer = &v->d;
		break;
	default:
		b->buffer_type = MYSQL_TYPE_STRING;
		b->buffer = buf;
		b->buffer_length = text_size(f);
	}
}

/* The stored result says how long the longest text of each column is, so that one buffer fits all
 * rows and a row is fetched without a second look. */
static bool bind_result(struct db_prepared *p)
{
	MYSQL_RES *meta = mysql_stmt_result_metadata(p->stmt);
	const MYSQL_FIELD *fields = meta ? mysql_fetch_fields(meta) : NULL;
	size_t size = 1; /* a buffer also for no text at all: NULL + 0 is undefined */

	if (!meta)
		return false;
	for (int i = 0; i < p->st->cols_n; i++)
		if (db_stmt_type_of(&fields[i]) == DB_TEXT)
			size += text_size(&fields[i]);
	if (size > p->buf_size) {
		p->buf = xrealloc(p->buf, size);
		p->buf_size = size;
	}
	for (size_t i = 0, at = 0; i < (size_t)p->st->cols_n; i++) {
		bind_column(p, (int)i, &fields[i], p->buf + at);
		if (p->row[i].type == DB_TEXT)
			at += text_size(&fields[i]);
	}
	mysql_free_result(meta);
	return !mysql_stmt_bind_result(p->stmt, p->out);
}

enum err db_query(struct db *db, const struct db_stmt *st, const struct db_val *in, size_t in_n)
{
	struct db_prepared *p;
	enum err e;

	assert(st->cols_n && in_n == (size_t)st->params_n);
	e = execute(db, st, in, 1, &p);
	if (e != ERR_OK)
		return e;
	/* Connector/C 3.3: once the rows have ended in an error, mysql_stmt_free_result() would
	 * make the statement's next execution wait for rows that never come. There is nothing to
	 * free. */
	if (mysql_stmt_store_result(p->stmt))
		return fail_stmt(db, p, st->name);
	db->active = p;
	if (!bind_result(p)) {
		e = fail_stmt(db, p, st->name);
		db_done(db);
	}
	return e;
}

const struct db_val *db_fetch(struct db *db)
{
	struct db_prepared *p = db->active;
	int rc;

	if (!p)
		return NULL;
	rc = mysql_stmt_fetch(p->stmt);
	if (rc == MYSQL_NO_DATA)
		return NULL;
	assert(rc == 0);
	for (int i = 0; i < p->st->cols_n; i++) {
		struct db_val *v = &p->row[i];
		char *text = p->out[i].buffer;

		if (p->out[i].buffer_type == MYSQL_TYPE_STRING) {
			*v = dbv_b(text, p->nulls[i] ? 0 : p->lens[i]);
			text[v->s.len] = '\0';
		} else if (p->out[i].buffer_type == MYSQL_TYPE_DOUBLE) {
			v->type = DB_DOUBLE;
		} else {
			v->type = p->out[i].is_unsigned ? DB_UINT : DB_INT;
		}
		if (p->nulls[i])
			*v = DBV_NULL;
	}
	return p->row;
}

uint64_t db_rows_n(const struct db *db)
{
	return db->active ? mysql_stmt_num_rows(db->active->stmt) : 0;
}

void db_done(struct db *db)
{
	struct db_prepared *p = db->active;

	if (!p)
		return;
	db->active = NULL;
	mysql_stmt_free_result(p->stmt);
	if (p->buf_size > BUF_KEEP_SIZE) {
		free(p->buf);
		p->buf = NULL;
		p->buf_size = 0;
	}
}

enum err db_one(struct db *db, const struct db_stmt *st, const struct db_val *in, size_t in_n,
	const struct db_val **row)
{
	enum err e = db_query(db, st, in, in_n);

	*row = e == ERR_OK ? db_fetch(db) : NULL;
	return e;
}
