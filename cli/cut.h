/*
 * Where the log is to be cut, for each class of retention (lib/stream.h): up to an id, so that what
 * is left of the class's topics is young enough and not too much. What is found costs little where
 * little is to go: only what goes is looked at for its age, and a class that is a few topics among
 * many events is looked for by topic.
 */
#ifndef CMDB_CLI_CUT_H
#define CMDB_CLI_CUT_H

#include "config.h"
#include "stream.h"

#define CUT_ANY INT64_MAX /* of a limit: none */

struct cut_limits {
	int64_t keep_s, rows;
};

extern const struct db_set cut_sql;

struct cut_limits cut_limits_of(const struct config *cfg, enum retention r);
/* The newest id that is to go of the class, none above `most`; 0: nothing. */
enum err cut_find(struct db *db, enum retention r, const struct cut_limits *keep, uint64_t most,
	uint64_t *cut) __attribute__((warn_unused_result));

#endif
