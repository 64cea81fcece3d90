/* Websites, as any client of the REST interface sees them: permissions, checks and events are the
 * server's. A field is a row of the table below. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "json.h"
#include "mem.h"
#include "rows.h"

#define RESOURCE "/api/v1/websites"
#define SHOWN "id domains line_group_name origin_mode status https_enabled version updated_at"

enum kind {
	KIND_TEXT,   /* "none" is null */
	KIND_NUMBER, /* so it is here */
	KIND_ON_OFF,
	KIND_LIST,
	KIND_REF, /* an id, or a name that is looked up */
};

static const struct field {
	const char *opt, *json;
	enum kind kind;
	const char *resource; /* KIND_REF */
} fields[] = {
	{"domain", "domains", KIND_LIST, NULL},
	{"line-group", "line_group_id", KIND_REF, "line-groups"},
	{"cache-rule", "cache_rule_id", KIND_REF, "cache-rules"},
	{"origin-mode", "origin_mode", KIND_TEXT, NULL},
	{"origin-group", "origin_group_id", KIND_REF, "origin-groups"},
	{"origin-set", "origin_set_id", KIND_REF, "origin-sets"},
	{"redirect-url", "redirect_url", KIND_TEXT, NULL},
	{"redirect-status-code", "redirect_status_code", KIND_NUMBER, NULL},
	{"status", "status", KIND_TEXT, NULL},
	{"https", "https_enabled", KIND_ON_OFF, NULL},
	{"if-version", "version", KIND_NUMBER, NULL},
};
#define FIELDS_N (sizeof(fields) / sizeof(fields[0]))

#define FIELD_OPTS                                                                                \
	{"domain", OPT_LIST, "NAME", "a domain of it; repeatable, and then these are all", 0, 0}, \
		{"line-group", OPT_TEXT, "ID|NAME", "its line group, or none", 0, 0},             \
		{"cache-rule", OPT_TEXT, "ID|NAME", "its cache rule, or none", 0, 0},             \
		{"origin-mode", OPT_TEXT, "MODE", "group, manual or redirect", 0, 0},             \
		{"origin-group", OPT_TEXT, "ID|NAME", "for the mode group", 0, 0},                \
		{"origin-set", OPT_TEXT, "ID|NAME", "for the mode manual", 0, 0},                 \
		{"redirect-url", OPT_TEXT, "URL", "for the mode redirect", 0, 0},                 \
		{"redirect-status-code", OPT_NUMBER, "CODE", "301, 302, 307 or 308", 300, 399},   \
		{"status", OPT_TEXT, "STATUS", "active or inactive", 0, 0},                       \
	{                                                                                         \
		"https", OPT_TEXT, "on|off", "whether it is served over HTTPS", 0, 0              \
	}

/* A decimal number of at most 19 digits, without a sign. */
static bool is_id(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len <= 19 && strspn(text, "0123456789") == len;
}

/* The id of the row of a resource that has this name. */
static enum ctl_exit find_by_name(
	struct rest *r, const char *resource, const char *name, uint64_t *id)
{
	struct str path = STR_INIT;
	enum ctl_exit status;
	struct rest_answer a;

	str_addf(&path, "/api/v1/%s", resource);
	rest_query(&path, "name", name);
	status = api_call(r, "GET", str_c(&path), NULL, &a);
	str_fini(&path);
	if (status != CTL_OK)
		return status;
	struct json_object *items = json_get(rest_data(&a), "items");
	if (json_object_is_type(items, json_type_array) && json_object_array_length(items) == 1)
		*id = json_object_get_uint64(json_get(json_object_array_get_idx(items, 0), "id"));
	else
		status = cmd_fail(CTL_NOT_FOUND, "there is no \"%s\" among the %s", name, resource);
	rest_answer_fini(&a);
	return status;
}

/* The value of a field as JSON; NULL is null. */
static enum ctl_exit cmd_websites_value_of(
	const struct call *call, struct rest *r, const struct field *f, struct json_object **value)
{
	const struct strlist *list;
	const char *text = NULL;
	enum ctl_exit status = CTL_OK;
	uint64_t id = 0;

	*value = NULL;
	if (f->kind != KIND_NUMBER && f->kind != KIND_LIST) {
		text = opt_text(call, f->opt);
		if (f->kind != KIND_ON_OFF && !strcmp(text, "none"))
			return CTL_OK;
	}
	switch (f->kind) {
	case KIND_TEXT:
		*value = json_object_new_string(text);
		break;
	case KIND_NUMBER:
		*value = json_object_new_int64(opt_number(call, f->opt, 0));
		break;
	case KIND_ON_OFF:
		if (strcmp(text, "on") && strcmp(text, "off"))
			return cmd_fail(CTL_USAGE, "--%s is on or off, not \"%s\"", f->opt, text);
		*value = json_object_new_boolean(!strcmp(text, "on"));
		break;
	case KIND_LIST:
		list = opt_list(call, f->opt);
		*value = json_object_new_array();
		for (size_t i = 0; i < list->n; i++)
			json_object_array_add(*value, json_object_new_string(list->v[i]));
		break;
	case KIND_REF:
		if (is_id(text))
			id = strtoull(text, NULL, 10);
		else
			status = find_by_name(r, f->resource, text, &id);
		if (status == CTL_OK)
			*value = json_object_new_uint64(id);
		break;
	}
	return status;
}

