#include "event_name.h"

#include <string.h>

#include "event.h"
#include "json.h"

bool event_name_is_reserved(const char *name)
{
	static const char *const reserved[] = {"connect", "connect_error", "disconnect",
		"disconnecting", "newListener", "removeListener"};

	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		if (strcmp(name, reserved[i]) == 0)
			return true;
	return false;
}

/* C0, DEL, or C1, which in UTF-8 is 0xc2 and its own byte. */
static bool has_control(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];
		if (c < 0x20 || c == 0x7f)
			return true;
		if (c == 0xc2 && i + 1 < len && (unsigned char)name[i + 1] < 0xa0)
			return true;
	}
	return false;
}

static size_t event_name_count_chars(const char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += (text[i] & 0xc0) != 0x80;
	return n;
}

const char *event_name_fault(const char *name, size_t len)
{
	if (len == 0)
		return "cannot be empty";
	if (has_control(name, len))
		return "cannot have control characters";
	if (!json_is_utf8(name, len))
		return "must be UTF-8";
	if (event_name_count_chars(name, len) > EVENT_NAME_MAX)
		return "cannot be longer than 64 characters";
	return event_name_is_reserved(name)
		       ? "cannot be one of Socket.IO's own: a client would drop its connection"
		       : NULL;
}
