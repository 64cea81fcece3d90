/*
 * cmdbctl: what people and cron do to cmdb. It goes to the database itself for what belongs there
 * (people, keys, the event log), to the poller for how it is, and to the web server for the rest.
 */
#include "autoconf.h"

#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "log.h"
#include "out.h"
#include "secret.h"

extern const struct cmd cmd_migrate, cmd_tenant, cmd_role, cmd_user, cmd_apikey, cmd_token,
	cmd_events, cmd_logs, cmd_devices, cmd_sessions, cmd_broadcast, cmd_websites, cmd_status,
	cmd_config, cmd_doctor, cmd_completion_bash;

const struct cmd *const cmd_table[] = {
	&cmd_migrate,
	&cmd_tenant,
	&cmd_role,
	&cmd_user,
	&cmd_apikey,
	&cmd_token,
	&cmd_events,
	&cmd_logs,
	&cmd_devices,
	&cmd_sessions,
	&cmd_broadcast,
	&cmd_websites,
	&cmd_status,
	&cmd_config,
	&cmd_doctor,
	&cmd_completion_bash,
	NULL,
};

static enum ctl_exit completion_bash(struct call *call)
{
	struct str out = STR_INIT;
	struct json_object *o = json_object_new_object();

	cmd_completion(&out);
	json_object_object_add(o, "bash", json_object_new_string(str_c(&out)));
	if (call->json)
		out_json(o);
	else
		out_text(str_c(&out));
	json_object_put(o);
	str_fini(&out);
	return CTL_OK;
}

const struct cmd cmd_completion_bash = {
	"completion",
	"for the shell",
	(const struct verb[]){
		{"bash", "", 0, 0, NULL, completion_bash, "print the completion file for bash",
			true},
		{0},
	},
};

static enum ctl_exit run(struct call *call)
{
	struct config cfg;
	enum ctl_exit status;
	bool is_loaded;

	is_loaded = config_load(&cfg, call->config_file, (const char *const *)call->sets.v,
		call->sets.n, &call->config_errors);
	if (!is_loaded && !call->verb->is_without_config)
		return cmd_fail(
			CTL_FAILED, "the configuration is wrong:\n%s", str_c(&call->config_errors));
	call->cfg = is_loaded ? &cfg : NULL;
	status = call->verb->run(call);
	db_free(call->db); /* before the texts it borrows */
	call->db = NULL;
	if (is_loaded)
		config_fini(&cfg);
	return status;
}

static void help(const struct call *call)
{
	struct str out = STR_INIT;

	cmd_help(call, &out);
	out_text(str_c(&out));
	str_fini(&out);
}

/* What is opened later must not get the number of a standard stream that is closed: a write to it
 * would go into the database's socket. These take no output, and say so. */
static void hold_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	struct call call = {0};
	enum ctl_exit status = CTL_OK;

	hold_standard_descriptors();
	/* A poller or reader of our output that went away shows as a failed write. */
	signal(SIGPIPE, SIG_IGN);
	setlocale(LC_CTYPE, "C.UTF-8");
	log_init("cmdbctl", LOG_WARN, LOG_TEXT);
	secret_init();
	db_library_init();
	if (!cmd_parse(&call, argc, argv))
		status = CTL_USAGE;
	else if (call.help)
		help(&call);
	else if (call.version)
		out_line("cmdbctl " PACKAGE_VERSION);
	else
		status = run(&call);
	cmd_fini(&call);
	db_library_fini();
	if (!out_finish() && status == CTL_OK)
		status = CTL_FAILED;
	return (int)status;
}
