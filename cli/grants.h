/*
 * What the database accounts of cmdb-fcgi and cmdb-poller may do: one list, by which `cmdbctl
 * migrate --grants` gives rights and `cmdbctl doctor` looks for missing ones and for more.
 */
#ifndef CMDB_CLI_GRANTS_H
#define CMDB_CLI_GRANTS_H

#include "config.h"

/* Rights on a table of the database, on all of it (table NULL), or on the server (is_global). */
struct grant {
	const char *rights; /* "SELECT, INSERT", "SELECT (id, name)" */
	const char *table;
	bool is_global;
	const char *without; /* what goes wrong without it; NULL: it is not to be done without */
};

/* Ends with {0}. CONFIG_FCGI or CONFIG_POLLER. */
const struct grant *grants_of(enum config_account who);
/* Does the configuration need it? The right to follow the binlog is none that an account should
 * have for nothing: it shows every row of every table. */
bool grant_is_wanted(const struct grant *g, const struct config *cfg);

#endif
