/* The event log: publish and stats; tail and prune have files of their own. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "event_name.h"
#include "events.h"
#include "json.h"
#include "people.h"
#include "poller.h"
#include "out.h"
#include "room.h"
#include "rows.h"
#include "stream.h"

#define PAYLOAD_MAX (1024 * 1024)

static const struct db_stmt log_now = {
	.name = "events.log",
	.sql = "SELECT (SELECT COUNT(*) FROM ws_events), (SELECT MIN(id) FROM ws_events),"
	       " (SELECT MAX(id) FROM ws_events), floor, GREATEST(floor, brief_floor), epoch"
	       " FROM ws_log",
	.cols_n = 6,
};
static const struct db_stmt per_topic = {
	.name = "events.topics",
	.sql = "SELECT topic, COUNT(*), MIN(id), MAX(id) FROM ws_events GROUP BY topic"
	       " ORDER BY topic LIMIT 1000",
	.cols_n = 4,
};
static const struct db_stmt per_hour = {
	.name = "events.hours",
	.sql = "SELECT DATE_FORMAT(created_at, '%Y-%m-%dT%H:00Z') AS hour, COUNT(*) FROM ws_events"
	       " WHERE created_at > NOW(3) - INTERVAL 24 HOUR GROUP BY hour"
	       " ORDER BY hour LIMIT 100",
	.cols_n = 2,
};
static const struct db_stmt per_poller = {
	.name = "events.pollers",
	.sql = "SELECT node_id, tail, (SELECT COUNT(*) FROM ws_events WHERE id > tail), seen_at"
	       " FROM ws_pollers ORDER BY node_id LIMIT 1000",
	.cols_n = 4,
};
static const struct db_set sql = {
	.name = "cmd_events",
	.stmts =
		(const struct db_stmt *const[]){&log_now, &per_topic, &per_hour, &per_poller, NULL},
	.is_lazy = true,
};
static const struct db_set *const sets[] = {&sql, &change_sql, &people_sql, &event_sql, NULL};

/* ---- stats ---- */

static const struct section {
	const char *name;
	const struct db_stmt *st;
	const char *cols, *shown;
} sections[] = {
	{"topics", &per_topic, "topic:s rows:u first_id:u last_id:u",
		"topic retention rows first_id last_id"},
	{"hours", &per_hour, "hour:s rows:u", "hour rows"},
	{"pollers", &per_poller, "node_id:u tail:u lag_rows:u seen_at:t",
		"node_id tail lag_rows seen_at"},
};
#define SECTIONS_N (sizeof(sections) / sizeof(sections[0]))

/* The class of each topic. */
static void add_retention(struct json_object *topics)
{
	for (size_t i = 0; i < json_object_array_length(topics); i++) {
		struct json_object *row = json_object_array_get_idx(topics, i);
		enum retention r = stream_retention(json_get_str(row, "topic"));

		json_object_object_add(row, "retention", json_object_new_string(retention_name(r)));
	}
}

static enum ctl_exit events_stats(struct call *call)
{
	struct json_object *log = NULL, *all = NULL, *rows[SECTIONS_N] = {NULL};
	enum ctl_exit status = cmd_db(call, sets);
	enum err e;

	if (status != CTL_OK)
		return status;
	e = rows_query(call->db, &log_now, NULL, 0,
		"rows:u first_id:u last_id:u floor:u brief_floor:u epoch:s", &log);
	for (size_t i = 0; e == ERR_OK && i < SECTIONS_N; i++)
		e = rows_query(call->db, sections[i].st, NULL, 0, sections[i].cols, &rows[i]);
	if (e != ERR_OK) {
		status = cmd_fail_db(call, e, "cannot read the log");
		goto out;
	}
	add_retention(rows[0]);
	all = json_object_get(json_object_array_get_idx(log, 0));
	if (call->json)
		for (size_t i = 0; i < SECTIONS_N; i++)
			json_object_object_add(all, sections[i].name, json_object_get(rows[i]));
	rows_print_one(call, all);
	for (size_t i = 0; !call->json && i < SECTIONS_N; i++) {
		out_line("");
		rows_print(call, rows[i], sections[i].shown);
	}
out:
	json_object_put(all);
	json_object_put(log);
	for (size_t i = 0; i < SECTIONS_N; i++)
		json_object_put(rows[i]);
	return status;
}

/* ---- publish ---- */

