/* The devices that log, as any client of the REST interface sees them. */
#include <json-c/json.h>

#include "api.h"
#include "rows.h"

#define RESOURCE "/api/devices"
#define SHOWN "deviceId online status lastSeen linesLastHour"

static enum ctl_exit devices_list(struct call *call)
{
	bool online = opt_flag(call, "online"), offline = opt_flag(call, "offline");
	struct json_object *all = json_object_new_array();
	struct str path = STR_INIT;
	enum ctl_exit status;
	struct rest *r = api_open(call, &status);

	str_adds(&path, RESOURCE "?sort=deviceId");
	if (online != offline) /* both are all of them */
		rest_query(&path, "online", online ? "true" : "false");
	if (opt_text(call, "search"))
		rest_query(&path, "q", opt_text(call, "search"));
	if (r)
		status = api_list(r, str_c(&path), all);
	if (status == CTL_OK)
		rows_print(call, all, SHOWN);
	json_object_put(all);
	str_fini(&path);
	rest_free(r);
	return status;
}

static enum ctl_exit devices_show(struct call *call)
{
	struct str path = STR_INIT;
	struct rest_answer a;
	enum ctl_exit status;
	struct rest *r = api_open(call, &status);

	str_adds(&path, RESOURCE "/");
	rest_escape(&path, call->args.v[0]);
	if (r && (status = api_call(r, "GET", str_c(&path), NULL, &a)) == CTL_OK) {
		rows_print_one(call, rest_data(&a));
		rest_answer_fini(&a);
	}
	str_fini(&path);
	rest_free(r);
	return status;
}

static const struct opt list_opts[] = {
	{"online", OPT_FLAG, NULL, "only those that are online", 0, 0},
	{"offline", OPT_FLAG, NULL, "only those that are not", 0, 0},
	{"search", OPT_TEXT, "TEXT", "only those with it in their id or status", 0, 0},
	API_OPTS,
	{0},
};
static const struct opt show_opts[] = {API_OPTS, {0}};

const struct cmd cmd_devices = {
	"devices",
	"the devices that log",
	(const struct verb[]){
		{"list", "", 0, 0, list_opts, devices_list,
			"show all, with their status and when they were seen last", false},
		{"show", "ID", 1, 1, show_opts, devices_show, "show one", false},
		{0},
	},
};
