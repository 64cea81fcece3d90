#include <stdio.h>

#include "rows.h"

static enum ctl_exit print_and_free(struct str *out)
{
	fputs(str_c(out), stdout);
	str_fini(out);
	return CTL_OK;
}

static enum ctl_exit config_show(struct call *call)
{
	struct str out = STR_INIT;

	if (call->json) {
		config_print_json(&out, call->cfg);
		str_addc(&out, '\n');
	} else {
		config_print(&out, call->cfg, opt_flag(call, "with-secrets"));
	}
	return print_and_free(&out);
}

static enum ctl_exit config_default(struct call *call)
{
	struct str out = STR_INIT;

	config_print(&out, NULL, false);
	return print_and_free(&out);
}

static enum ctl_exit config_check(struct call *call)
{
	struct json_object *o = json_object_new_object();
	const char *errors = str_c(&call->config_errors);

	json_object_object_add(o, "valid", json_object_new_boolean(call->cfg != NULL));
	json_object_object_add(o, "errors", json_object_new_string(errors));
	if (call->json || call->cfg)
		rows_print_done(call, o, "the configuration is right");
	else
		fprintf(stderr, "%s\n", errors);
	json_object_put(o);
	return call->cfg ? CTL_OK : CTL_FAILED;
}

static const struct opt show_opts[] = {
	{"with-secrets", OPT_FLAG, NULL, "show passwords too", 0, 0},
	{0},
};

const struct cmd cmd_config = {
	"config",
	"the configuration",
	(const struct verb[]){
		{"show", "", 0, 0, show_opts, config_show, "show what is in force", false},
		{"check", "", 0, 0, NULL, config_check, "say what is wrong with it", true},
		{"default", "", 0, 0, NULL, config_default, "show all keys with their defaults",
			true},
		{0},
	},
};
