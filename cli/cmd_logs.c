/* What devices log; each verb has a file of its own. */
#include "logs.h"

#include "rest.h"

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
