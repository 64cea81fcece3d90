/* What devices log; each verb has a file of its own. */
#include "logs.h"

#include <string.h>

#include "rest.h"

bool logs_time(const char *text, char out[CLOCK_RFC3339_SIZE])
{
	static const struct unit {
		char name;
		int64_t ms;
	} units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
	struct str number = STR_INIT;
	size_t len = strlen(text);
	uint64_t n = 0;
	int64_t at;
	bool is_good = clock_parse_rfc3339(text, len, &at);

	if (is_good)
		clock_rfc3339(at, out);
	for (size_t i = 0; !is_good && len && i < sizeof(units) / sizeof(units[0]); i++) {
		if (text[len - 1] != units[i].name)
			continue;
		str_add(&number, text, len - 1);
		is_good = parse_u64(
			str_c(&number), 0, (uint64_t)(CLOCK_WALL_MAX_MS / units[i].ms), &n);
		clock_rfc3339(clock_wall_ms() - (int64_t)n * units[i].ms, out);
	}
	str_fini(&number);
	return is_good;
}

void logs_add_filter(const struct call *call, struct str *path)
{
	static const char *const dimensions[] = {"device", "level", "tag", "keyword"};

	for (size_t i = 0; i < sizeof(dimensions) / sizeof(dimensions[0]); i++) {
		const struct strlist *values = opt_list(call, dimensions[i]);

		for (size_t k = 0; k < values->n; k++)
			rest_query(path, dimensions[i], values->v[k]);
	}
}

const struct cmd cmd_logs = {
	"logs",
	"what devices log",
	(const struct verb[]){
		{"tail", "", 0, 0, logs_tail_opts, logs_tail,
			"show what devices logged last, and then what comes", false},
		{"query", "", 0, 0, logs_query_opts, logs_query,
			"show entries that are stored, newest first", false},
		{"prune", "", 0, 0, logs_prune_opts, logs_prune, "remove old entries", false},
		{"send", "[FILE...]", 0, -1, logs_send_opts, logs_send,
			"send lines of files, or of standard input", false},
		{"generate", "", 0, 0, logs_generate_opts, logs_generate,
			"have a made-up fleet of devices log", false},
		{0},
	},
};
