/*
 * Standard output. All that a command prints goes through here, so that a full disk is said, with
 * its reason, however much was printed before: stdio keeps no errno. A reader that has gone (head)
 * is no reason to complain.
 */
#ifndef CMDB_CLI_OUT_H
#define CMDB_CLI_OUT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "str.h"

void out_text(const char *text);
void out_line(const char *text);
/* One line of JSON. What could steer a terminal is escaped (\u009b). */
void out_json(struct json_object *o);
void out_json_text(const struct str *json);
/* Has all been written so far? */
bool out_flush(void);
/* Waits so many ms; false, at once, when whoever read the output has gone (a pipe that is closed).
 */
bool out_wait(int64_t ms);
/* out_flush() at the end: says why not. */
bool out_finish(void);

/* Adds text as one line for people: '?' for what could steer a terminal, and for line ends. Returns
 * the columns it takes. */
size_t out_add_safe(struct str *out, const char *text);

#endif
