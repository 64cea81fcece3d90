#include "crud_parse.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "crud_value.h"

#define PATH_SIZE 128
/* What a client can make long is told in part: names of unknown fields, how many there are. */
#define NAME_MAX_LEN 64
#define UNKNOWN_MAX 20

static void note_unknown(struct ctx *ctx, const char *path, const char *name, size_t *unknown_n)
{
	char text[PATH_SIZE + NAME_MAX_LEN];
	if (++*unknown_n > UNKNOWN_MAX)
		return;
	if (strlen(name) > NAME_MAX_LEN)
		name = "(a longer name)";
	snprintf(text, sizeof(text), "%s%s%s", path, *path ? "." : "", name);
	ctx_problem(ctx, text, "unknown field");
}

/* ---- lists ---- */

static const struct field *crud_parse_find_field(
	const struct field *fields, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(fields[i].name, name) == 0)
			return &fields[i];
	return NULL;
}

/* One item that is an object, with all its fields; NULL when a problem was noted. */
static struct json_object *parse_item(
	struct ctx *ctx, const char *path, const struct list *l, struct json_object *given)
{
	struct fault why;
	char name[PATH_SIZE + NAME_MAX_LEN];
	size_t unknown_n = 0;
	bool is_good = true;
	if (!json_object_is_type(given, json_type_object)) {
		ctx_problem(ctx, path, "must be an object");
		return NULL;
	}
	json_object_object_foreach (given, key, unused) {
		(void)unused;
		if (!crud_parse_find_field(l->items, l->items_n, key))
			note_unknown(ctx, path, key, &unknown_n);
	}
	struct json_object *item = json_object_new_object();
	for (size_t i = 0; i < l->items_n; i++) {
		const struct field *f = &l->items[i];
		struct json_object *in = NULL, *v = NULL;
		bool is_given = json_object_object_get_ex(given, f->name, &in);
		fault(&why, is_given ? "must not be null" : "is required");
		v = in ? value_check(f, in, &why) : is_given ? NULL : value_default(f);
		if (!v) {
			snprintf(name, sizeof(name), "%s.%s", path, f->name);
			ctx_problem(ctx, name, "%s", why.text);
			is_good = false;
		}
		json_object_object_add(item, f->name, v);
	}
	if (is_good && !unknown_n)
		return item;
	json_object_put(item);
	return NULL;
}

static bool is_same_item(const struct list *l, struct json_object *a, struct json_object *b)
{
	if (l->is_bare)
		return json_object_equal(a, b);
	for (size_t i = 0; i < l->key_n; i++)
		if (!json_object_equal(json_object_object_get(a, l->items[i].name),
			    json_object_object_get(b, l->items[i].name)))
			return false;
	return true;
}

/* Items that are told apart by no key field but are the same. bad items are NULL in `items`. */
static void check_doubles(struct ctx *ctx, const struct field *f, struct json_object *items)
{
	size_t n = json_object_array_length(items);
	for (size_t i = 1; i < n; i++) {
		struct json_object *a = json_object_array_get_idx(items, i);
		for (size_t j = 0; a && j < i; j++) {
			struct json_object *b = json_object_array_get_idx(items, j);
			if (b && is_same_item(f->list, a, b)) {
				char path[PATH_SIZE];
				snprintf(path, sizeof(path), "%s[%zu]", f->name, i);
				ctx_problem(
					ctx, path, "is given twice, first as %s[%zu]", f->name, j);
				break;
			}
		}
	}
}

static struct json_object *parse_list(
	struct ctx *ctx, const struct field *f, struct json_object *given)
{
	const struct list *l = f->list;
	struct fault why;
	char path[PATH_SIZE];
	if (!json_object_is_type(given, json_type_array)) {
		ctx_problem(ctx, f->name, "must be an array");
		return NULL;
	}
	size_t n = json_object_array_length(given);
	if ((int64_t)n < f->min || (int64_t)n > f->max) {
		ctx_problem(ctx, f->name, "must have %lld to %lld items", (long long)f->min,
			(long long)f->max);
		return NULL;
	}
	struct json_object *items = json_object_new_array_ext((int)n);
	for (size_t i = 0; i < n; i++) {
		struct json_object *in = json_object_array_get_idx(given, i), *v = NULL;
		snprintf(path, sizeof(path), "%s[%zu]", f->name, i);
		if (!l->is_bare) {
			v = parse_item(ctx, path, l, in);
		} else {
			fault(&why, "must not be null");
			v = in ? value_check(&l->items[0], in, &why) : NULL;
			if (!v)
				ctx_problem(ctx, path, "%s", why.text);
		}
		json_object_array_add(items, v);
	}
	check_doubles(ctx, f, items);
	return items;
}

