#include "cmd.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "out.h"

/* Options of every command. */
static const struct opt global_opts[] = {
	{"config", OPT_TEXT, "FILE", "read this configuration, not /etc/cmdb/cmdb.conf", 0, 0},
	{"set", OPT_LIST, "SECTION.KEY=VALUE", "goes over the configuration; repeatable", 0, 0},
	{"json", OPT_FLAG, NULL, "print JSON", 0, 0},
	{"help", OPT_FLAG, NULL, "show what the command takes", 0, 0},
	{"version", OPT_FLAG, NULL, "show the version", 0, 0},
	{0},
};

enum ctl_exit cmd_fail(enum ctl_exit status, const char *fmt, ...)
{
	struct str text = STR_INIT, safe = STR_INIT;
	char *rest, *line;
	va_list ap;

	va_start(ap, fmt);
	str_addv(&text, fmt, ap);
	va_end(ap);
	rest = text.p;
	while ((line = strsep(&rest, "\n"))) {
		out_add_safe(&safe, line);
		str_addc(&safe, '\n');
	}
	out_flush();
	fprintf(stderr, "cmdbctl: %s", str_c(&safe));
	str_fini(&text);
	str_fini(&safe);
	return status;
}

/* ---- finding what was asked for ---- */

static const struct cmd *find_cmd(const char *name)
{
	for (size_t i = 0; cmd_table[i]; i++)
		if (!strcmp(cmd_table[i]->name, name))
			return cmd_table[i];
	return NULL;
}

static const struct verb *find_verb(const struct cmd *cmd, const char *name)
{
	for (const struct verb *v = cmd->verbs; v->run; v++)
		if (!strcmp(v->name, name))
			return v;
	return NULL;
}

/* What a command means to whom it is enough: its list. NULL: it has none. */
static const struct verb *verb_unsaid(const struct cmd *cmd)
{
	const struct verb *v = cmd ? find_verb(cmd, "list") : NULL;

	return v && v->args_min == 0 ? v : NULL;
}

/* The index of the option called name, len bytes; -1 if there is none. */
static int find_opt(const struct opt *opts, const char *name, size_t len)
{
	for (int i = 0; opts && opts[i].name; i++)
		if (strlen(opts[i].name) == len && !memcmp(opts[i].name, name, len))
			return i;
	return -1;
}

static bool set_global(struct call *call, const struct opt *o, const char *value)
{
	if (!strcmp(o->name, "config"))
		call->config_file = value;
	else if (!strcmp(o->name, "set"))
		strlist_add(&call->sets, value, strlen(value));
	else if (!strcmp(o->name, "json"))
		call->json = true;
	else if (!strcmp(o->name, "help"))
		call->help = true;
	else
		call->version = true;
	return true;
}

/* What stands before its name. */
static const char *dashes_of(const struct opt *o)
{
	return o->name[1] ? "--" : "-";
}

static bool parse_number(const struct opt *o, const char *text, int64_t *out)
{
	char *end = NULL;
	long long v;

	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno || end == text || *end || v < o->min || v > o->max) {
		cmd_fail(CTL_USAGE, "%s%s wants a number from %lld to %lld, not \"%s\"",
			dashes_of(o), o->name, (long long)o->min, (long long)o->max, text);
		return false;
	}
	*out = v;
	return true;
}

static bool set_own(struct call *call, int i, const char *value)
{
	const struct opt *o = &call->verb->opts[i];

	call->values[i].is_given = true;
	switch (o->kind) {
	case OPT_FLAG:
		return true;
	case OPT_NUMBER:
		return parse_number(o, value, &call->values[i].number);
	case OPT_TEXT:
		strlist_fini(&call->values[i].texts);
		/* fall through */
	case OPT_LIST:
		strlist_add(&call->values[i].texts, value, strlen(value));
		return true;
	}
	return false;
}

/* One option at argv[*at], "--name value", "--name=value", "-n value" or "-nvalue"; moves *at on
 * past its value. */
