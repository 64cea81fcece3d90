/*
 * What this program is made of: every module's routes and SQL. A new module of routes is one line
 * in each table of tables.c.
 */
#ifndef CMDB_TABLES_H
#define CMDB_TABLES_H

#include "db.h"
#include "route.h"

/* All routes, for routes_free() to release. */
struct routes *tables_routes(void);
/* All sets of statements that a worker's connection prepares; ends with NULL; borrowed for ever. */
const struct db_set *const *tables_sql(void);

#endif
