/*
 * `cmdbctl logs query`: the entries that GET /api/logs finds, a page after the other, until there
 * are as many as are wanted. Nothing is kept, so that all of a large log may go into a pipe.
 */
#include <json-c/json.h>
#include <string.h>

#include "api.h"
#include "entry_line.h"
#include "json.h"
#include "logs.h"
#include "out.h"

#define LINES 100
#define PAGE 500

struct logs_query {
	const struct call *call;
	struct rest *rest;
	struct entry_line line;
	bool is_ascending;
	uint64_t left;
	struct str cursor; /* "": from the beginning */
};

/* Those that are given as they are. */
static void add_given(const struct call *call, const char *option, struct str *path)
{
	const char *text = opt_text(call, option);

	if (text)
		rest_query(path, option, text);
}

/* A time that is none is for the server to refuse. */
static void logs_query_time(const struct call *call, const char *option, struct str *path)
{
	const char *text = opt_text(call, option);
	char at[CLOCK_RFC3339_SIZE];

	if (text)
		rest_query(path, option, logs_time(text, at) ? at : text);
}

static void logs_query_number(struct str *path, const char *name, uint64_t n)
{
	struct str text = STR_INIT;

	str_addu(&text, n);
	rest_query(path, name, str_c(&text));
	str_fini(&text);
}

static void put_path(const struct logs_query *q, struct str *path)
{
	const char *near = q->is_ascending ? "after" : "before",
		   *far = q->is_ascending ? "before" : "after";

	str_adds(path, "/api/logs");
	logs_add_filter(q->call, path);
	logs_query_time(q->call, "from", path);
	logs_query_time(q->call, "to", path);
	add_given(q->call, far, path);
	if (q->cursor.len)
		rest_query(path, near, str_c(&q->cursor));
	else
		add_given(q->call, near, path);
	rest_query(path, "order", q->is_ascending ? "asc" : "desc");
	logs_query_number(path, "limit", q->left < PAGE ? q->left : PAGE);
}

static void show_items(struct logs_query *q, struct json_object *items)
{
	size_t n = items ? json_object_array_length(items) : 0;

	for (size_t i = 0; i < n; i++)
		entry_line_print(&q->line, json_object_array_get_idx(items, i));
	q->left -= n < q->left ? n : q->left;
}

/* false in *has_more: all is shown. */
static enum ctl_exit show_page(struct logs_query *q, bool *has_more)
{
	struct str path = STR_INIT;
	struct rest_answer a;
	struct json_object *data, *next;
	enum ctl_exit status;

	put_path(q, &path);
	status = api_call(q->rest, "GET", str_c(&path), NULL, &a);
	str_fini(&path);
	if (status != CTL_OK)
		return status;
	data = rest_data(&a);
	show_items(q, json_get(data, "items"));
	next = json_get(data, "next");
	str_clear(&q->cursor);
	if (next)
		str_adds(&q->cursor, json_object_get_string(next));
	*has_more = q->cursor.len && q->left && out_flush();
	rest_answer_fini(&a);
	return CTL_OK;
}

enum ctl_exit logs_query(struct call *call)
{
	enum ctl_exit status;
	bool has_more = true;
	struct logs_query q = {.call = call,
		.is_ascending = opt_flag(call, "oldest-first"),
		.left = opt_flag(call, "all") ? UINT64_MAX
					      : (uint64_t)opt_number(call, "n", LINES)};

	if (opt_flag(call, "all") && opt_is_given(call, "n"))
		return cmd_fail(CTL_USAGE, "-n says how many, --all that it is all: give one");
	if (!(q.rest = api_open(call, &status)))
		return status;
	entry_line_init(&q.line, call);
	while (status == CTL_OK && has_more)
		status = show_page(&q, &has_more);
	str_fini(&q.cursor);
	rest_free(q.rest);
	return status;
}

const struct opt logs_query_opts[] = {
	LOGS_FILTER_OPTS,
	{"from", OPT_TEXT, "TIME",
		"only what devices say is of this time (10m ago, RFC 3339) or later", 0, 0},
	{"to", OPT_TEXT, "TIME", "or earlier", 0, 0},
	{"before", OPT_TEXT, "ID", "only with smaller ids", 0, 0},
	{"after", OPT_TEXT, "ID", "only with larger ids", 0, 0},
	{"oldest-first", OPT_FLAG, NULL, "in the order in which they came", 0, 0},
	{"n", OPT_NUMBER, "N", "so many (100)", 1, INT64_MAX},
	{"all", OPT_FLAG, NULL, "all there are", 0, 0},
	API_OPTS,
	{0},
};