static bool take_option(struct call *call, int argc, char **argv, int *at)
{
	const char *arg = argv[*at];
	bool is_short = arg[1] != '-';
	const char *name = arg + (is_short ? 1 : 2);
	size_t len = is_short ? 1 : strcspn(name, "=");
	const char *value = name[len] ? name + len + (name[len] == '=') : NULL;
	const struct verb *verb = call->verb ? call->verb : verb_unsaid(call->cmd);
	const struct opt *opts = verb ? verb->opts : NULL;
	int i = find_opt(opts, name, len);
	bool is_own = i >= 0;
	const struct opt *o;

	if (!is_own)
		i = find_opt(global_opts, name, len);
	if (i < 0 || (len == 1) != is_short) {
		cmd_fail(CTL_USAGE, "unknown option %s; see cmdbctl %s%s%s%s--help", arg,
			call->cmd ? call->cmd->name : "", call->cmd ? " " : "",
			verb ? verb->name : "", verb && *verb->name ? " " : "");
		return false;
	}
	o = is_own ? &opts[i] : &global_opts[i];
	if (is_own)
		call->verb = verb;
	if (o->kind == OPT_FLAG && value) {
		cmd_fail(CTL_USAGE, "%s%s takes no value", dashes_of(o), o->name);
		return false;
	}
	if (o->kind != OPT_FLAG && !value) {
		if (*at + 1 >= argc) {
			cmd_fail(CTL_USAGE, "%s wants a value: %s", arg, o->arg);
			return false;
		}
		value = argv[++*at];
	}
	return is_own ? set_own(call, i, value) : set_global(call, o, value);
}

/* A word that is no option: the command, its verb, or an argument. */
static bool take_word(struct call *call, const char *word)
{
	if (!call->cmd) {
		call->cmd = find_cmd(word);
		if (!call->cmd) {
			cmd_fail(CTL_USAGE, "there is no command \"%s\"; see cmdbctl --help", word);
			return false;
		}
		call->verb = find_verb(call->cmd, "");
		return true;
	}
	if (!call->verb) {
		call->verb = find_verb(call->cmd, word);
		if (!call->verb)
			cmd_fail(CTL_USAGE, "\"%s\" has no \"%s\"; see cmdbctl %s --help",
				call->cmd->name, word, call->cmd->name);
		return call->verb;
	}
	strlist_add(&call->args, word, strlen(word));
	return true;
}

static bool check_args(struct call *call)
{
	const struct verb *v = call->verb ? call->verb : verb_unsaid(call->cmd);
	int n = (int)call->args.n;

	call->verb = v;
	if (!v) {
		if (call->cmd)
			cmd_fail(CTL_USAGE, "what about %s? See cmdbctl %s --help", call->cmd->name,
				call->cmd->name);
		else
			cmd_fail(CTL_USAGE, "no command given; see cmdbctl --help");
		return false;
	}
	if (n >= v->args_min && (v->args_max < 0 || n <= v->args_max))
		return true;
	cmd_fail(CTL_USAGE, "%s: usage: cmdbctl %s%s%s%s%s",
		n < v->args_min ? "an argument is missing" : "too many arguments", call->cmd->name,
		*v->name ? " " : "", v->name, *v->args ? " " : "", v->args);
	return false;
}

bool cmd_parse(struct call *call, int argc, char **argv)
{
	bool is_words_only = false;

	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];

		if (!is_words_only && !strcmp(arg, "--")) {
			is_words_only = true;
		} else if (!is_words_only && arg[0] == '-' && arg[1]) {
			if (!take_option(call, argc, argv, &i))
				return false;
		} else if (!take_word(call, arg)) {
			return false;
		}
	}
	return call->help || call->version || check_args(call);
}

void cmd_fini(struct call *call)
{
	str_fini(&call->config_errors);
	strlist_fini(&call->sets);
	strlist_fini(&call->args);
	for (size_t i = 0; i < CMD_OPTS_MAX; i++)
		strlist_fini(&call->values[i].texts);
	db_free(call->db);
	call->db = NULL;
}

static int own_opt(const struct call *call, const char *name)
{
	int i = find_opt(call->verb->opts, name, strlen(name));

	assert(i >= 0 && i < CMD_OPTS_MAX);
	return i;
}

