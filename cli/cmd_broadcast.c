/* broadcast: an event for whoever is connected now, kept nowhere (CAST, wire.h). */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "cast.h"
#include "change.h"
#include "event.h"
#include "hosts.h"
#include "json.h"
#include "people.h"
#include "poller.h"
#include "room.h"
#include "rows.h"

#define POLLER_TIMEOUT_MS 10000

static const struct db_set *const sets[] = {&change_sql, &people_sql, &hosts_sql, &event_sql, NULL};

/* Checks it before anything is opened. */
static enum ctl_exit broadcast_read(const struct call *call, struct str *args)
{
	const char *event = opt_text(call, "event"), *data = opt_text(call, "data");
	const char *room = opt_text(call, "room"), *field, *why;
	struct str json = STR_INIT;

	if (!event || !data)
		return cmd_fail(CTL_USAGE, "broadcast takes --event NAME and --data JSON");
	cmd_text(data, WIRE_CAST_MAX, &json); /* too long: that is found next */
	cast_put(args, event, str_c(&json), json.len);
	str_fini(&json);
	if (!cast_is_good((struct slice){args->p, args->len}, &field, &why))
		return cmd_fail(CTL_USAGE, "--%s %s", field, why);
	if (room && !room_is_name(room, strlen(room)))
		return cmd_fail(CTL_USAGE, "--room is no room's name");
	return CTL_OK;
}

/* Has it carried to the sockets of other hosts, if there are any. */
static enum err broadcast_elsewhere(
	const struct call *call, uint32_t tenant_id, const struct str *args)
{
	struct event_out out = {
		.tenant_id = tenant_id, .topic = EVENT_TOPIC_HOSTS, .type = EVENT_ADD};
	const char *room = opt_text(call, "room");
	int64_t own = call->cfg->poller.node_id;
	struct str json = STR_INIT;
	bool are_several;
	enum err e = hosts_are_several(call->db, own, &are_several);

	if (e == ERR_OK && are_several) {
		hosts_put_cast(&json, own, room ? room : "", slice_str(args));
		out.payload = str_c(&json);
		e = event_insert(call->db, &out, NULL);
	}
	str_fini(&json);
	return e;
}

/* Who did what to whom is in the audit log before anybody hears of it. */
static enum err broadcast_audit(struct change *ch, uint32_t *tenant_id, const struct str *args)
{
	const char *tenant = opt_text(ch->call, "tenant"), *room = opt_text(ch->call, "room");
	struct str target = STR_INIT;
	enum err e = people_tenant(ch, tenant ? tenant : "default", tenant_id);

	str_addf(&target, "%s%s%s", opt_text(ch->call, "event"), room ? " to " : "",
		room ? room : "");
	if (e == ERR_OK)
		e = db_begin(ch->db);
	if (e == ERR_OK)
		e = change_audit(ch->db, *tenant_id, "broadcast", str_c(&target));
	if (e == ERR_OK)
		e = broadcast_elsewhere(ch->call, *tenant_id, args);
	if (e == ERR_OK)
		e = db_commit(ch->db);
	str_fini(&target);
	return e;
}

static void broadcast_print(const struct call *call, const struct str *json)
{
	const char *why;
	size_t at;
	struct json_object *o = json_parse(str_c(json), json->len, &why, &at);
	long long skipped = json_object_get_int64(json_get(o, "skipped"));

	if (skipped)
		rows_print_done(call, o, "sent to %lld sockets; %lld do not fetch what they have",
			(long long)json_object_get_int64(json_get(o, "sockets")), skipped);
	else
		rows_print_done(call, o, "sent to %lld sockets",
			(long long)json_object_get_int64(json_get(o, "sockets")));
	json_object_put(o);
}

static enum ctl_exit broadcast_send(
	const struct call *call, struct poller *p, uint32_t tenant_id, const struct str *args)
{
	const char *room = opt_text(call, "room");
	struct str json = STR_INIT, why = STR_INIT;
	enum ctl_exit status = CTL_OK;

	if (poller_cast(p, tenant_id, room ? room : "", args, &json, &why))
		broadcast_print(call, &json);
	else
		status = cmd_fail(CTL_UNREACHABLE, "not sent: %s", str_c(&why));
	str_fini(&json);
	str_fini(&why);
	return status;
}

/* The poller first: nothing is noted of what cannot be done. */
static enum ctl_exit broadcast_run(struct call *call, const struct str *args)
{
	struct change ch = {.call = call};
	struct poller *p = NULL;
	uint32_t tenant_id = 0;
	enum ctl_exit status;
	enum err e;

	if (poller_open(call->cfg->poller.socket, POLLER_TIMEOUT_MS, &p, &ch.problem) !=
		POLLER_OPEN) {
		status = cmd_fail(CTL_UNREACHABLE, "no poller: %s", str_c(&ch.problem));
		str_fini(&ch.problem);
		return status;
	}
	status = cmd_db(call, sets);
	if (status == CTL_OK) {
		ch.db = call->db;
		e = broadcast_audit(&ch, &tenant_id, args);
		if (e == ERR_OK)
			status = broadcast_send(call, p, tenant_id, args);
		else if (ch.problem.len)
			status = cmd_fail(cmd_exit_of(e), "%s", str_c(&ch.problem));
		else
			status = cmd_fail_db(call, e, "not sent");
	}
	str_fini(&ch.problem);
	poller_close(p);
	return status;
}

static enum ctl_exit broadcast(struct call *call)
{
	struct str args = STR_INIT;
	enum ctl_exit status = broadcast_read(call, &args);

	if (status == CTL_OK)
		status = broadcast_run(call, &args);
	str_fini(&args);
	return status;
}

static const struct opt opts[] = {
	{"event", OPT_TEXT, "NAME", "the event's name", 0, 0},
	{"data", OPT_TEXT, "JSON", "what comes with it; -: from standard input", 0, 0},
	{"tenant", OPT_TEXT, "NAME", "to this tenant (default)", 0, 0},
	{"room", OPT_TEXT, "ROOM", "only to this room, as in user:7", 0, 0},
	{0},
};

const struct cmd cmd_broadcast = {
	"broadcast",
	"tell whoever is connected",
	(const struct verb[]){
		{"", "", 0, 0, opts, broadcast,
			"send an event to all sockets, once, and show how many of this host got it",
			false},
		{0},
	},
};
