/*
 * An entry of a device's log (lib/log_entry.h) as a line: for people, with colours by level on a
 * terminal unless NO_COLOR is set (no-color.org), or as JSON.
 */
#ifndef CMDB_CLI_ENTRY_LINE_H
#define CMDB_CLI_ENTRY_LINE_H

#include <json-c/json.h>

#include "cmd.h"

struct entry_line {
	bool is_json, has_colour;
};

/* From now on, if it has colours, Ctrl-C leaves none behind on the terminal. */
void entry_line_init(struct entry_line *l, const struct call *call);
void entry_line_print(const struct entry_line *l, struct json_object *entry);

#endif
