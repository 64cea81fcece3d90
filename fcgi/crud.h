/*
 * Resources that are rows of tables: create, update, delete, get and list for each, out of a
 * description of its fields. The engine knows nothing of websites; resources.c has the descriptors.
 *
 * What a descriptor leads to:
 *   POST /api/v1/<name>/create, /update, /delete    <name>:write
 *   PUT, DELETE /api/v1/<name>/{id}: the same as update and delete    <name>:write
 *   GET  /api/v1/<name>, /api/v1/<name>/{id}        as the stream <name> is read (stream.h)
 *   the verbs it has, at /api/v1/<name>/{id}<suffix>    <name>:write, or the verb's own
 * and the events of topic <name>: the payload is the row as GET shows it ({"id":N} for a delete),
 * one event for each row whose shown content changed, in the transaction that changed it.
 *
 * Besides fields, a descriptor may have
 *   events: names, and payloads of their own, for what is created, updated, deleted;
 *   rooms: a pure function of the row; its events go to the rooms it names instead of to all who
 *     may read the topic. They are those of the row as it is then, for a delete as it was; of a row
 *     that names none hears who is in all rooms;
 *   verbs: what is done to a row besides update, with fields, permission and event of their own;
 *   and an enum field transitions: which value may follow which, whoever changes it (else 409).
 *
 * Every table has id, tenant_id (never shown), version, created_at, updated_at besides the fields.
 * A row shows columns of rows it refers to (struct shown). When such a column changes, the rows
 * that show it are published too; their version stays, for nothing of their own has changed.
 *
 * Rows that are parts of another (FIELD_OWNER: a website's domains) are made, changed and deleted
 * through their own routes, and also as a list of the owner; either way both are published and the
 * owner's version counts it.
 *
 * Locks are taken in the order rows referred to (shared), owners, row, parts or rows that show it,
 * among themselves in order of fields and ids, and each through the primary key. A new reference
 * and a change or deletion of the row referred to wait for each other, so none is missed.
 */
#ifndef CMDB_CRUD_H
#define CMDB_CRUD_H

#include <stddef.h>
#include <stdint.h>

#include "db.h"
#include "route.h"

#define CRUD_FIELDS_MAX 20
#define CRUD_SHOWS_MAX 2
#define CRUD_IDS_MAX 500 /* rows of one delete */

enum field_type {
	FIELD_TEXT, /* min..max characters, on one line, no blanks at the ends */
	FIELD_PATH, /* as FIELD_TEXT without blanks, beginning with / or * */
	FIELD_INT,  /* min..max, and one of values if there are any */
	FIELD_BOOL,
	FIELD_ENUM, /* one of values */
	FIELD_REF,  /* id of a row of the resource ref */
	FIELD_IP,   /* the next four are stored as hostname.h says */
	FIELD_HOST,
	FIELD_ADDRESS, /* IP or host name */
	FIELD_URL,
	FIELD_LIST, /* rows of another table: min..max items */
};

enum field_flag {
	FIELD_REQUIRED = 1, /* to be given when a row is made; with `when`, as long as that holds */
	FIELD_NULL = 2,     /* may be null, and is when not given and without a default */
	FIELD_UNIQUE = 4,   /* in its tenant */
	FIELD_SORT = 8,
	FIELD_FILTER = 16,    /* ?field=value; for a list of bare values ?<list.filter>=item */
	FIELD_SEARCH = 32,    /* ?q= looks for a substring in it */
	FIELD_OWNER = 64,     /* FIELD_REF: the row is a part of that one */
	FIELD_WILDCARD = 128, /* FIELD_HOST: may begin with *. */
	FIELD_LINES = 256     /* FIELD_TEXT: may have line breaks */
};

/* A column of the row referred to that is shown beside the reference. */
struct shown {
	const char *json;
	const char *column; /* a field there */
	enum field_type type;
};

struct list;

/* What an enum field that is `from` may become; from NULL ends the table. What has no row there is
 * final. */
struct transition {
	const char *from;
	const char *const *to;
};

