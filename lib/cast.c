#include "cast.h"

#include <string.h>

#include "event_name.h"
#include "json.h"
#include "wire.h"

_Static_assert(WIRE_CAST_MAX == 65536, "as cast_is_good() says it");

void cast_put(struct str *args, const char *name, const char *data, size_t len)
{
	str_add_json(args, name);
	str_addc(args, ',');
	str_add(args, data, len);
}

static const char *name_fault(struct json_object *array)
{
	struct json_object *name = json_object_array_get_idx(array, 0);

	if (!json_object_is_type(name, json_type_string))
		return "must be a text";
	return event_name_fault(
		json_object_get_string(name), (size_t)json_object_get_string_len(name));
}

bool cast_is_good(struct slice args, const char **field, const char **why)
{
	struct str text = STR_INIT;
	struct json_object *array;
	size_t offset;

	*field = "data";
	if (args.len > WIRE_CAST_MAX) {
		*why = "must have, with the name, at most 65536 bytes";
		return false;
	}
	str_addc(&text, '[');
	str_add(&text, args.p, args.len);
	str_addc(&text, ']');
	array = json_parse(text.p, text.len, why, &offset);
	str_fini(&text);
	if (!array) {
		*why = "must be JSON that every client takes";
		return false;
	}
	*why = name_fault(array);
	if (*why)
		*field = "event";
	else if (json_object_array_length(array) != 2)
		*why = "must be one JSON text";
	json_object_put(array);
	return !*why;
}
