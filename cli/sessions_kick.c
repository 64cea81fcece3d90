/*
 * sessions kick: each connection is looked up, noted in the audit log, and thrown out, in this
 * order; one that is not there keeps none of the others from it.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "change.h"
#include "event.h"
#include "hosts.h"
#include "json.h"
#include "out.h"
#include "rows.h"
#include "sessions.h"

#define DEFAULT_TENANT 1 /* whose audit log has what was done to nobody's */

/* One that is thrown out by mistake comes back by itself; many at once do so together. */
static enum ctl_exit confirm(const struct call *call)
{
	char answer[8];

	if (call->args.n == 1 || opt_flag(call, "yes"))
		return CTL_OK;
	if (!isatty(STDIN_FILENO))
		return cmd_fail(CTL_USAGE, "%zu connections at once take --yes", call->args.n);
	fprintf(stderr, "Disconnect %zu connections? [y/N] ", call->args.n);
	if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
		return CTL_OK;
	return cmd_fail(CTL_FAILED, "nothing was done");
}

static int64_t node_of(struct json_object *found)
{
	return json_object_get_int64(json_get(found, "node"));
}

/* The poller of another host reads it in the event log. */
static enum err kick_there(struct call *call, uint32_t tenant_id, struct json_object *found)
{
	struct event_out out = {
		.tenant_id = tenant_id, .topic = EVENT_TOPIC_HOSTS, .type = EVENT_DELETE};
	struct str json = STR_INIT;
	enum err e;

	hosts_put_disconnect(&json, node_of(found), slice_of(json_get_str(found, "id")));
	out.payload = str_c(&json);
	e = event_insert(call->db, &out, NULL);
	str_fini(&json);
	return e;
}

static enum err kick_audit(struct call *call, struct json_object *found, bool is_there)
{
	struct json_object *tenant = json_get(found, "tenant");
	uint32_t tenant_id = tenant ? (uint32_t)json_object_get_int64(tenant) : DEFAULT_TENANT;
	struct str target = STR_INIT;
	enum err e = db_begin(call->db);

	str_addf(&target, "connections/%s", json_get_str(found, "id"));
	if (e == ERR_OK)
		e = change_audit(call->db, tenant_id, "sessions.kick", str_c(&target));
	if (e == ERR_OK && is_there)
		e = kick_there(call, tenant_id, found);
	if (e == ERR_OK)
		e = db_commit(call->db);
	str_fini(&target);
	return e;
}

/* As the poller answers it. */
static struct json_object *kicked(struct json_object *found)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "id", json_object_get(json_get(found, "id")));
	json_object_object_add(o, "node", json_object_get(json_get(found, "node")));
	return o;
}

static enum ctl_exit kick_one(
	struct sessions *s, struct call *call, const char *id, struct json_object *done)
{
	struct json_object *found = NULL, *gone = NULL;
	enum ctl_exit status = sessions_ask_one(s, "connection", id, &found);
	bool is_there = found && node_of(found) != poller_welcome(s->poller)->node_id;
	enum err e;

	if (status == CTL_OK && (e = kick_audit(call, found, is_there)) != ERR_OK)
		status = cmd_fail_db(call, e, id);
	if (status == CTL_OK && is_there)
		gone = kicked(found);
	else if (status == CTL_OK)
		status = sessions_ask_one(s, "disconnect", id, &gone);
	if (status == CTL_NOT_FOUND)
		sessions_say_none(id);
	if (status == CTL_OK)
		json_object_array_add(done, json_object_get(gone));
	if (status == CTL_OK && !call->json)
		rows_print_done(call, gone, "disconnected %s of %s", id,
			json_get(found, "user") ? json_get_str(json_get(found, "user"), "username")
						: "nobody");
	json_object_put(found);
	json_object_put(gone);
	return status;
}

enum ctl_exit sessions_kick(struct call *call)
{
	struct json_object *done = json_object_new_array();
	struct sessions s = {.call = call};
	enum ctl_exit status = confirm(call), one;

	if (status == CTL_OK)
		status = sessions_open(&s, call);
	if (status == CTL_OK && !call->db)
		status = cmd_db(call, sessions_sql);
	for (size_t i = 0; i < call->args.n && s.poller && call->db; i++) {
		if (status != CTL_OK && status != CTL_NOT_FOUND)
			break;
		one = kick_one(&s, call, call->args.v[i], done);
		status = one != CTL_OK ? one : status;
	}
	if (call->json && s.poller && call->db)
		out_json(done);
	json_object_put(done);
	sessions_close(&s);
	return status;
}