struct field {
	const char *name; /* in JSON, of the column, of the filter */
	enum field_type type;
	unsigned flags;
	int64_t min, max;
	const char *def; /* JSON; what a row gets that is made without the field */
	const char *const *values;
	const struct transition *transitions; /* NULL: any value may follow any */
	const char *ref;
	struct shown shows[CRUD_SHOWS_MAX];
	/* It is there only while the enum field when.field has when.value; else it is null. */
	struct {
		const char *field, *value;
	} when;
	const struct list *list;
};

/* Items of a FIELD_LIST, one a row of `table`, in order of its column `position`. A table that is a
 * resource's own has an id besides. */
struct list {
	const char *table;
	const char *index;  /* begins with tenant_id and parent */
	const char *parent; /* column with the id of the row the list belongs to */
	const char *filter; /* name of the filter that asks for an item; NULL: none */
	const struct field *items;
	size_t items_n;
	size_t key_n; /* the first so many fields tell items apart */
	bool is_bare; /* an item is shown as the value of its one field, not as an object */
	/* The resource whose rows the items are; its FIELD_OWNER names this list's row. NULL: none.
	 */
	const char *rows;
};

struct crud;

/* A verb at work on a row, which is locked, and what events tell of. Rows are as GET shows them.
 * All borrowed but for changes and result, to which run() adds. */
struct deed {
	const struct crud *c;
	uint64_t id;
	struct json_object *old;     /* NULL: it is being made */
	struct json_object *now;     /* NULL: not yet, or no more */
	struct json_object *given;   /* a verb's fields, all of them; else NULL */
	struct json_object *changes; /* fields that the row is to have */
	struct json_object *result;  /* for the event's payload */
	bool is_done; /* something that no field shows: counts as a change of the row */
};

struct row_event {
	const char *name; /* NULL: the topic's own */
	/* Pure. NULL: the row, or {"id":N} when it is deleted. */
	void (*put)(struct str *payload, const struct deed *d);
};

/* Something that is done to a row. Its body has `fields`, and `version` as update has it. A field
 * that is named as one of the resource's changes that one, and run(), with the row locked in the
 * request's transaction, may change more (d->changes), write other tables and set d->is_done. What
 * it changes is checked as what an update brings. Not ERR_OK: nothing is done, and it has answered
 * (ctx_fail()), or the answer is the error's with what ctx_problem() noted. Where run() changes a
 * reference, what it refers to is locked after the row. */
struct row_verb {
	const char *suffix; /* "/assign" */
	unsigned methods;   /* enum http_method, or'ed */
	const char *perm;   /* NULL: <resource>:write */
	const struct field *fields;
	size_t fields_n;
	enum err (*run)(struct ctx *ctx, struct deed *d); /* NULL: no more than the fields */
	struct row_event event; /* without a name: the resource's for EVENT_UPDATE */
};

struct resource {
	const char *name; /* "line-groups" */
	const char *noun; /* "line group" */
	const char *table;
	const char *label; /* SQL over the alias t: what people know a row by */
	const struct field *fields;
	size_t fields_n;
	const struct row_verb *verbs;
	size_t verbs_n;
	struct row_event events[EVENT_TYPE_N];
	/* Adds the rooms that the row's events go to. NULL: to none. Not of parts of other rows. */
	void (*rooms)(struct json_object *row, struct strlist *rooms);
};

struct crud_set;

/* Checks the descriptors against each other (a bug asserts) and builds statements and routes.
 * resources is borrowed. Once, before there are threads; lives as long as the process. */
const struct crud_set *crud_build(const struct resource *const *resources, size_t n);
const struct route *crud_routes(const struct crud_set *set, size_t *n);
/* All statements, prepared on first use. */
const struct db_set *crud_sql(const struct crud_set *set);
/* The resource of that name, or NULL. */
const struct crud *crud_find(const struct crud_set *set, const char *name);
/* Adds a tenant's rows as GET shows them, in order of id and joined by commas: at most max_n, and
 * none more once there are max_len bytes. *total: how many rows there are. They are read in several
 * statements: db has a snapshot (db_begin_snapshot()) that makes them one. */
enum err crud_all(struct db *db, const struct crud *c, uint32_t tenant_id, uint64_t max_n,
	size_t max_len, struct str *items, uint64_t *total) __attribute__((warn_unused_result));

#endif
