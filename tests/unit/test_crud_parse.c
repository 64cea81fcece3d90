/* From JSON bodies to values: what is taken, what a row gets, and every problem at once. */
#include "unit.h"

#include "crud_parse.h"
#include "crud_value.h"

static const char *const modes[] = {"group", "redirect", NULL};
static const char *const codes[] = {"301", "302", NULL};

static const struct field item_fields[] = {
	{.name = "address", .type = FIELD_ADDRESS, .flags = FIELD_REQUIRED},
	{.name = "port", .type = FIELD_INT, .min = 1, .max = 65535, .def = "80"},
	{.name = "backup", .type = FIELD_BOOL, .def = "false"},
};
static const struct list objects = {.items = item_fields, .items_n = 3, .key_n = 2};

static const struct field host_field[] = {
	{.name = "name", .type = FIELD_HOST, .flags = FIELD_WILDCARD}};
static const struct list hosts = {.items = host_field, .items_n = 1, .key_n = 1, .is_bare = true};

static const struct field fields[] = {
	{.name = "name", .type = FIELD_TEXT, .min = 1, .max = 5, .flags = FIELD_REQUIRED},
	{.name = "notes", .type = FIELD_TEXT, .max = 20, .def = "\"\"", .flags = FIELD_LINES},
	{.name = "path", .type = FIELD_PATH, .min = 1, .max = 9, .def = "\"/\""},
	{.name = "mode", .type = FIELD_ENUM, .values = modes, .flags = FIELD_REQUIRED},
	{.name = "group_id",
		.type = FIELD_REF,
		.ref = "groups",
		.flags = FIELD_REQUIRED | FIELD_NULL,
		.when = {"mode", "group"},
		.shows = {{"group_name", "name", FIELD_TEXT}}},
	{.name = "url",
		.type = FIELD_URL,
		.flags = FIELD_REQUIRED | FIELD_NULL,
		.when = {"mode", "redirect"}},
	{.name = "code",
		.type = FIELD_INT,
		.min = 301,
		.max = 302,
		.values = codes,
		.def = "302",
		.flags = FIELD_NULL,
		.when = {"mode", "redirect"}},
	{.name = "on", .type = FIELD_BOOL, .def = "true"},
	{.name = "rank", .type = FIELD_INT, .min = -1, .max = 9, .flags = FIELD_NULL},
	{.name = "hosts",
		.type = FIELD_LIST,
		.min = 1,
		.max = 3,
		.def = "[\"a.test\"]",
		.list = &hosts},
	{.name = "objects", .type = FIELD_LIST, .max = 3, .def = "[]", .list = &objects},
};
static const struct resource things = {
	.name = "things", .noun = "thing", .fields = fields, .fields_n = ARRAY_N(fields)};

/* What the code under test needs of dispatch. */

void ctx_problem(struct ctx *ctx, const char *field, const char *fmt, ...)
{
	va_list ap;
	str_addf(&ctx->problems, "%s%s: ", ctx->problems_n++ ? "|" : "", field);
	va_start(ap, fmt);
	str_addv(&ctx->problems, fmt, ap);
	va_end(ap);
}

/* One body against the row `old` (NULL: a create): the row it makes, or the problems it has. */
struct row {
	const char *body, *old, *want;
};

#define OLD_GROUP                                                                    \
	"{\"id\":7,\"name\":\"n\",\"notes\":\"\",\"path\":\"/\",\"mode\":\"group\"," \
	"\"group_id\":3,\"url\":null,\"code\":null,\"on\":true,\"rank\":null,"       \
	"\"hosts\":[\"a.test\"],\"objects\":[]}"
#define OLD_REDIRECT                                                                           \
	"{\"id\":7,\"name\":\"n\",\"notes\":\"\",\"path\":\"/\",\"mode\":\"redirect\","        \
	"\"group_id\":null,\"url\":\"http://x.test/\",\"code\":301,\"on\":true,\"rank\":null," \
	"\"hosts\":[\"a.test\"],\"objects\":[]}"
#define REDIRECT "\"mode\":\"redirect\",\"url\":\"http://x.test\""

