/*
 * The verbs of `cmdbctl logs`, a file each (logs_<verb>.c); cmd_logs.c has their table.
 */
#ifndef CMDB_CLI_LOGS_H
#define CMDB_CLI_LOGS_H

#include "clock.h"
#include "cmd.h"

/* Which entries: as GET /api/logs and /events have it. */
#define LOGS_FILTER_OPTS                                                                       \
	{"device", OPT_LIST, "ID", "only of this device; repeatable", 0, 0},                   \
		{"level", OPT_LIST, "LEVEL", "only of this level; repeatable", 0, 0},          \
		{"tag", OPT_LIST, "TAG", "only with this tag; repeatable", 0, 0},              \
	{                                                                                      \
		"keyword", OPT_LIST, "TEXT", "only with this in the message; repeatable", 0, 0 \
	}

/* "10m", which is so long ago, or RFC 3339, as the web server takes it; false: it is none. */
bool logs_time(const char *text, char out[CLOCK_RFC3339_SIZE]);
/* Adds what these options say to the path of a request. */
void logs_add_filter(const struct call *call, struct str *path);

extern const struct opt logs_tail_opts[], logs_query_opts[], logs_prune_opts[], logs_send_opts[],
	logs_generate_opts[];

enum ctl_exit logs_tail(struct call *call);
enum ctl_exit logs_query(struct call *call);
enum ctl_exit logs_prune(struct call *call);
enum ctl_exit logs_send(struct call *call);
enum ctl_exit logs_generate(struct call *call);

#endif