/* ---- the body ---- */

static bool is_read_only(const struct resource *res, const char *name)
{
	if (strcmp(name, "created_at") == 0 || strcmp(name, "updated_at") == 0 ||
		strcmp(name, "id") == 0 || strcmp(name, "version") == 0)
		return true;
	for (size_t i = 0; i < res->fields_n; i++)
		for (size_t j = 0; j < CRUD_SHOWS_MAX && res->fields[i].shows[j].json; j++)
			if (strcmp(name, res->fields[i].shows[j].json) == 0)
				return true;
	return false;
}

static void parse_field(
	struct ctx *ctx, const struct field *f, struct json_object *given, struct value *to)
{
	struct fault why;
	to->is_given = true;
	if (!given) {
		if (!(f->flags & FIELD_NULL))
			ctx_problem(ctx, f->name, "must not be null");
	} else if (f->type == FIELD_LIST) {
		to->v = parse_list(ctx, f, given);
	} else {
		to->v = value_check(f, given, &why);
		if (!to->v)
			ctx_problem(ctx, f->name, "%s", why.text);
	}
	to->is_bad = !to->v && (given || !(f->flags & FIELD_NULL));
}

static uint64_t parse_count(struct ctx *ctx, const char *name, struct json_object *given)
{
	static const struct field positive = {.type = FIELD_INT, .min = 1, .max = INT64_MAX};
	struct fault why;
	fault(&why, "must not be null");
	struct json_object *v = given ? value_check(&positive, given, &why) : NULL;
	if (!v) {
		ctx_problem(ctx, name, "%s", why.text);
		return 0;
	}
	uint64_t n = json_object_get_uint64(v);
	json_object_put(v);
	return n;
}

/* The id of an update is in its address, or in its body, or in both. */
static void take_address(struct ctx *ctx, struct input *in)
{
	bool is_given = json_object_object_get_ex(ctx->body, "id", NULL);

	if (ctx->params.n == 0) {
		if (!is_given)
			ctx_problem(ctx, "id", "is required");
		return;
	}
	if (is_given && in->id && in->id != ctx->params.v[0].id)
		ctx_problem(ctx, "id", "is not the one of the address");
	in->id = ctx->params.v[0].id;
}

void input_parse(struct ctx *ctx, const struct resource *res, bool is_update, struct input *in)
{
	size_t unknown_n = 0;
	*in = (struct input){.res = res, .is_update = is_update};
	json_object_object_foreach (ctx->body, key, given) {
		const struct field *f = crud_parse_find_field(res->fields, res->fields_n, key);
		if (f) {
			parse_field(ctx, f, given, &in->v[f - res->fields]);
			in->given_n++;
		} else if (is_update && strcmp(key, "id") == 0) {
			in->id = parse_count(ctx, key, given);
		} else if (is_update && strcmp(key, "version") == 0) {
			in->has_version = true;
			in->version = parse_count(ctx, key, given);
		} else if (is_read_only(res, key)) {
			ctx_problem(ctx, key, "is read-only");
		} else {
			note_unknown(ctx, "", key, &unknown_n);
		}
	}
	if (is_update)
		take_address(ctx, in);
	if (is_update && in->given_n == 0 && ctx->problems_n == 0)
		ctx_problem(ctx, "body", "gives nothing to change");
}

static void set_value(struct value *to, struct json_object *v)
{
	json_object_put(to->v);
	to->v = v;
}

/* ---- verbs ---- */

void input_change(struct ctx *ctx, struct input *in, struct json_object *changes)
{
	json_object_object_foreach (changes, key, v) {
		const struct field *f =
			crud_parse_find_field(in->res->fields, in->res->fields_n, key);
		assert(f && !(f->flags & FIELD_OWNER));
		set_value(&in->v[f - in->res->fields], NULL);
		parse_field(ctx, f, v, &in->v[f - in->res->fields]);
	}
}

/* What a verb's field has: what was given, or its default. */
static void settle_verb_field(
	struct ctx *ctx, const struct field *f, struct value *v, struct json_object *given)
{
	if (v->is_bad)
		return;
	if (!v->is_given)
		v->v = value_default(f);
	if (!v->v && (f->flags & FIELD_REQUIRED))
		ctx_problem(ctx, f->name, "is required");
	json_object_object_add(given, f->name, json_object_get(v->v));
}

struct json_object *input_parse_verb(
	struct ctx *ctx, const struct resource *res, const struct row_verb *verb, struct input *in)
{
	struct json_object *all = json_object_new_object();
	struct value values[CRUD_FIELDS_MAX] = {0};
	size_t unknown_n = 0;