static const struct row rows[] = {
	/* Defaults, and what belongs to a mode. */
	{"{\"name\":\"n\",\"mode\":\"group\",\"group_id\":3}", NULL,
		"{\"name\":\"n\",\"notes\":\"\",\"path\":\"\\/\",\"mode\":\"group\",\"group_id\":3,"
		"\"url\":null,\"code\":null,\"on\":true,\"rank\":null,\"hosts\":[\"a.test\"],"
		"\"objects\":[]}"},
	{"{\"name\":\"n\"," REDIRECT
	 ",\"group_id\":null,\"rank\":-1,\"on\":false,\"notes\":\"a\\nb\"}",
		NULL,
		"{\"name\":\"n\",\"notes\":\"a\\nb\",\"path\":\"\\/\",\"mode\":\"redirect\","
		"\"group_id\":null,\"url\":\"http:\\/\\/x.test\",\"code\":302,\"on\":false,"
		"\"rank\":-1,\"hosts\":[\"a.test\"],\"objects\":[]}"},
	/* Canonical forms and items' defaults. */
	{"{\"name\":\"n\"," REDIRECT ",\"code\":301,\"hosts\":[\"B.Test.\",\"*.c.test\"],"
	 "\"objects\":[{\"address\":\"2001:DB8::0:1\"},{\"address\":\"X.test\",\"port\":81}]}",
		NULL,
		"{\"name\":\"n\",\"notes\":\"\",\"path\":\"\\/\",\"mode\":\"redirect\","
		"\"group_id\":null,\"url\":\"http:\\/\\/x.test\",\"code\":301,\"on\":true,"
		"\"rank\":null,\"hosts\":[\"b.test\",\"*.c.test\"],"
		"\"objects\":[{\"address\":\"2001:db8::1\",\"port\":80,\"backup\":false},"
		"{\"address\":\"x.test\",\"port\":81,\"backup\":false}]}"},
	/* Characters, not bytes, count. */
	{"{" REDIRECT ",\"name\":\"äöüß€\",\"code\":null}", NULL,
		"{\"name\":\"äöüß€\",\"notes\":\"\",\"path\":\"\\/\",\"mode\":\"redirect\","
		"\"group_id\":null,\"url\":\"http:\\/\\/x.test\",\"code\":302,\"on\":true,"
		"\"rank\":null,\"hosts\":[\"a.test\"],\"objects\":[]}"},

	/* All problems of a create. */
	{"{}", NULL, "name: is required|mode: is required"},
	{"{\"id\":1,\"created_at\":\"x\",\"group_name\":\"x\",\"version\":1,\"nam\":\"x\","
	 "\"name\":\"n\",\"mode\":\"group\",\"group_id\":1}",
		NULL,
		"id: is read-only|created_at: is read-only|group_name: is read-only|"
		"version: is read-only|nam: unknown field"},
	{"{\"name\":5,\"mode\":\"x\",\"on\":1,\"rank\":\"1\",\"hosts\":{},\"path\":null}", NULL,
		"name: must be a string|mode: must be one of group, redirect|"
		"on: must be true or false|rank: must be an integer|hosts: must be an array|"
		"path: must not be null"},
	{"{\"name\":\"\",\"mode\":\"group\",\"group_id\":0}", NULL,
		"name: must not be empty|group_id: must be an id, an integer from 1"},
	{"{\"name\":\"toolong\",\"mode\":\"group\"}", NULL,
		"name: must be at most 5 characters|group_id: is required with mode \"group\""},
	{"{\"name\":\"n\"," REDIRECT ",\"group_id\":3}", NULL,
		"group_id: must be null or not given: it goes with mode \"group\", not "
		"\"redirect\""},
	{"{\"name\":\"n\",\"mode\":\"redirect\",\"url\":null}", NULL,
		"url: is required with mode \"redirect\""},
	{"{\"name\":\"n\"," REDIRECT ",\"code\":303,\"rank\":10}", NULL,
		"code: must be one of 301, 302|rank: must be an integer from -1 to 9"},
	{"{\"name\":\"n\"," REDIRECT ",\"rank\":1.0,\"on\":null}", NULL,
		"rank: must be an integer|on: must not be null"},
	{"{" REDIRECT ",\"name\":\" n\",\"path\":\"x\"}", NULL,
		"name: must not begin or end with a blank|path: must begin with / or *"},
	{"{" REDIRECT ",\"name\":\"a\\nb\",\"path\":\"/a b\",\"notes\":\"\\u0001\"}", NULL,
		"name: must not have control characters|path: must not have blanks|"
		"notes: must not have control characters"},
	{"{\"name\":\"n\"," REDIRECT ",\"hosts\":[]}", NULL, "hosts: must have 1 to 3 items"},
	{"{\"name\":\"n\"," REDIRECT ",\"hosts\":[\"a\",\"b\",\"c\",\"d\"]}", NULL,
		"hosts: must have 1 to 3 items"},
	{"{\"name\":\"n\"," REDIRECT ",\"hosts\":[\"a.test\",7,null]}", NULL,
		"hosts[1]: must be a string|hosts[2]: must not be null"},
	{"{\"name\":\"n\"," REDIRECT ",\"hosts\":[\"a.test\",\"A.test.\"]}", NULL,
		"hosts[1]: is given twice, first as hosts[0]"},
	{"{\"name\":\"n\"," REDIRECT ",\"objects\":[1,{\"x\":1,\"port\":0,\"backup\":null}]}", NULL,
		"objects[0]: must be an object|objects[1].x: unknown field|"
		"objects[1].address: is required|"
		"objects[1].port: must be an integer from 1 to 65535|"
		"objects[1].backup: must not be null"},
	{"{\"name\":\"n\"," REDIRECT
	 ",\"objects\":[{\"address\":\"::1\"},{\"address\":\"0::1\",\"port\":80}]}",
		NULL, "objects[1]: is given twice, first as objects[0]"},

	/* An update keeps what is not given, and clears what no longer fits. */
	{"{\"id\":7,\"version\":1,\"rank\":4}", OLD_GROUP,
		"{\"name\":\"n\",\"notes\":\"\",\"path\":\"\\/\",\"mode\":\"group\",\"group_id\":3,"
		"\"url\":null,\"code\":null,\"on\":true,\"rank\":4,\"hosts\":[\"a.test\"],"
		"\"objects\":[]}"},
	{"{\"id\":7,\"mode\":\"redirect\",\"url\":\"http://y.test\"}", OLD_GROUP,
		"{\"name\":\"n\",\"notes\":\"\",\"path\":\"\\/\",\"mode\":\"redirect\","
		"\"group_id\":null,\"url\":\"http:\\/\\/y.test\",\"code\":302,\"on\":true,"
		"\"rank\":null,\"hosts\":[\"a.test\"],\"objects\":[]}"},
	{"{\"id\":7,\"mode\":\"group\",\"group_id\":4}", OLD_REDIRECT,
		"{\"name\":\"n\",\"notes\":\"\",\"path\":\"\\/\",\"mode\":\"group\",\"group_id\":4,"
		"\"url\":null,\"code\":null,\"on\":true,\"rank\":null,\"hosts\":[\"a.test\"],"
		"\"objects\":[]}"},
	{"{\"id\":7,\"name\":\"m\"}", OLD_REDIRECT,
		"{\"name\":\"m\",\"notes\":\"\",\"path\":\"\\/\",\"mode\":\"redirect\","
		"\"group_id\":null,\"url\":\"http:\\/\\/x.test\\/\",\"code\":301,\"on\":true,"
		"\"rank\":null,\"hosts\":[\"a.test\"],\"objects\":[]}"},
	{"{\"id\":7,\"mode\":\"redirect\"}", OLD_GROUP, "url: is required with mode \"redirect\""},
	{"{\"id\":7,\"url\":null}", OLD_REDIRECT, "url: is required with mode \"redirect\""},
	{"{\"id\":7,\"group_id\":3}", OLD_REDIRECT,
		"group_id: must be null or not given: it goes with mode \"group\", not "
		"\"redirect\""},
	{"{\"id\":7}", OLD_GROUP, "body: gives nothing to change"},
	{"{\"name\":\"n\"}", OLD_GROUP, "id: is required"},
	{"{\"id\":0,\"version\":\"1\",\"name\":\"n\"}", OLD_GROUP,
		"id: must be an integer from 1 to 9223372036854775807|version: must be an integer"},
	{"{\"id\":null,\"name\":\"n\"}", OLD_GROUP, "id: must not be null"},
};

