/*
 * What a command is. One file a command (cmd_<name>.c), each with one `const struct cmd`; main.c
 * lists them. A command has verbs ("user add"), or a single one with the name "" ("status");
 * of those with a "list" that is what the command alone means. The
 * tables say which arguments and options a verb takes: parsing, --help and the shell completion
 * come from them, so that a verb's function starts with checked input.
 *
 * A verb prints its result on standard output (text, or JSON with --json), what is wrong on
 * standard error, and returns the exit status.
 */
#ifndef CMDB_CLI_CMD_H
#define CMDB_CLI_CMD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "config.h"
#include "db.h"
#include "err.h"
#include "perm.h"

enum ctl_exit {
	CTL_OK = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2,
	CTL_UNREACHABLE = 3, /* database, poller or web server */
	CTL_NOT_FOUND = 4,   /* not there, or in conflict with what is */
};

#define CMD_OPTS_MAX 24

enum opt_kind { OPT_FLAG, OPT_TEXT, OPT_LIST, OPT_NUMBER };

/* An option of a verb; a table of them ends with {0}. */
struct opt {
	const char *name; /* without the dashes; one letter gets one dash */
	enum opt_kind kind;
	const char *arg; /* what --help calls the value; NULL for a flag */
	const char *help;
	int64_t min, max; /* OPT_NUMBER */
};

struct call;

struct verb {
	const char *name;
	const char *args;       /* "NAME [PERMISSION...]" */
	int args_min, args_max; /* args_max -1: any number */
	const struct opt *opts; /* NULL: none */
	enum ctl_exit (*run)(struct call *call);
	const char *help;       /* one line */
	bool is_without_config; /* runs also when the configuration cannot be read;
				   call->config_errors */
};

struct cmd {
	const char *name;
	const char *help;
	const struct verb *verbs; /* ends with {0} */
};

extern const struct cmd *const cmd_table[]; /* ends with NULL; main.c */

/* One run of a verb: what was asked for. */
struct call {
	const struct cmd *cmd;
	const struct verb *verb;
	const struct config *cfg; /* NULL when it could not be read */
	struct str config_errors; /* why not, one line a problem */
	const char *config_file;  /* --config, else NULL */
	struct strlist sets;      /* --set */
	bool json, help, version;
	struct strlist args;
	struct {
		bool is_given;
		struct strlist texts; /* OPT_TEXT has one, OPT_LIST any number */
		int64_t number;
	} values[CMD_OPTS_MAX]; /* by the index of the option in verb->opts */
	struct db_login login;
	struct db *db; /* cmd_db() opens it */
};

/* Fills in `call` from the command line. False, having said on standard error what is wrong, when
 * it does not fit the tables. The caller releases call with cmd_fini() in any case. */
bool cmd_parse(struct call *call, int argc, char **argv);
void cmd_fini(struct call *call);
/* Adds help for what call names: a verb, a command, or all. */
void cmd_help(const struct call *call, struct str *out);
/* bash completion, made from the tables. */
void cmd_completion(struct str *out);

/* Was it given? False too when the verb has no such option. */
bool opt_is_given(const struct call *call, const char *name);
/* What was given. name is one of the verb's options (else it asserts). */
bool opt_flag(const struct call *call, const char *name);
const char *opt_text(const struct call *call, const char *name); /* NULL when not given */
const struct strlist *opt_list(const struct call *call, const char *name);
int64_t opt_number(const struct call *call, const char *name, int64_t fallback);

/* Adds arg, or all of standard input where that is "-". False: it is longer than `most` bytes. */
bool cmd_text(const char *arg, size_t most, struct str *out);

/* "cmdbctl: ..." on standard error; returns status. */
enum ctl_exit cmd_fail(enum ctl_exit status, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Opens call->db with the [cli] account. CTL_OK, or the status after having said why not. sets end
 * with NULL. */
enum ctl_exit cmd_db(struct call *call, const struct db_set *const *sets);
/* Says what the database complains of; returns the status that fits e. */
enum ctl_exit cmd_fail_db(const struct call *call, enum err e, const char *what);
enum ctl_exit cmd_exit_of(enum err e);

#endif
