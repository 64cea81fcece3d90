#include "doctor.h"

#include <stdarg.h>
#include <string.h>

#include "out.h"
#include "rows.h"

static const struct check {
	const char *name;
	check_fn run;
	bool is_deep;
} checks[] = {
	{"configuration", check_config, false},
	{"configuration file", check_config_file, false},
	{"token key", check_token_key, false},
	{"database", check_db_cli, false},
	{"database as cmdb-fcgi", check_db_fcgi, false},
	{"database as cmdb-poller", check_db_poller, false},
	{"rights of cmdb-fcgi", check_rights_fcgi, false},
	{"rights of cmdb-poller", check_rights_poller, false},
	{"schema", check_schema, false},
	{"writes", check_writable, false},
	{"durability", check_durability, false},
	{"sql_mode", check_sql_mode, false},
	{"packet size", check_packet, false},
	{"binlog", check_binlog, false},
	{"binlog_row_image", check_row_image, false},
	{"binlog rights", check_binlog_rights, false},
	{"wait_timeout", check_wait_timeout, false},
	{"event ids", check_event_ids, false},
	{"retention", check_retention, false},
	{"disk", check_disk, false},
	{"clock", check_clock, false},
	{"runtime directory", check_runtime, false},
	{"poller", check_poller, false},
	{"connections", check_connections, false},
	{"prepared statements", check_statements, false},
	{"event source", check_source, false},
	{"event writer", check_writer, false},
	{"event log", check_log, false},
	{"event lag", check_lag, false},
	{"event names", check_event_names, false},
	{"web server", check_web, false},
	{"cmdb-fcgi", check_ready, false},
	{"API key", check_api_key, false},
	{"Authorization header", check_authorization, false},
	{"event stream", check_stream, false},
	{"uploads", check_uploads, false},
	{"open files", check_descriptors, false},
	{"file of logs", check_log_file, false},
	{"hang-ups", check_hangup, true},
};
#define CHECKS_N (sizeof(checks) / sizeof(checks[0]))

static const char *const verdict_names[] = {[VERDICT_OK] = "ok",
	[VERDICT_SKIP] = "skip",
	[VERDICT_WARN] = "warn",
	[VERDICT_FAIL] = "fail"};

void finding_ok(struct finding *f, const char *fmt, ...)
{
	va_list ap;

	f->verdict = VERDICT_OK;
	va_start(ap, fmt);
	str_addv(&f->text, fmt, ap);
	va_end(ap);
}

void finding_skip(struct finding *f, const char *fmt, ...)
{
	va_list ap;

	f->verdict = VERDICT_SKIP;
	va_start(ap, fmt);
	str_addv(&f->text, fmt, ap);
	va_end(ap);
}

void finding_bad(struct finding *f, enum verdict verdict, const char *cure, const char *fmt, ...)
{
	va_list ap;

	f->verdict = verdict;
	str_adds(&f->cure, cure);
	va_start(ap, fmt);
	str_addv(&f->text, fmt, ap);
	va_end(ap);
}

static void print_finding(const struct check *c, const struct finding *f)
{
	static const char *const labels[] = {[VERDICT_OK] = "OK  ",
		[VERDICT_SKIP] = "SKIP",
		[VERDICT_WARN] = "WARN",
		[VERDICT_FAIL] = "FAIL"};
	struct str line = STR_INIT;

	str_addf(&line, "%s  %s: ", labels[f->verdict], c->name);
	out_add_safe(&line, str_c(&f->text));
	out_line(str_c(&line));
	if (f->cure.len) {
		str_clear(&line);
		str_adds(&line, "      cure: ");
		out_add_safe(&line, str_c(&f->cure));
		out_line(str_c(&line));
	}
	out_flush();
	str_fini(&line);
}

/* Runs one check, prints it or adds it to rows; returns how bad it is. */
static enum verdict examine(struct doctor *d, const struct check *c, struct json_object *rows)
{
	struct finding f = {.verdict = VERDICT_OK};

	c->run(d, &f);
	if (d->call->json)
		json_object_array_add(rows,
			rows_object("check:s verdict:s text:s cure:s",
				(const struct db_val[]){dbv_s(c->name),
					dbv_s(verdict_names[f.verdict]), dbv_s(str_c(&f.text)),
					f.cure.len ? dbv_s(str_c(&f.cure)) : DBV_NULL},
				4));
	else
		print_finding(c, &f);
	str_fini(&f.text);
	str_fini(&f.cure);
	return f.verdict;
}

static enum ctl_exit doctor(struct call *call)
{
	struct doctor d = {.call = call, .cfg = call->cfg};
	struct json_object *rows = json_object_new_array();
	unsigned seen[VERDICT_FAIL + 1] = {0};

	for (size_t i = 0; i < CHECKS_N; i++) {
		if (checks[i].is_deep && !opt_flag(call, "deep"))
			continue;
		seen[examine(&d, &checks[i], rows)]++;
		if (!d.cfg)
			break;
	}
	if (call->json)
		rows_print(call, rows, "");
	else
		rows_print_done(call, NULL, "%u ok, %u skipped, %u warnings, %u failures%s",
			seen[VERDICT_OK], seen[VERDICT_SKIP], seen[VERDICT_WARN],
			seen[VERDICT_FAIL], opt_flag(call, "deep") ? "" : "; --deep tries more");
	json_object_put(rows);
	json_object_put(d.poller);
	rest_free(d.rest);
	rest_free(d.nobody);
	db_free(d.poller_db);
	db_free(d.fcgi_db);
	return seen[VERDICT_FAIL] ? CTL_FAILED : CTL_OK;
}

static const struct opt doctor_opts[] = {
	{"deep", OPT_FLAG, NULL, "also try what takes some seconds: does a hang-up get through", 0,
		0},
	{0},
};

const struct cmd cmd_doctor = {
	"doctor",
	"what is wrong, and what helps",
	(const struct verb[]){
		{"", "", 0, 0, doctor_opts, doctor,
			"examine configuration, database, poller and web server", true},
		{0},
	},
};
