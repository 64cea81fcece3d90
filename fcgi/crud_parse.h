/*
 * From the JSON body of a create or update to one checked, canonical value per field. All problems
 * are noted (ctx_problem) and none is fatal here: who calls looks at ctx->problems_n. No I/O.
 */
#ifndef CMDB_CRUD_PARSE_H
#define CMDB_CRUD_PARSE_H

#include "crud.h"
#include "ids.h"

struct value {
	bool is_given;
	bool is_bad;           /* a problem was noted; v is NULL */
	struct json_object *v; /* NULL: null. A reference of the input's */
};

struct input {
	const struct resource *res;
	bool is_update;
	uint64_t id; /* of an update; 0 when it was bad */
	bool has_version;
	uint64_t version;
	size_t given_n;
	struct value v[CRUD_FIELDS_MAX]; /* as res->fields */
};

/* Reads ctx->body. input_fini() in any case. */
void input_parse(struct ctx *ctx, const struct resource *res, bool is_update, struct input *in);
/* The same of a verb's body (NULL: none), for the row of the address: the fields that the resource
 * has, too, are the input's; all of the verb's, with their defaults, are returned, a new reference.
 */
struct json_object *input_parse_verb(
	struct ctx *ctx, const struct resource *res, const struct row_verb *verb, struct input *in);
/* Takes changes of the resource's fields into the input, as if they had been given. */
void input_change(struct ctx *ctx, struct input *in, struct json_object *changes);
/* Gives every field its value: what was given, else what the row `old` (as GET shows it) has, else
 * (old NULL: a row is made) the default; and null to those whose `when` does not hold. Checks what
 * must be there. */
void input_settle(struct ctx *ctx, struct input *in, struct json_object *old);
void input_fini(struct input *in);

/* Adds the id of the address, or those of {"ids":[..]}, at most CRUD_IDS_MAX, sorted and each once.
 */
void input_ids(struct ctx *ctx, struct ids *ids);

#endif
