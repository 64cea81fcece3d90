#include "out.h"
#include "rows.h"

/* cfg NULL: the defaults. */
static enum ctl_exit cmd_config_print(
	const struct call *call, const struct config *cfg, bool with_secrets)
{
	struct str out = STR_INIT;

	if (call->json) {
		config_print_json(&out, cfg);
		out_json_text(&out);
	} else {
		config_print(&out, cfg, with_secrets);
		out_text(str_c(&out));
	}
	str_fini(&out);
	return CTL_OK;
}

static enum ctl_exit config_show(struct call *call)
{
	return cmd_config_print(call, call->cfg, opt_flag(call, "with-secrets"));
}

static enum ctl_exit config_default(struct call *call)
{
	return cmd_config_print(call, NULL, false);
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
		cmd_fail(CTL_FAILED, "the configuration is wrong:\n%s", errors);
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
