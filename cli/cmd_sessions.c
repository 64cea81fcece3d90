/* sessions: who is connected, what of one, who lags, and out with it. */
#include "sessions.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "event.h"
#include "json.h"
#include "out.h"
#include "people.h"
#include "rows.h"
#include "stop.h"

#define POLLER_TIMEOUT_MS 30000
#define PAGE_SIZE 200 /* the most that the poller gives */
#define TOP_N 20
#define TOP_HEAD 3 /* lines above and below the rows */
#define CLEAR "\033[H\033[J"

#define COLUMNS "id tenant user ip node state connected messages lag topics"

const struct db_set *const sessions_sql[] = {&change_sql, &people_sql, &event_sql, NULL};

/* ---- asking ---- */

static enum ctl_exit find_tenant(struct sessions *s, struct call *call)
{
	struct change ch = {.call = call};
	enum ctl_exit status = cmd_db(call, sessions_sql);
	enum err e;

	if (status != CTL_OK)
		return status;
	ch.db = call->db;
	e = people_tenant(&ch, opt_text(call, "tenant"), &s->tenant_id);
	if (e != ERR_OK)
		status = ch.problem.len ? cmd_fail(cmd_exit_of(e), "%s", str_c(&ch.problem))
					: cmd_fail_db(call, e, "tenant");
	str_fini(&ch.problem);
	return status;
}

enum ctl_exit sessions_open(struct sessions *s, struct call *call)
{
	const char *path = call->cfg->poller.socket;
	struct str why = STR_INIT;
	enum ctl_exit status = CTL_OK;

	*s = (struct sessions){.call = call};
	if (poller_open(path, POLLER_TIMEOUT_MS, &s->poller, &why) != POLLER_OPEN)
		status = cmd_fail(CTL_UNREACHABLE, "no poller: %s", str_c(&why));
	str_fini(&why);
	return status == CTL_OK && opt_is_given(call, "tenant") ? find_tenant(s, call) : status;
}

void sessions_close(struct sessions *s)
{
	poller_close(s->poller);
}

static enum ctl_exit sessions_fail(enum wire_answer said, const char *why)
{
	if (said == WIRE_ANSWER_NONE)
		return CTL_NOT_FOUND;
	return cmd_fail(said == WIRE_ANSWER_BAD ? CTL_USAGE : CTL_UNREACHABLE, "%s", why);
}

enum ctl_exit sessions_ask(struct sessions *s, const char *question, struct json_object *arguments,
	struct json_object **o)
{
	struct str args = STR_INIT, json = STR_INIT, why = STR_INIT;
	enum ctl_exit status = CTL_OK;
	const char *bad = NULL;
	size_t at;

	*o = NULL;
	if (arguments)
		json_print(&args, arguments);
	if (!poller_ask(s->poller, question, s->tenant_id, &args, &json, &why))
		status = sessions_fail(poller_said(s->poller), str_c(&why));
	else if (!(*o = json_parse_own(str_c(&json), json.len, &bad, &at)))
		status = cmd_fail(CTL_FAILED, "the poller's answer is no JSON: %s", bad);
	str_fini(&args);
	str_fini(&json);
	str_fini(&why);
	return status;
}

enum ctl_exit sessions_ask_one(
	struct sessions *s, const char *question, const char *id, struct json_object **o)
{
	struct json_object *args = json_object_new_object();
	enum ctl_exit status;

	json_object_object_add(args, "id", json_object_new_string(id));
	status = sessions_ask(s, question, args, o);
	json_object_put(args);
	return status;
}

void sessions_say_none(const char *id)
{
	cmd_fail(CTL_NOT_FOUND, "there is no connection %s; see cmdbctl sessions list", id);
}

/* ---- as a table ---- */

static void flatten(struct json_object *row, const char *name, struct json_object *v)
{
	json_object_object_add(row, name, json_object_get(v));
}

static bool is_paused(struct json_object *views, const char *topic)
{
	for (size_t i = 0; views && i < json_object_array_length(views); i++) {
		struct json_object *v = json_object_array_get_idx(views, i);
		const char *of = json_get_str(v, "topic");

		if (of && !strcmp(of, topic))
			return json_object_get_boolean(json_get(v, "paused"));
	}
	return false;
}

/* Each with a sign that it is paused, if it is. NULL: none. */
static struct json_object *topics_of(struct json_object *subscription)
{
	struct json_object *topics = json_get(subscription, "topics"), *all;

