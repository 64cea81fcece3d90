#include "entry_line.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "log_entry.h"
#include "out.h"

#define RESET "\033[0m"
#define DIM "\033[2m"

static const char *const colours[ENTRY_LEVEL_N] = {
	[0] = "",
	[ENTRY_DEBUG] = "\033[36m",
	[ENTRY_INFO] = "\033[32m",
	[ENTRY_WARN] = "\033[33m",
	[ENTRY_ERROR] = "\033[31m",
	[ENTRY_FATAL] = "\033[1;37;41m",
};

/* In the middle of a line, too. */
static void reset_and_die(int sig)
{
	ssize_t n = write(STDOUT_FILENO, RESET, sizeof(RESET) - 1);

	(void)n;
	raise(sig); /* it goes its usual way, by SA_RESETHAND */
}

void entry_line_init(struct entry_line *l, const struct call *call)
{
	struct sigaction act = {.sa_handler = reset_and_die, .sa_flags = (int)SA_RESETHAND};
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	*l = (struct entry_line){.is_json = call->json};
	l->has_colour = !call->json && isatty(STDOUT_FILENO) && !(no && *no) &&
			!(term && !strcmp(term, "dumb"));
	if (l->has_colour) {
		sigaction(SIGINT, &act, NULL);
		sigaction(SIGTERM, &act, NULL);
	}
}

/* Tabs stay: stack traces and tables are made of them. */
static void add_printed(struct str *line, const char *text)
{
	struct str part = STR_INIT;

	for (;;) {
		size_t len = strcspn(text, "\t");

		str_clear(&part);
		str_add(&part, text, len);
		out_add_safe(line, str_c(&part));
		if (!text[len])
			break;
		str_addc(line, '\t');
		text += len + 1;
	}
	str_fini(&part);
}

/* A part of the line, in a colour of its own. */
static void put_part(
	const struct entry_line *l, struct str *line, const char *colour, const char *text)
{
	bool has_colour = l->has_colour && *colour;

	if (has_colour)
		str_adds(line, colour);
	add_printed(line, text);
	if (has_colour)
		str_adds(line, RESET);
}

static void entry_line_tags(const struct entry_line *l, struct str *line, struct json_object *tags)
{
	struct str text = STR_INIT;

	if (!json_object_is_type(tags, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(tags); i++)
		str_addf(&text, " #%s", json_object_get_string(json_object_array_get_idx(tags, i)));
	if (text.len)
		put_part(l, line, DIM, str_c(&text));
	str_fini(&text);
}

static void entry_line_meta(const struct entry_line *l, struct str *line, struct json_object *meta)
{
	struct str text = STR_INIT;

	if (!meta)
		return;
	str_addc(&text, ' ');
	json_print(&text, meta);
	put_part(l, line, DIM, str_c(&text));
	str_fini(&text);
}

void entry_line_print(const struct entry_line *l, struct json_object *entry)
{
	const char *at = json_get_str(entry, "timestamp"), *name = json_get_str(entry, "level");
	const char *device = json_get_str(entry, "deviceId"),
		   *source = json_get_str(entry, "source"),
		   *message = json_get_str(entry, "message");
	enum entry_level level = name ? entry_level_find((struct slice){name, strlen(name)}) : 0;
	struct str line = STR_INIT, padded = STR_INIT;

	if (l->is_json) {
		out_json(entry);
		return;
	}
	put_part(l, &line, DIM, at ? at : "-");
	str_addf(&padded, "%-5s", name ? name : "-");
	str_addc(&line, ' ');
	put_part(l, &line, colours[level], str_c(&padded));
	str_addc(&line, ' ');
	put_part(l, &line, "\033[1m", device ? device : "-");
	if (source) {
		str_addc(&line, ' ');
		put_part(l, &line, "", source);
		str_addc(&line, ':');
	}
	str_addc(&line, ' ');
	put_part(l, &line, level >= ENTRY_ERROR ? colours[level] : "", message ? message : "");
	entry_line_tags(l, &line, json_get(entry, "tags"));
	entry_line_meta(l, &line, json_get(entry, "meta"));
	out_line(str_c(&line));
	str_fini(&padded);
	str_fini(&line);
}