bool opt_is_given(const struct call *call, const char *name)
{
	int i = find_opt(call->verb->opts, name, strlen(name));

	return i >= 0 && call->values[i].is_given;
}

bool opt_flag(const struct call *call, const char *name)
{
	return call->values[own_opt(call, name)].is_given;
}

const char *opt_text(const struct call *call, const char *name)
{
	const struct strlist *l = &call->values[own_opt(call, name)].texts;

	return l->n ? l->v[0] : NULL;
}

const struct strlist *opt_list(const struct call *call, const char *name)
{
	return &call->values[own_opt(call, name)].texts;
}

int64_t opt_number(const struct call *call, const char *name, int64_t fallback)
{
	int i = own_opt(call, name);

	return call->values[i].is_given ? call->values[i].number : fallback;
}

bool cmd_text(const char *arg, size_t most, struct str *out)
{
	char buf[8192];
	size_t n;

	if (strcmp(arg, "-")) {
		str_adds(out, arg);
		return out->len <= most;
	}
	while (out->len <= most && (n = fread(buf, 1, sizeof(buf), stdin)) > 0)
		str_add(out, buf, n);
	return out->len <= most;
}

/* ---- help and completion ---- */

static void help_opts(const struct opt *opts, struct str *out)
{
	for (const struct opt *o = opts; o && o->name; o++) {
		struct str left = STR_INIT;

		str_addf(&left, "%s%s%s%s", dashes_of(o), o->name, o->arg ? " " : "",
			o->arg ? o->arg : "");
		str_addf(out, "  %-28s %s\n", str_c(&left), o->help);
		str_fini(&left);
	}
}

static void help_verb(const struct cmd *cmd, const struct verb *v, struct str *out)
{
	struct str left = STR_INIT;

	str_addf(&left, "%s%s%s%s%s", cmd->name, *v->name ? " " : "", v->name, *v->args ? " " : "",
		v->args);
	str_addf(out, "  %-44s %s\n", str_c(&left), v->help);
	str_fini(&left);
}

void cmd_help(const struct call *call, struct str *out)
{
	if (call->verb) {
		str_addf(out, "usage: cmdbctl %s%s%s%s%s [OPTION...]\n", call->cmd->name,
			*call->verb->name ? " " : "", call->verb->name,
			*call->verb->args ? " " : "", call->verb->args);
		str_addf(out, "%s\noptions:\n", call->verb->help);
		help_opts(call->verb->opts, out);
		help_opts(global_opts, out);
		return;
	}
	str_addf(out, "usage: cmdbctl %s [VERB] [ARGUMENT...] [OPTION...]\n",
		call->cmd ? call->cmd->name : "COMMAND");
	for (size_t i = 0; cmd_table[i]; i++) {
		if (call->cmd && call->cmd != cmd_table[i])
			continue;
		str_addf(out, "%s: %s\n", cmd_table[i]->name, cmd_table[i]->help);
		for (const struct verb *v = cmd_table[i]->verbs; v->run; v++)
			help_verb(cmd_table[i], v, out);
	}
	str_adds(out, "options of all commands:\n");
	help_opts(global_opts, out);
	str_adds(out,
		"exit status: 0 done, 1 failed, 2 wrong usage, 3 something could not be reached, "
		"4 not found or in conflict\n");
}

static void words_of_opts(struct str *out, const struct opt *opts)
{
	for (const struct opt *o = opts; o && o->name; o++)
		str_addf(out, " %s%s", dashes_of(o), o->name);
}

/* Those with a value, each once. */
static void words_of_valued_opts(struct str *out, const struct opt *opts)
{
	for (const struct opt *o = opts; o && o->name; o++) {
		struct str word = STR_INIT;

		str_addf(&word, " %s%s ", dashes_of(o), o->name);
		if (o->arg && !strstr(str_c(out), str_c(&word)))
			str_adds(out, str_c(&word) + (out->len > 0));
		str_fini(&word);
	}
}

static void valued_opts(struct str *out)
{
	words_of_valued_opts(out, global_opts);
	for (size_t i = 0; cmd_table[i]; i++)
		for (const struct verb *v = cmd_table[i]->verbs; v->run; v++)
			words_of_valued_opts(out, v->opts);
}