	if (!topics)
		return NULL;
	all = json_object_new_array();
	for (size_t i = 0; i < json_object_array_length(topics); i++) {
		struct json_object *topic = json_object_array_get_idx(topics, i);
		struct str text = STR_INIT;

		str_adds(&text, json_object_get_string(topic));
		if (is_paused(json_get(subscription, "views"), str_c(&text)))
			str_adds(&text, " (paused)");
		json_object_array_add(all, json_object_new_string(str_c(&text)));
		str_fini(&text);
	}
	return all;
}

/* What people look at of a connection. */
static struct json_object *row_of(struct json_object *c)
{
	struct json_object *row = json_object_new_object();

	flatten(row, "id", json_get(c, "id"));
	flatten(row, "tenant", json_get(c, "tenant"));
	flatten(row, "user", json_get(json_get(c, "user"), "username"));
	flatten(row, "ip", json_get(c, "ip"));
	flatten(row, "node", json_get(c, "node"));
	flatten(row, "state", json_get(c, "state"));
	flatten(row, "connected", json_get(c, "connectedAt"));
	flatten(row, "messages", json_get(c, "messageCount"));
	flatten(row, "lag", json_get(c, "lag"));
	json_object_object_add(row, "topics", topics_of(json_get(c, "subscription")));
	return row;
}

static void print_table(const struct call *call, struct json_object *connections)
{
	struct json_object *rows = json_object_new_array();

	for (size_t i = 0; i < json_object_array_length(connections); i++)
		json_object_array_add(rows, row_of(json_object_array_get_idx(connections, i)));
	rows_print(call, rows, COLUMNS);
	json_object_put(rows);
}

/* ---- list ---- */

static struct json_object *filters_of(const struct call *call)
{
	static const char *const same[] = {"user", "ip", "state", "topic", "sort"};
	struct json_object *args = json_object_new_object();

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		if (opt_is_given(call, same[i]))
			json_object_object_add(
				args, same[i], json_object_new_string(opt_text(call, same[i])));
	if (opt_is_given(call, "node"))
		json_object_object_add(
			args, "node", json_object_new_int64(opt_number(call, "node", 0)));
	if (opt_is_given(call, "min-lag"))
		json_object_object_add(
			args, "min_lag", json_object_new_int64(opt_number(call, "min-lag", 0)));
	return args;
}

static enum ctl_exit ask_page(struct sessions *s, struct json_object *args, int64_t page,
	int64_t size, struct json_object **o)
{
	json_object_object_add(args, "page", json_object_new_int64(page));
	json_object_object_add(args, "page_size", json_object_new_int64(size));
	return sessions_ask(s, "connections", args, o);
}

/* Page by page, up to so many. */
static enum ctl_exit gather(struct sessions *s, size_t most, struct json_object *all)
{
	struct json_object *args = filters_of(s->call), *o, *items;
	enum ctl_exit status = CTL_OK;
	size_t n = PAGE_SIZE;

	for (int64_t page = 1; status == CTL_OK && n == PAGE_SIZE; page++) {
		status = ask_page(s, args, page, PAGE_SIZE, &o);
		items = json_get(o, "items");
		n = items ? json_object_array_length(items) : 0;
		for (size_t i = 0; i < n && json_object_array_length(all) < most; i++)
			json_object_array_add(
				all, json_object_get(json_object_array_get_idx(items, i)));
		if (json_object_array_length(all) >= most)
			n = 0;
		json_object_put(o);
	}
	json_object_put(args);
	return status;
}

static enum ctl_exit list(struct call *call)
{
	struct json_object *all = json_object_new_array();
	struct sessions s;
	enum ctl_exit status = sessions_open(&s, call);

	if (status == CTL_OK)
		status = gather(&s, (size_t)opt_number(call, "n", INT32_MAX), all);
	if (status == CTL_OK && call->json)
		out_json(all);
	else if (status == CTL_OK)
		print_table(call, all);
	json_object_put(all);
	sessions_close(&s);
	return status;
}

/* ---- show ---- */

static enum ctl_exit show(struct call *call)
{
	struct json_object *o = NULL;
	struct sessions s;
	enum ctl_exit status = sessions_open(&s, call);

	if (status == CTL_OK &&
		(status = sessions_ask_one(&s, "connection", call->args.v[0], &o)) == CTL_NOT_FOUND)
		sessions_say_none(call->args.v[0]);
	if (o)
		rows_print_one(call, o);
	json_object_put(o);
	sessions_close(&s);
	return status;
}

/* ---- top ---- */

static int64_t lines_of_terminal(void)
{
	struct winsize size;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > TOP_HEAD
		       ? size.ws_row - TOP_HEAD
		       : TOP_N;
}

