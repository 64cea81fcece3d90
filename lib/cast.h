/*
 * The args of a CAST (wire.h): the inside of a JSON array, an event's name and its data. Whoever
 * sends one makes and checks it here, and so does the poller, whoever it comes from. Pure.
 */
#ifndef CMDB_CAST_H
#define CMDB_CAST_H

#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"
#include "str.h"

/* Adds them; data is one JSON text. */
void cast_put(struct str *args, const char *name, const char *data, size_t len);
/* May they be sent? false: *field ("event" or "data") and *why, static texts, say what is wrong;
 * why follows on the field in a sentence. */
bool cast_is_good(struct slice args, const char **field, const char **why);

#endif