void cmd_completion(struct str *out)
{
	struct str valued = STR_INIT;

	valued_opts(&valued);
	/* bash splits words at '=', too: what follows one is a value. */
	str_addf(out,
		"# bash completion of cmdbctl: the output of `cmdbctl completion bash`.\n"
		"_cmdbctl() {\n"
		"\tlocal cur=${COMP_WORDS[COMP_CWORD]} words=() w value=\n"
		"\tlocal valued='%s'\n"
		"\tfor w in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
		"\t\tif [[ $w == '=' ]]; then value=1\n"
		"\t\telif [[ $value ]]; then value=\n"
		"\t\telif [[ $w != -* ]]; then words+=(\"$w\")\n"
		"\t\telif [[ $valued == *\" $w \"* ]]; then value=1\n"
		"\t\tfi\n"
		"\tdone\n"
		"\t[[ $value || $cur == '=' ]] && return\n"
		"\tlocal all='",
		str_c(&valued));
	str_fini(&valued);
	words_of_opts(out, global_opts);
	str_adds(out, "' what=\n\tcase \"${words[0]-}:${words[1]-}\" in\n");
	for (size_t i = 0; cmd_table[i]; i++) {
		const struct cmd *c = cmd_table[i];
		bool has_verbs = !find_verb(c, "");

		for (const struct verb *v = c->verbs; v->run; v++) {
			str_addf(out, "\t%s:%s) what='", c->name, has_verbs ? v->name : "*");
			words_of_opts(out, v->opts);
			str_adds(out, "' ;;\n");
		}
		if (!has_verbs)
			continue;
		str_addf(out, "\t%s:*) what='", c->name);
		for (const struct verb *v = c->verbs; v->run; v++)
			str_addf(out, " %s", v->name);
		str_adds(out, "' ;;\n");
	}
	str_adds(out, "\t*) what='");
	for (size_t i = 0; cmd_table[i]; i++)
		str_addf(out, " %s", cmd_table[i]->name);
	str_adds(out, "' ;;\n\tesac\n"
		      "\tmapfile -t COMPREPLY < <(compgen -W \"$what $all\" -- \"$cur\")\n"
		      "}\n"
		      "complete -o default -F _cmdbctl cmdbctl\n");
}

/* ---- the database ---- */

enum ctl_exit cmd_exit_of(enum err e)
{
	switch (e) {
	case ERR_OK:
		return CTL_OK;
	case ERR_BAD_REQUEST:
	case ERR_BAD_JSON:
	case ERR_VALIDATION:
		return CTL_USAGE;
	case ERR_UNAVAILABLE:
	case ERR_BUSY:
	case ERR_DB_LOST:
		return CTL_UNREACHABLE;
	case ERR_NOT_FOUND:
	case ERR_CONFLICT:
	case ERR_STALE:
	case ERR_IN_USE:
	case ERR_DUPLICATE:
	case ERR_DB_DUP:
	case ERR_DB_REF_USED:
	case ERR_DB_REF_NONE:
		return CTL_NOT_FOUND;
	default:
		return CTL_FAILED;
	}
}

enum ctl_exit cmd_fail_db(const struct call *call, enum err e, const char *what)
{
	const char *cure = "";

	if (e == ERR_DB_LOST)
		cure = "; is MariaDB running, and [database] socket or host right? "
		       "See cmdbctl doctor";
	else if (e == ERR_DB_DENIED)
		cure = "; run it as the system user that owns the database, or set [cli] db_user";
	return cmd_fail(cmd_exit_of(e), "%s: %s%s", what, db_errmsg(call->db), cure);
}

enum ctl_exit cmd_db(struct call *call, const struct db_set *const *sets)
{
	enum err e;

	call->login = config_login(call->cfg, CONFIG_CLI);
	call->db = db_new(&call->login, sets);
	e = db_ensure(call->db);
	if (e == ERR_OK)
		return CTL_OK;
	if (e == ERR_DB)
		return cmd_fail(CTL_FAILED,
			"the database has another schema than this program: %s; "
			"run cmdbctl migrate",
			db_errmsg(call->db));
	return cmd_fail_db(call, e, "cannot open the database");
}
