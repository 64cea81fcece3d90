/*
 * The inventory: what resources there are. A new one is a table in schema/ and a descriptor in
 * resources.c; crud.h says what follows from it.
 */
#ifndef CMDB_RESOURCES_H
#define CMDB_RESOURCES_H

#include "crud.h"

/* All are built by the first call, which must come before there are threads. */
const struct route *resource_routes(size_t *n);
const struct db_set *resource_sql(void); /* for db_new() of whoever runs these routes */
/* By its name; NULL if there is none. */
const struct crud *resource_find(const char *name);

#endif
