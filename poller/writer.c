#include "writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct db_stmt sql_server = {
	"server", "SELECT CONCAT_WS(' ', @@hostname, @@port, @@server_id, @@datadir)", 0, 1};
/* By name: not every server knows all of them. */
static const struct db_stmt sql_facts = {"facts",
	"SELECT VARIABLE_NAME, VARIABLE_VALUE FROM information_schema.GLOBAL_VARIABLES"
	" WHERE VARIABLE_NAME IN ('READ_ONLY', 'WSREP_ON')"
	" UNION ALL SELECT VARIABLE_NAME, VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS"
	" WHERE VARIABLE_NAME IN ('SLAVE_RUNNING', 'SLAVES_RUNNING')",
	0, 2};

const struct db_set writer_sql = {
	"writer", (const struct db_stmt *const[]){&sql_server, &sql_facts, NULL}, false};

enum err writer_server(struct db *db, struct writer *w)
{
	const struct db_val *row;
	enum err e = db_one(db, &sql_server, NULL, 0, &row);

	if (!e)
		snprintf(w->server, sizeof(w->server), "%s", row ? dbv_text(&row[0]) : "");
	return e;
}

static bool is_on(const char *value)
{
	return value && (!strcasecmp(value, "ON") || strtol(value, NULL, 10) > 0);
}

enum err writer_look(struct db *db, struct writer *w)
{
	const struct {
		const char *name;
		bool *is;
	} facts[] = {
		{"READ_ONLY", &w->is_read_only},
		{"WSREP_ON", &w->is_cluster},
		{"SLAVE_RUNNING", &w->is_replica},
		{"SLAVES_RUNNING", &w->is_replica},
	};
	const struct db_val *row;
	enum err e;

	*w = (struct writer){0};
	e = writer_server(db, w);
	if (!e)
		e = db_query(db, &sql_facts, NULL, 0);
	if (e)
		return e;
	while ((row = db_fetch(db)))
		for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
			if (!strcasecmp(dbv_text(&row[0]), facts[i].name) &&
				is_on(dbv_text(&row[1])))
				*facts[i].is = true;
	db_done(db);
	return ERR_OK;
}

const char *writer_problem(const struct writer *w, bool is_named)
{
	if (w->is_replica)
		return "the server is a replica of another, through which events are written";
	if (w->is_read_only)
		return "the server is read-only, so events are written through another";
	if (w->is_cluster && !is_named)
		return "the server is a node of a Galera cluster, and [events] does not say "
		       "through which one events are written";
	return NULL;
}
