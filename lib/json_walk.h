/*
 * Walking through a JSON text that is known to be valid (json_look()), without building anything of
 * it: for what has to look at each event. Texts are borrowed. Any thread; nothing blocks.
 */
#ifndef CMDB_JSON_WALK_H
#define CMDB_JSON_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "str.h"

struct json_walk {
	const char *p, *end;
};

/* Into an array ('[') or object ('{'). false: the value is no such. */
bool json_walk_into(struct json_walk *w, struct slice value, char bracket);
/* The next element of an array, or member of an object, whose key is in quotes. false: there is no
 * more. */
bool json_walk_element(struct json_walk *w, struct slice *value);
bool json_walk_member(struct json_walk *w, struct slice *key, struct slice *value);
/* Adds what a text in quotes says; half a surrogate pair as U+FFFD. false: it is none. */
bool json_walk_text(struct slice value, struct str *out);
/* An integer from 0 on; 0 for any other value, and for one beyond UINT64_MAX. */
uint64_t json_walk_u64(struct slice value);

#endif
