/*
 * The inventory: what resources there are. A new one is a table in schema/ and a descriptor in
 * resources.c; crud.h says what follows from it.
 */
#ifndef CMDB_RESOURCES_H
#define CMDB_RESOURCES_H

#include "crud.h"

/* Both are built by the first call, which must come before there are threads. */
const struct route *resource_routes(size_t *n);
const struct db_set *resource_sql(void); /* for db_new() of whoever runs these routes */
/* crud_rows() of a resource by its name. */
enum err resource_snapshot(struct ctx *ctx, const char *name, uint64_t most, struct str *items,
	uint64_t *total) __attribute__((warn_unused_result));

#endif
