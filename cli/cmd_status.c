#include <json-c/json.h>
#include <string.h>

#include "json.h"
#include "poller.h"
#include "rest.h"
#include "rows.h"
#include "schema.h"

#define POLLER_TIMEOUT_MS 3000
#define WEB_TIMEOUT_MS 5000

static struct json_object *state_of(bool is_up, struct str *why)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "state", json_object_new_string(is_up ? "up" : "down"));
	if (!is_up)
		json_object_object_add(o, "error", json_object_new_string(str_c(why)));
	str_clear(why);
	return o;
}

/* The poller speaks for itself: whatever it says is shown. */
static struct json_object *ask_poller(const struct call *call, bool *is_up)
{
	static const struct str none = STR_INIT;
	const char *path = call->cfg->poller.socket, *bad = NULL;
	struct str json = STR_INIT, why = STR_INIT;
	struct json_object *said = NULL, *o;
	struct poller *p;
	size_t at = 0;

	if (poller_open(path, POLLER_TIMEOUT_MS, &p, &why) == POLLER_OPEN &&
		poller_ask(p, "status", 0, &none, &json, &why))
		said = json_parse_own(str_c(&json), json.len, &bad, &at);
	if (bad)
		str_addf(&why, "its answer is no JSON: %s at byte %zu", bad, at);
	*is_up = said != NULL;
	o = state_of(*is_up, &why);
	if (said) {
		json_object_object_foreach (said, name, v)
			json_object_object_add(o, name, json_object_get(v));
	}
	json_object_put(said);
	poller_close(p);
	str_fini(&json);
	str_fini(&why);
	return o;
}

static struct json_object *ask_database(struct call *call, bool *is_up)
{
	struct str why = STR_INIT;
	unsigned version = 0, unfinished = 0;
	struct json_object *o;
	enum err e;

	call->login = config_login(call->cfg, CONFIG_CLI);
	call->db = db_new(&call->login, (const struct db_set *const[]){&schema_sql, NULL});
	e = db_ensure(call->db);
	if (e == ERR_OK)
		e = schema_version(call->db, &version, &unfinished);
	if (e != ERR_OK)
		str_adds(&why, db_errmsg(call->db));
	*is_up = e == ERR_OK;
	o = state_of(*is_up, &why);
	if (e == ERR_OK) {
		json_object_object_add(o, "schema_version", json_object_new_int64(version));
		json_object_object_add(
			o, "migrations_unfinished", json_object_new_int64(unfinished));
	}
	str_fini(&why);
	return o;
}

/* Its /api/ws/health, which also finds out whether the database can be written to. */
static struct json_object *ask_web(const struct call *call, enum ctl_exit *status)
{
	struct rest *r = rest_new(call->cfg->cli.url, NULL, NULL);
	struct str why = STR_INIT;
	struct rest_answer a = {0};
	struct json_object *o, *health = NULL;

	*status = CTL_UNREACHABLE;
	if (rest_call(r, "GET", "/api/ws/health", NULL, WEB_TIMEOUT_MS, &a, &why)) {
		health = rest_data(&a);
		if (!json_get(health, "healthy"))
			str_addf(&why, "/api/ws/health answers %d", a.status);
		else
			*status = a.status == 200 ? CTL_OK : CTL_FAILED;
	}
	o = state_of(*status != CTL_UNREACHABLE, &why);
	json_object_object_add(o, "url", json_object_new_string(call->cfg->cli.url));
	if (*status != CTL_UNREACHABLE) {
		json_object_object_foreach (health, name, v)
			json_object_object_add(o, name, json_object_get(v));
	}
	rest_answer_fini(&a);
	rest_free(r);
	str_fini(&why);
	return o;
}

static enum ctl_exit status(struct call *call)
{
	struct json_object *o = json_object_new_object();
	bool is_poller_up, is_db_up;
	enum ctl_exit status;

	json_object_object_add(o, "poller", ask_poller(call, &is_poller_up));
	json_object_object_add(o, "database", ask_database(call, &is_db_up));
	json_object_object_add(o, "web", ask_web(call, &status));
	rows_print_one(call, o);
	json_object_put(o);
	return is_poller_up && is_db_up ? status : CTL_UNREACHABLE;
}

const struct cmd cmd_status = {
	"status",
	"how it is",
	(const struct verb[]){
		{"", "", 0, 0, NULL, status,
			"ask poller, database and web server; exits 3 if one is down, 1 if one is "
			"not well",
			false},
		{0},
	},
};
