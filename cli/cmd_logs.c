/* What devices log; each verb has a file of its own. */
#include "logs.h"

const struct cmd cmd_logs = {
	"logs",
	"what devices log",
	(const struct verb[]){
		{"tail", "", 0, 0, logs_tail_opts, logs_tail,
			"show what devices logged last, and then what comes", false},
		{"send", "[FILE...]", 0, -1, logs_send_opts, logs_send,
			"send lines of files, or of standard input", false},
		{"generate", "", 0, 0, logs_generate_opts, logs_generate,
			"have a made-up fleet of devices log", false},
		{0},
	},
};
