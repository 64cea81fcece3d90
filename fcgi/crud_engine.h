/*
 * A resource at work: its descriptor with the statements and the links to other resources that
 * follow from it. Made by crud_build() before there are threads, immutable since. Shared by the
 * crud_*.c files only.
 *
 * An enum err of a step is ERR_OK, what a db call said, or what its comment names; steps answer no
 * request but where they say so.
 */
#ifndef CMDB_CRUD_ENGINE_H
#define CMDB_CRUD_ENGINE_H

#include "crud_parse.h"
#include "stream.h"

#define CRUD_USES_MAX 5   /* users that a refused delete names, of each kind */
#define CRUD_ROWS_MAX 200 /* rows read by one statement */
#define CRUD_BINDS_MAX 64

/* A filter of a list: a condition with its parameters. binds says what they are, after the first,
 * which is the value (NULL: no such filter): 'v' the value, 't' the tenant, 'a' the value in
 * lower-case ASCII. */
struct crud_filter {
	const char *name;
	const struct field *field; /* whose kind of value it takes; NULL: text to search for */
	char binds[16];
};

struct crud_sort {
	const char *name;
	/* [has filters][descending]: tenant, filters, limit, offset -> rows */
	struct db_stmt page[2][2];
};

/* A FIELD_LIST and what it takes to write one. */
struct crud_items {
	const struct field *field;
	const struct crud *rows; /* the resource whose rows the items are, or NULL */
	struct db_stmt add;      /* tenant, parent, position, fields */
	struct db_stmt clear;    /* tenant, parent; the rest is for lists with `rows` */
	struct db_stmt have;     /* tenant, parent -> id, first field, position */
	struct db_stmt move;     /* position, tenant, id */
	struct db_stmt count;    /* tenant, parent -> how many */
};

/* A field of another resource that refers to rows of this one. */
struct crud_user {
	const struct crud *from;
	const struct field *field; /* FIELD_REF, or a FIELD_LIST of them */
	struct db_stmt uses;       /* JSON of ids, tenant -> id, id of the user, its label */
	struct db_stmt rows;       /* FIELD_REF: tenant, id -> ids of the users */
};

/* A verb's route leads to it. */
struct crud_verb {
	const struct crud *c;
	const struct row_verb *verb;
};

struct crud {
	const struct resource *res;
	const struct stream *stream;
	struct crud_verb *verbs; /* as res->verbs */
	struct crud_user *users;
	size_t users_n;
	struct crud_items items[CRUD_FIELDS_MAX]; /* by index of the field */
	struct crud_filter filters[CRUD_FIELDS_MAX + 1];
	size_t filters_n;
	struct crud_sort *sorts; /* the first is by id */
	size_t sorts_n;
	/* What the field, or the items of it, refer to. */
	const struct crud *refs[CRUD_FIELDS_MAX];
	const struct crud *owner;    /* whose parts the rows are, or NULL */
	size_t owner_field;          /* index of the FIELD_OWNER */
	const struct crud_items *of; /* the owner's list of them */
	const struct field *unique;  /* or NULL */

	struct db_stmt row;   /* tenant, id -> the row as shown */
	struct db_stmt after; /* tenant, id, limit -> rows with greater ids, in order of id */
	struct db_stmt rows;  /* JSON of ids, tenant -> rows in that order */
	struct db_stmt lock;  /* tenant, id -> id */
	struct db_stmt
		lock_all; /* JSON of ids, tenant -> those that are there, locked in that order */
	struct db_stmt share;    /* tenant, id -> id */
	struct db_stmt owner_of; /* tenant, id -> id of the owner */
	struct db_stmt find;     /* tenant, unique value -> id, id of the owner */
	struct db_stmt insert;   /* tenant, columns */
	struct db_stmt update;   /* columns, tenant, id */
	struct db_stmt touch;    /* tenant, id */
	struct db_stmt del;      /* tenant, id */
	struct db_stmt count[2]; /* tenant, filters -> how many; [has filters] */
};