static struct json_object *parse(const char *text)
{
	const char *why;
	size_t offset;
	struct json_object *o = json_parse(text, strlen(text), &why, &offset);
	if (!o)
		fail_msg("%s: %s", text, why);
	return o;
}

/* The values in order, as an object. */
static void show(struct input *in, struct str *out)
{
	struct json_object *o = json_object_new_object();
	for (size_t i = 0; i < ARRAY_N(fields); i++)
		json_object_object_add(o, fields[i].name, json_object_get(in->v[i].v));
	str_adds(out, json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
}

static void run_row(const struct row *r)
{
	struct ctx ctx = {.body = parse(r->body)};
	struct json_object *old = r->old ? parse(r->old) : NULL;
	struct input in;
	struct str got = STR_INIT;

	input_parse(&ctx, &things, old != NULL, &in);
	if (!old || !ctx.problems_n)
		input_settle(&ctx, &in, old);
	if (ctx.problems_n)
		str_adds(&got, str_c(&ctx.problems));
	else
		show(&in, &got);
	if (strcmp(got.p, r->want) != 0)
		fail_msg("%s\n gives %s\n not   %s", r->body, got.p, r->want);
	input_fini(&in);
	str_fini(&got);
	str_fini(&ctx.problems);
	json_object_put(ctx.body);
	json_object_put(old);
}

static void makes_rows(void **state)
{
	for (size_t i = 0; i < ARRAY_N(rows); i++)
		run_row(&rows[i]);
}

/* A body cannot make the answer long. */
static void bounds_unknown_fields(void **state)
{
	struct str body = STR_INIT, name = STR_INIT;
	struct input in;
	for (int i = 0; i < 200; i++)
		str_addc(&name, 'x');
	str_addf(&body, "{\"name\":\"n\",\"mode\":\"group\",\"%s\":1", name.p);
	for (int i = 0; i < 1000; i++)
		str_addf(&body, ",\"k%d\":1", i);
	str_addf(&body, ",\"objects\":[{\"%s\":1}]}", name.p);
	struct ctx ctx = {.body = parse(body.p)};
	input_parse(&ctx, &things, false, &in);
	assert_int_equal(ctx.problems_n, 22); /* twenty, and the item's two */
	assert_non_null(strstr(ctx.problems.p, "(a longer name): unknown field|k0: unknown"));
	assert_non_null(strstr(ctx.problems.p, "objects[0].(a longer name): unknown field"));
	assert_null(strstr(ctx.problems.p, name.p));
	input_fini(&in);
	str_fini(&body);
	str_fini(&name);
	str_fini(&ctx.problems);
	json_object_put(ctx.body);
}

static void reads_ids(void **state)
{
	static const struct {
		const char *body, *want;
	} bodies[] = {
		{"{\"ids\":[3,1,3,2]}", "[1,2,3]"},
		{"{}", "ids: is required"},
		{"{\"ids\":7}", "ids: must be an array"},
		{"{\"ids\":[]}", "ids: must have 1 to 500 items"},
		{"{\"ids\":[1,\"2\",0,null]}",
			"ids[1]: must be an integer|"
			"ids[2]: must be an integer from 1 to 9223372036854775807|"
			"ids[3]: must not be null"},
		{"{\"ids\":[1],\"force\":true}", "force: unknown field"},
	};
	for (size_t i = 0; i < ARRAY_N(bodies); i++) {
		struct ctx ctx = {.body = parse(bodies[i].body)};
		struct ids ids = {0};
		struct str got = STR_INIT;
		input_ids(&ctx, &ids);
		if (ctx.problems_n)
			str_adds(&got, str_c(&ctx.problems));
		else
			ids_json(ids.v, ids.n, &got);
		assert_string_equal(got.p, bodies[i].want);
		ids_fini(&ids);
		str_fini(&got);
		str_fini(&ctx.problems);
		json_object_put(ctx.body);
	}
}

static void bounds_ids(void **state)
{
	struct str body = STR_INIT;
	for (int n = CRUD_IDS_MAX; n <= CRUD_IDS_MAX + 1; n++) {
		str_clear(&body);
		for (int i = 1; i <= n; i++)
			str_addf(&body, "%s%d", i > 1 ? "," : "{\"ids\":[", i);
		str_adds(&body, "]}");
		struct ctx ctx = {.body = parse(body.p)};
		struct ids ids = {0};
		input_ids(&ctx, &ids);
		assert_int_equal(ids.n, n > CRUD_IDS_MAX ? 0 : n);
		assert_int_equal(ctx.problems_n, n > CRUD_IDS_MAX);
		ids_fini(&ids);
		str_fini(&ctx.problems);
		json_object_put(ctx.body);
	}
	str_fini(&body);
}

static void reads_query_values(void **state)
{
	static const struct {
		size_t field;
		const char *text, *want; /* NULL: refused */
	} values[] = {
		{0, "n", "\"n\""},
		{0, "toolong", NULL},
		{3, "group", "\"group\""},
		{3, "x", NULL},
		{4, "3", "3"},
		{4, "0", NULL},
		{4, "x", NULL},
		{4, "", NULL},
		{7, "true", "true"},
		{7, "false", "false"},
		{7, "1", NULL},
		{8, "9", "9"},
		{8, "10", NULL},
	};
	struct fault why;
	for (size_t i = 0; i < ARRAY_N(values); i++) {
		struct json_object *v =
			value_from_text(&fields[values[i].field], values[i].text, &why);
		if (!v != !values[i].want)
			fail_msg("%s: %s", values[i].text, v ? "taken" : why.text);
		if (v)
			assert_string_equal(json_object_to_json_string(v), values[i].want);
		json_object_put(v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(makes_rows),
		cmocka_unit_test(bounds_unknown_fields),
		cmocka_unit_test(reads_ids),
		cmocka_unit_test(bounds_ids),
		cmocka_unit_test(reads_query_values),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
