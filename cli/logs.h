/*
 * The verbs of `cmdbctl logs`, a file each (logs_<verb>.c); cmd_logs.c has their table.
 */
#ifndef CMDB_CLI_LOGS_H
#define CMDB_CLI_LOGS_H

#include "cmd.h"

extern const struct opt logs_send_opts[], logs_generate_opts[];

enum ctl_exit logs_send(struct call *call);
enum ctl_exit logs_generate(struct call *call);

#endif
