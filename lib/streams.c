/* The rows. */
#include "config.h"
#include "event.h"
#include "log_filter.h"
#include "stream.h"

/* An inventory's resource: everybody who may read it has a copy that is kept up to date. */
#define RESOURCE(name)                                                            \
	{                                                                         \
		.topic = name, .has_rows = true, .views = {                       \
			{.grant = STREAM_BY_RIGHT, .shape = &stream_shape_update} \
		}                                                                 \
	}

static int64_t logs_per_s(const struct config *cfg)
{
	return cfg->logs.max_per_s;
}

static const struct stream_pace log_pace = {
	.window_ms = 100, .batch_max = 50, .per_s = 100, .per_s_set = logs_per_s};

const struct stream streams[] = {
	RESOURCE("websites"),
	RESOURCE("line-groups"),
	RESOURCE("origin-groups"),
	RESOURCE("origin-sets"),
	RESOURCE("cache-rules"),
	RESOURCE("domains"),
	RESOURCE("nodes"),
	{.topic = "stats",
		.perm = "system:read",
		.is_console = true,
		.retention = RETENTION_BRIEF,
		.views = {{.grant = STREAM_BY_RIGHT, .shape = &stream_shape_update}}},
	{.topic = "rules", .is_console = true},
	{.topic = "system", .is_console = true},
	{.topic = "logs",
		.is_console = true,
		.has_entries = true,
		.retention = RETENTION_BRIEF,
		.views = {{.grant = STREAM_BY_EVENT,
				  .shape = &stream_shape_log,
				  .pace = &log_pace,
				  .filter = &log_stream_filter},
			{.grant = STREAM_IN_EVENTS, .filter = &log_stream_filter}}},
	{.topic = "devices",
		.perm = "logs:read",
		.retention = RETENTION_BRIEF, /* whoever may post logs makes as many as he likes */
		.views = {{.grant = STREAM_BY_RIGHT, .shape = &stream_shape_update}}},
	{.topic = "alerts", .is_console = true},
	{.topic = "notifications", .is_console = true},
	{.topic = "tasks", .is_console = true},
	/* Internal: nobody reads it, and it is of no use for long. */
	{.topic = EVENT_TOPIC_HOSTS, .retention = RETENTION_BRIEF},
	{0},
};
