/* The rows. */
#include "stream.h"

/* An inventory's resource: everybody who may read it has a copy that is kept up to date. */
#define RESOURCE(name)                                                            \
	{                                                                         \
		.topic = name, .has_rows = true, .views = {                       \
			{.grant = STREAM_BY_RIGHT, .shape = &stream_shape_update} \
		}                                                                 \
	}

const struct stream streams[] = {
	RESOURCE("websites"),
	RESOURCE("line-groups"),
	RESOURCE("origin-groups"),
	RESOURCE("origin-sets"),
	RESOURCE("cache-rules"),
	RESOURCE("domains"),
	RESOURCE("nodes"),
	{.topic = "stats", .is_console = true, .retention = RETENTION_BRIEF},
	{.topic = "rules", .is_console = true},
	{.topic = "system", .is_console = true},
	{.topic = "logs", .is_console = true, .retention = RETENTION_BRIEF},
	{.topic = "alerts", .is_console = true},
	{.topic = "notifications", .is_console = true},
	{.topic = "tasks", .is_console = true},
	{0},
};
