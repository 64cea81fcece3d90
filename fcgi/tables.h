/*
 * What this program is made of: every module's routes, SQL and Socket.IO events. A new module is
 * one line in each table of tables.c that it has something for.
 */
#ifndef CMDB_TABLES_H
#define CMDB_TABLES_H

#include "db.h"
#include "route.h"

struct socket_namespace;

/* All routes, for routes_free() to release. */
struct routes *tables_routes(void);
/* The Socket.IO namespaces there are with this configuration; ends with one without a name. */
const struct socket_namespace *tables_namespaces(const struct config *cfg);
/* All sets of statements that a worker's connection prepares; ends with NULL; borrowed for ever. */
const struct db_set *const *tables_sql(void);

#endif