/* All fields that were given, into o. */
static enum ctl_exit take_fields(const struct call *call, struct rest *r, struct json_object *o)
{
	for (size_t i = 0; i < FIELDS_N; i++) {
		struct json_object *value;
		enum ctl_exit status;

		if (!opt_is_given(call, fields[i].opt))
			continue;
		status = cmd_websites_value_of(call, r, &fields[i], &value);
		if (status != CTL_OK)
			return status;
		json_object_object_add(o, fields[i].json, value);
	}
	return CTL_OK;
}

/* POSTs o to create, update or delete and prints what the server answers. */
static enum ctl_exit post(
	const struct call *call, struct rest *r, const char *path, struct json_object *o)
{
	struct str body = STR_INIT;
	struct rest_answer a;
	enum ctl_exit status;

	json_print(&body, o);
	status = api_call(r, "POST", path, str_c(&body), &a);
	str_fini(&body);
	if (status != CTL_OK)
		return status;
	rows_print_one(call, rest_data(&a));
	rest_answer_fini(&a);
	return CTL_OK;
}

static enum ctl_exit websites_list(struct call *call)
{
	static const char *const params[][2] = {
		{"domain", "domain"}, {"status", "status"}, {"search", "q"}};
	struct json_object *all = json_object_new_array();
	struct str path = STR_INIT;
	enum ctl_exit status;
	struct rest *r = api_open(call, &status);

	str_adds(&path, RESOURCE "?sort=id");
	for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++)
		if (opt_text(call, params[i][0]))
			rest_query(&path, params[i][1], opt_text(call, params[i][0]));
	if (r)
		status = api_list(r, str_c(&path), all);
	if (status == CTL_OK)
		rows_print(call, all, SHOWN);
	json_object_put(all);
	str_fini(&path);
	rest_free(r);
	return status;
}

static enum ctl_exit check_ids(const struct call *call)
{
	for (size_t i = 0; i < call->args.n; i++)
		if (!is_id(call->args.v[i]))
			return cmd_fail(CTL_USAGE,
				"\"%s\" is not the id of a website; see cmdbctl websites list",
				call->args.v[i]);
	return CTL_OK;
}

static enum ctl_exit websites_show(struct call *call)
{
	struct str path = STR_INIT;
	enum ctl_exit status = check_ids(call);
	struct rest *r = NULL;
	struct rest_answer a;

	if (status == CTL_OK)
		r = api_open(call, &status);
	str_addf(&path, RESOURCE "/%s", call->args.v[0]);
	if (status == CTL_OK && (status = api_call(r, "GET", str_c(&path), NULL, &a)) == CTL_OK) {
		rows_print_one(call, rest_data(&a));
		rest_answer_fini(&a);
	}
	str_fini(&path);
	rest_free(r);
	return status;
}

static enum ctl_exit websites_write(struct call *call, const char *path, struct json_object *o)
{
	enum ctl_exit status;
	struct rest *r = api_open(call, &status);

	if (r)
		status = take_fields(call, r, o);
	if (status == CTL_OK)
		status = post(call, r, path, o);
	json_object_put(o);
	rest_free(r);
	return status;
}

static enum ctl_exit websites_create(struct call *call)
{
	return websites_write(call, RESOURCE "/create", json_object_new_object());
}

static enum ctl_exit websites_update(struct call *call)
{
	struct json_object *o;

	if (check_ids(call) != CTL_OK)
		return CTL_USAGE;
	o = json_object_new_object();
	json_object_object_add(
		o, "id", json_object_new_uint64(strtoull(call->args.v[0], NULL, 10)));
	return websites_write(call, RESOURCE "/update", o);
}

static enum ctl_exit websites_delete(struct call *call)
{
	struct json_object *o, *ids;
	enum ctl_exit status = check_ids(call);
	struct rest *r;

	if (status != CTL_OK)
		return status;
	r = api_open(call, &status);
	if (!r)
		return status;
	o = json_object_new_object();
	ids = json_object_new_array();
	for (size_t i = 0; i < call->args.n; i++)
		json_object_array_add(
			ids, json_object_new_uint64(strtoull(call->args.v[i], NULL, 10)));
	json_object_object_add(o, "ids", ids);
	status = post(call, r, RESOURCE "/delete", o);
	json_object_put(o);
	rest_free(r);
	return status;
}

static const struct opt list_opts[] = {
	{"domain", OPT_TEXT, "NAME", "the one with this domain", 0, 0},
	{"status", OPT_TEXT, "STATUS", "only active, or inactive, ones", 0, 0},
	{"search", OPT_TEXT, "TEXT", "only those with a domain that contains it", 0, 0},
	API_OPTS,
	{0},
};
static const struct opt show_opts[] = {API_OPTS, {0}};
static const struct opt create_opts[] = {FIELD_OPTS, API_OPTS, {0}};
static const struct opt update_opts[] = {
	FIELD_OPTS,
	{"if-version", OPT_NUMBER, "N", "only if nobody has changed it since this version", 1,
		INT64_MAX},
	API_OPTS,
	{0},
};

const struct cmd cmd_websites = {
	"websites",
	"the websites that are kept in sync",
	(const struct verb[]){
		{"list", "", 0, 0, list_opts, websites_list, "show all websites", false},
		{"show", "ID", 1, 1, show_opts, websites_show, "show one with all its fields",
			false},
		{"create", "", 0, 0, create_opts, websites_create, "make one", false},
		{"update", "ID", 1, 1, update_opts, websites_update, "change the fields given",
			false},
		{"delete", "ID...", 1, 500, show_opts, websites_delete, "delete some, all or none",
			false},
		{0},
	},
};
