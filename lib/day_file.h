/*
 * Names of files that begin anew with the day or hour: %Y, %m, %d and %H in them stand for a time
 * (UTC), %% for a per cent sign, as for strftime(3). Any thread; nothing blocks.
 */
#ifndef CMDB_DAY_FILE_H
#define CMDB_DAY_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "str.h"

/* Adds the name that pattern has at that time. false: it has a % that is none of these. */
bool day_file_name(struct str *out, const char *pattern, int64_t wall_ms);

#endif