static void print_head(struct json_object *stats)
{
	struct str line = STR_INIT;
	struct json_object *rate = json_get(stats, "pushSuccessRate");

	str_addf(&line, "%lld connections, %lld behind, up for %.0f s on average",
		(long long)json_object_get_int64(json_get(stats, "total")),
		(long long)json_object_get_int64(json_get(stats, "lagging")),
		json_object_get_double(json_get(stats, "averageUptime")));
	if (rate)
		str_addf(&line, ", %.2f %% of answers arrived at once",
			100 * json_object_get_double(rate));
	out_line(str_c(&line));
	str_fini(&line);
}

static enum ctl_exit top_once(struct sessions *s, int64_t n, bool clears)
{
	struct json_object *args = filters_of(s->call), *o = NULL, *stats = NULL;
	enum ctl_exit status;

	if (!json_get(args, "sort"))
		json_object_object_add(args, "sort", json_object_new_string("-lag"));
	status = ask_page(s, args, 1, n < PAGE_SIZE ? n : PAGE_SIZE, &o);
	if (status == CTL_OK && s->call->json) {
		out_json(json_get(o, "items"));
	} else if (status == CTL_OK) {
		status = sessions_ask(s, "connection-stats", NULL, &stats);
		if (clears)
			out_text(CLEAR);
		print_head(stats);
		print_table(s->call, json_get(o, "items"));
	}
	json_object_put(args);
	json_object_put(o);
	json_object_put(stats);
	return status;
}

static enum ctl_exit top(struct call *call)
{
	bool goes_on = isatty(STDOUT_FILENO) && !call->json && !opt_flag(call, "once");
	int64_t n = opt_number(call, "n", goes_on ? lines_of_terminal() : TOP_N);
	struct sessions s;
	enum ctl_exit status = sessions_open(&s, call);

	if (goes_on)
		stop_catch();
	while (status == CTL_OK) {
		status = top_once(&s, n, goes_on);
		if (!goes_on || status != CTL_OK || !out_flush())
			break;
		stop_wait(opt_number(call, "interval", 2) * 1000);
		if (stop_is_asked())
			break;
	}
	sessions_close(&s);
	return status;
}

#define FILTERS                                                                                 \
	{"tenant", OPT_TEXT, "NAME", "of this tenant (all)", 0, 0},                             \
		{"user", OPT_TEXT, "USER", "of the user with this name or id", 0, 0},           \
		{"ip", OPT_TEXT, "ADDRESS", "from this address", 0, 0},                         \
		{"node", OPT_NUMBER, "N", "on this host", 1, 65535},                            \
		{"state", OPT_TEXT, "STATE", "open (no namespace yet) or joined", 0, 0},        \
		{"topic", OPT_TEXT, "TOPIC", "that have asked for this topic", 0, 0},           \
		{"min-lag", OPT_NUMBER, "N", "at least so many events behind", 0, INT64_MAX},   \
	{                                                                                       \
		"sort", OPT_TEXT, "KEY",                                                        \
			"by connectedAt, lag, messageCount or user; with - before it from the " \
			"other end",                                                            \
			0, 0                                                                    \
	}

static const struct opt list_opts[] = {
	FILTERS,
	{"n", OPT_NUMBER, "N", "no more than so many", 1, INT32_MAX},
	{0},
};
static const struct opt top_opts[] = {
	FILTERS,
	{"n", OPT_NUMBER, "N", "so many (what fits the terminal, else 20)", 1, PAGE_SIZE},
	{"interval", OPT_NUMBER, "S", "look again after so many seconds (2)", 1, 3600},
	{"once", OPT_FLAG, NULL, "look once, on a terminal too", 0, 0},
	{0},
};
static const struct opt show_opts[] = {
	{"tenant", OPT_TEXT, "NAME", "of this tenant (all)", 0, 0},
	{0},
};
static const struct opt kick_opts[] = {
	{"tenant", OPT_TEXT, "NAME", "of this tenant (all)", 0, 0},
	{"yes", OPT_FLAG, NULL, "do not ask, however many they are", 0, 0},
	{0},
};

const struct cmd cmd_sessions = {
	"sessions",
	"live connections",
	(const struct verb[]){
		{"list", "", 0, 0, list_opts, list, "who is connected", false},
		{"show", "ID", 1, 1, show_opts, show, "one of them", false},
		{"kick", "ID...", 1, -1, kick_opts, sessions_kick,
			"disconnect them, and tell them why", false},
		{"top", "", 0, 0, top_opts, top, "who is furthest behind", false},
		{0},
	},
};
