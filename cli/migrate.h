/* What `cmdbctl migrate` is made of besides the migrations: the accounts and the seed. */
#ifndef CMDB_CLI_MIGRATE_H
#define CMDB_CLI_MIGRATE_H

#include "cmd.h"

/* Creates the accounts of cmdb-fcgi and cmdb-poller, or sets their passwords, and grants what each
 * needs. host: where they may come from. Says what is wrong. */
enum ctl_exit grants_apply(struct call *call, const char *host);

/* Runs a file of data once for each database; the file's name says which it is. *was_applied is set
 * if it had been before. Says what is wrong. */
enum ctl_exit seed_apply(struct call *call, const char *path, bool *was_applied);

/* Adds an identifier with its quotes. */
void sql_add_name(struct str *out, const char *name);

#endif
