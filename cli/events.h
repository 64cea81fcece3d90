/*
 * The verbs of `cmdbctl events` that have a file of their own.
 */
#ifndef CMDB_CLI_EVENTS_H
#define CMDB_CLI_EVENTS_H

#include "cmd.h"

/* Options of every verb that asks the web server; see api_open(). */
extern const struct opt events_tail_opts[], events_prune_opts[];

enum ctl_exit events_tail(struct call *call);
enum ctl_exit events_prune(struct call *call);

#endif