/* Checks all of it before the database is opened; CTL_OK with e and payload filled in. */
static enum ctl_exit check_event(const struct call *call, struct event_out *e, struct str *payload)
{
	const char *topic = call->args.v[0], *why = NULL, *room = opt_text(call, "room");
	const char *name = opt_text(call, "name");
	int type = event_type_find(call->args.v[1]);
	struct json_object *o;
	size_t at = 0;

	if (*topic == '_')
		return cmd_fail(CTL_USAGE, "topics that begin with _ are cmdb's own");
	if (!people_name_is_valid("topic", topic))
		return CTL_USAGE;
	if (type < 0)
		return cmd_fail(CTL_USAGE,
			"the type of an event is add, update or delete, not \"%s\"",
			call->args.v[1]);
	if (room && !people_text_is_valid("--room", room, EVENT_ROOMS_MAX))
		return CTL_USAGE;
	if (room && !room_is_list(room))
		return cmd_fail(CTL_USAGE, "--room wants names of 1 to %d bytes, joined by commas",
			EVENT_ROOM_MAX);
	if (name && event_name_fault(name, strlen(name)))
		return cmd_fail(
			CTL_USAGE, "the name of an event %s", event_name_fault(name, strlen(name)));
	if (!cmd_text(call->args.v[2], PAYLOAD_MAX, payload))
		return cmd_fail(CTL_USAGE, "the payload is larger than %d bytes", PAYLOAD_MAX);
	o = json_parse(str_c(payload), payload->len, &why, &at);
	json_object_put(o);
	if (why)
		return cmd_fail(CTL_USAGE, "the payload is no JSON: %s at byte %zu", why, at);
	*e = (struct event_out){.topic = topic,
		.type = (enum event_type)type,
		.payload = str_c(payload),
		.room = room,
		.name = name};
	return CTL_OK;
}

static enum err insert(struct db *db, const struct event_out *e, uint64_t *id)
{
	struct str target = STR_INIT;
	enum err err;

	str_addf(&target, "%s %s", e->topic, event_type_name(e->type));
	err = db_begin(db);
	if (err == ERR_OK)
		err = change_audit(db, e->tenant_id, "events.publish", str_c(&target));
	if (err == ERR_OK)
		err = event_insert(db, e, id);
	if (err == ERR_OK)
		err = db_commit(db);
	str_fini(&target);
	return err;
}

static enum ctl_exit publish(struct call *call, struct event_out *event)
{
	const char *tenant = opt_text(call, "tenant");
	enum ctl_exit status = cmd_db(call, sets);
	struct change ch = {.call = call};
	struct json_object *o;
	uint64_t id = 0;
	enum err e;

	if (status != CTL_OK)
		return status;
	ch.db = call->db;
	e = people_tenant(&ch, tenant ? tenant : "default", &event->tenant_id);
	if (e == ERR_OK)
		e = insert(call->db, event, &id);
	if (e != ERR_OK) {
		status = ch.problem.len ? cmd_fail(cmd_exit_of(e), "%s", str_c(&ch.problem))
					: cmd_fail_db(call, e, "not published");
		str_fini(&ch.problem);
		return status;
	}
	poller_ring(call->cfg->poller.socket);
	o = rows_object("id:u", (const struct db_val[]){DBV_U(id)}, 1);
	rows_print_done(call, o, "%llu", (unsigned long long)id);
	json_object_put(o);
	return CTL_OK;
}

static enum ctl_exit events_publish(struct call *call)
{
	struct str payload = STR_INIT;
	struct event_out event;
	enum ctl_exit status = check_event(call, &event, &payload);

	if (status == CTL_OK)
		status = publish(call, &event);
	str_fini(&payload);
	return status;
}

static const struct opt publish_opts[] = {
	{"tenant", OPT_TEXT, "NAME", "for this tenant (default)", 0, 0},
	{"room", OPT_TEXT, "ROOM", "only for these rooms, as in user:7,role:editor", 0, 0},
	{"name", OPT_TEXT, "NAME", "the event's name where it is not the topic's own", 0, 0},
	{0},
};

const struct cmd cmd_events = {
	"events",
	"the event log",
	(const struct verb[]){
		{"tail", "", 0, 0, events_tail_opts, events_tail,
			"show events, with -f as they come", false},
		{"publish", "TOPIC add|update|delete PAYLOAD|-", 3, 3, publish_opts, events_publish,
			"add an event and show its id", false},
		{"prune", "", 0, 0, events_prune_opts, events_prune,
			"remove old events and expired tokens", false},
		{"stats", "", 0, 0, NULL, events_stats,
			"what is in the log, and how far the pollers are", false},
		{0},
	},
};