	if (!ctx->body) /* the route takes none */
		ctx->body = json_object_new_object();
	*in = (struct input){.res = res, .is_update = true, .id = ctx->params.v[0].id};
	json_object_object_foreach (ctx->body, key, given) {
		const struct field *f = crud_parse_find_field(verb->fields, verb->fields_n, key);
		if (f) {
			parse_field(ctx, f, given, &values[f - verb->fields]);
		} else if (strcmp(key, "version") == 0) {
			in->has_version = true;
			in->version = parse_count(ctx, key, given);
		} else {
			note_unknown(ctx, "", key, &unknown_n);
		}
	}
	for (size_t i = 0; i < verb->fields_n; i++) {
		const struct field *own =
			crud_parse_find_field(res->fields, res->fields_n, verb->fields[i].name);
		settle_verb_field(ctx, &verb->fields[i], &values[i], all);
		if (own && (values[i].is_given || values[i].v))
			in->v[own - res->fields] = (struct value){.is_given = true,
				.is_bad = values[i].is_bad,
				.v = json_object_get(values[i].v)};
		set_value(&values[i], NULL);
	}
	return all;
}

/* What a field has whose `when` holds. was_there: it held before, too. */
static void settle_field(
	struct ctx *ctx, struct input *in, size_t i, struct json_object *old, bool was_there)
{
	const struct field *f = &in->res->fields[i];
	struct value *to = &in->v[i];

	if (to->is_bad)
		return;
	if (!to->is_given && old && was_there)
		set_value(to, json_object_get(json_object_object_get(old, f->name)));
	else if (!to->v && (!to->is_given || f->when.field))
		set_value(to, value_default(f));
	if (!to->v && (f->flags & FIELD_REQUIRED)) {
		if (f->when.field)
			ctx_problem(ctx, f->name, "is required with %s \"%s\"", f->when.field,
				f->when.value);
		else
			ctx_problem(ctx, f->name, "is required");
	}
}

/* The index of a field that another depends on. */
static size_t field_index(const struct resource *res, const char *name)
{
	return (size_t)(crud_parse_find_field(res->fields, res->fields_n, name) - res->fields);
}

void input_settle(struct ctx *ctx, struct input *in, struct json_object *old)
{
	const struct resource *res = in->res;
	for (size_t i = 0; i < res->fields_n; i++)
		if (!res->fields[i].when.field)
			settle_field(ctx, in, i, old, true);

	for (size_t i = 0; i < res->fields_n; i++) {
		const struct field *f = &res->fields[i];
		if (!f->when.field)
			continue;
		const char *is = json_object_get_string(in->v[field_index(res, f->when.field)].v);
		const char *was = old ? json_get_str(old, f->when.field) : NULL;
		if (!is)
			continue; /* that one's own problem was noted */
		if (strcmp(is, f->when.value) == 0) {
			settle_field(ctx, in, i, old, was && strcmp(was, f->when.value) == 0);
		} else if (in->v[i].v) {
			ctx_problem(ctx, f->name,
				"must be null or not given: it goes with %s \"%s\", not \"%s\"",
				f->when.field, f->when.value, is);
		}
	}
}

void input_fini(struct input *in)
{
	for (size_t i = 0; i < CRUD_FIELDS_MAX; i++)
		set_value(&in->v[i], NULL);
}

/* ---- ids ---- */

void input_ids(struct ctx *ctx, struct ids *ids)
{
	struct json_object *given = NULL;
	char path[PATH_SIZE];
	size_t unknown_n = 0;
	if (ctx->params.n > 0) {
		ids_add(ids, ctx->params.v[0].id);
		return;
	}
	json_object_object_foreach (ctx->body, key, unused) {
		(void)unused;
		if (strcmp(key, "ids") != 0)
			note_unknown(ctx, "", key, &unknown_n);
	}
	if (!json_object_object_get_ex(ctx->body, "ids", &given)) {
		ctx_problem(ctx, "ids", "is required");
		return;
	}
	if (!json_object_is_type(given, json_type_array)) {
		ctx_problem(ctx, "ids", "must be an array");
		return;
	}
	size_t n = json_object_array_length(given);
	if (n < 1 || n > CRUD_IDS_MAX) {
		ctx_problem(ctx, "ids", "must have 1 to %d items", CRUD_IDS_MAX);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "ids[%zu]", i);
		ids_add(ids, parse_count(ctx, path, json_object_array_get_idx(given, i)));
	}
	ids_sort(ids);
}