struct crud_set {
	struct crud *v;
	size_t n;
	struct route *routes;
	size_t routes_n;
	const struct db_stmt **stmts;
	size_t stmts_n;
	struct db_set sql;
};

/* ---- crud_sql.c ---- */
void crud_sql_build(struct crud_set *set, struct crud *c);

/* ---- crud_read.c ---- */
void crud_get(struct ctx *ctx);
void crud_list(struct ctx *ctx);
/* Adds the row as GET shows it. ERR_NOT_FOUND if there is none. */
enum err crud_render(struct ctx *ctx, const struct crud *c, uint64_t id, struct str *out);
/* Renders rows, in the order of ids; those that are not there are passed over. visit must not use
 * the database. */
enum err crud_render_each(struct ctx *ctx, const struct crud *c, const uint64_t *ids, size_t n,
	void (*visit)(struct ctx *ctx, const struct crud *c, const struct str *row, void *arg),
	void *arg);

/* ---- crud_write.c, crud_delete.c ---- */
void crud_create(struct ctx *ctx);
void crud_update(struct ctx *ctx);
void crud_verb(struct ctx *ctx);
void crud_delete(struct ctx *ctx);

/* ---- crud_links.c: rows that hang together ---- */

/* Adds the ids that a statement (tenant, id) answers. */
enum err crud_ids(struct ctx *ctx, const struct db_stmt *st, uint64_t id, struct ids *to);
/* Runs a statement (tenant, id) that locks a row. ERR_NOT_FOUND. */
enum err crud_lock(struct ctx *ctx, const struct db_stmt *st, uint64_t id);
/* Locks rows in the order of ids, which are sorted; found gets those that are there. */
enum err crud_lock_all(
	struct ctx *ctx, const struct crud *c, const struct ids *ids, struct ids *found);
/* Share-locks what a row is to refer to, noting what is not there. */
enum err crud_lock_refs(struct ctx *ctx, const struct crud *c, const struct input *in);
/* Locks the owners that a part had and is to have (0: none) in order of id; notes a new one that is
 * not there. ERR_NOT_FOUND: the old one is gone. */
enum err crud_lock_owners(
	struct ctx *ctx, const struct crud *c, uint64_t was, uint64_t now, struct ids *owners);
/* Writes the list of field i. With `rows`: added and removed get the ids of what was. */
enum err crud_write_items(struct ctx *ctx, const struct crud *c, size_t i, uint64_t parent,
	struct json_object *items, struct ids *added, struct ids *removed);
/* Notes who refers to one of ids. */
enum err crud_find_uses(struct ctx *ctx, const struct crud *c, const struct ids *ids);
/* Answers for a unique value that another row has. id: this row, 0 when it is new. */
void crud_fail_duplicate(
	struct ctx *ctx, const struct crud *c, const struct input *in, uint64_t id);

/* ---- crud_publish.c ---- */
/* An event of a row: of its type, or the verb's own (NULL: none). */
void crud_emit(struct ctx *ctx, enum event_type type, const struct row_verb *verb,
	const struct deed *d, const char *row);
/* Before it is deleted, unless it is a part. */
enum err crud_emit_deleted(struct ctx *ctx, const struct crud *c, uint64_t id);
enum err crud_emit_rows(
	struct ctx *ctx, const struct crud *c, enum event_type type, const struct ids *ids);
/* An update for each row that shows a column of row `id` in which `now` differs from `old`, but for
 * those in `except`. */
enum err crud_emit_users(struct ctx *ctx, const struct crud *c, uint64_t id,
	const struct input *now, struct json_object *old, const struct ids *except);
/* The owners' lists of parts have changed: counts their versions up and publishes them.
 * ERR_CONFLICT, noted, when an owner would have too few or too many parts. */
enum err crud_touch_owners(struct ctx *ctx, const struct crud *c, const struct ids *owners);

#endif
