#include "log_entry.h"

#include <string.h>
#include <strings.h>

#include "clock.h"

static const char *const level_names[ENTRY_LEVEL_N] = {
	[ENTRY_DEBUG] = "DEBUG",
	[ENTRY_INFO] = "INFO",
	[ENTRY_WARN] = "WARN",
	[ENTRY_ERROR] = "ERROR",
	[ENTRY_FATAL] = "FATAL",
};

const char *entry_level_name(enum entry_level level)
{
	return level >= ENTRY_DEBUG && level < ENTRY_LEVEL_N ? level_names[level] : "";
}

enum entry_level entry_level_find(struct slice name)
{
	for (enum entry_level l = ENTRY_DEBUG; l < ENTRY_LEVEL_N; l++)
		if (strlen(level_names[l]) == name.len &&
			strncasecmp(level_names[l], name.p, name.len) == 0)
			return l;
	return 0;
}

static void entry_put_time(struct str *out, const char *key, int64_t ms)
{
	char text[CLOCK_RFC3339_SIZE];

	clock_rfc3339(ms, text);
	str_adds(out, key);
	str_adds(out, text);
	str_addc(out, '"');
}

static void put_json(struct str *out, const char *key, struct slice json, const char *none)
{
	str_adds(out, key);
	if (json.len)
		str_add(out, json.p, json.len);
	else
		str_adds(out, none);
}

void log_entry_put(struct str *out, const struct log_entry *e)
{
	str_adds(out, "{\"id\":");
	str_addu(out, e->id);
	str_adds(out, ",\"deviceId\":");
	str_add_json_n(out, e->device.p, e->device.len);
	entry_put_time(out, ",\"timestamp\":\"", e->logged_ms);
	str_adds(out, ",\"level\":\"");
	str_adds(out, entry_level_name(e->level));
	str_adds(out, "\",\"message\":");
	str_add_json_n(out, e->message.p, e->message.len);
	put_json(out, ",\"tags\":", e->tags, "[]");
	str_adds(out, ",\"source\":");
	if (e->source.p)
		str_add_json_n(out, e->source.p, e->source.len);
	else
		str_adds(out, "null");
	put_json(out, ",\"meta\":", e->meta, "null");
	entry_put_time(out, ",\"receivedAt\":\"", e->received_ms);
	str_addc(out, '}');
}
