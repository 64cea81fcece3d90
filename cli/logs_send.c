/*
 * `cmdbctl logs send`: lines of files or of standard input become entries, which go off in batches:
 * what comes after a quiet spell at once, a steady flow some times a second, and a file as fast as
 * it is taken. While a batch is on its way or the server is not there nothing is read, so whoever
 * writes to us waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api.h"
#include "clock.h"
#include "json.h"
#include "log_entry.h"
#include "logs.h"
#include "logs_post.h"
#include "mem.h"
#include "rows.h"
#include "stop.h"
#include "text.h"

/* A line has gone off at most SPACING_MS after it was read, and is on its way within 200 ms. */
#define QUIET_MS 10    /* what comes together goes together */
#define SPACING_MS 150 /* from one batch to the next */
#define READ_SIZE 65536
#define LINE_BYTES (512u * 1024)
#define MESSAGE_BYTES 65536

/* A source of lines. */
struct feed {
	int fd;
	struct str buf;
	size_t at; /* of the next line in buf */
	uint64_t line;
	bool is_over, is_skipping; /* is_skipping: the rest of a line that is too long */
	int failed_by;             /* errno of the read that ended it; 0: none */
};

enum fed { FED_LINE, FED_LATE, FED_END, FED_LONG };

struct send {
	const struct call *call;
	struct log_poster poster;
	struct log_batch *batch;
	struct bar bar;
	bool is_ndjson;
	struct str head; /* plain lines: the entry up to its timestamp */
	struct str entry, text;
	int64_t due_ms, sent_ms; /* when the batch is to go, the last one went */
	uint64_t bytes, bytes_all, wrong;
	bool is_partial; /* not all that was named could be read */
	int64_t began_ms;
};

/* ---- lines ---- */

/* Reads more; false: not before until_ms (-1: whenever), or at the end. */
static bool feed_read(struct feed *f, int64_t until_ms)
{
	struct pollfd p = {.fd = f->fd, .events = POLLIN};
	int64_t left = until_ms < 0 ? -1 : until_ms - clock_ms();
	ssize_t n;

	if (stop_is_asked() || poll(&p, 1, left < -1 ? 0 : (int)left) <= 0)
		return false;
	str_reserve(&f->buf, READ_SIZE);
	n = read(f->fd, f->buf.p + f->buf.len, READ_SIZE);
	if (n > 0) {
		f->buf.len += (size_t)n;
		f->buf.p[f->buf.len] = '\0';
	}
	if (n < 0 && errno != EINTR && errno != EAGAIN)
		f->failed_by = errno;
	f->is_over = n == 0 || f->failed_by;
	return n > 0;
}

/* What of buf has been given is dropped. */
static void feed_shift(struct feed *f)
{
	if (!f->at)
		return;
	memmove(f->buf.p, f->buf.p + f->at, f->buf.len - f->at);
	str_truncate(&f->buf, f->buf.len - f->at);
	f->at = 0;
}

static enum fed feed_give(struct feed *f, size_t len, size_t end, struct slice *line)
{
	bool was_skipping = f->is_skipping;

	*line = (struct slice){f->buf.p + f->at, len};
	f->at += end;
	f->is_skipping = false;
	if (f->line++ == 0 && !was_skipping) {
		size_t mark = text_mark_len(line->p, line->len);

		*line = (struct slice){line->p + mark, line->len - mark};
	}
	return was_skipping ? FED_LONG : FED_LINE;
}

/* The next line, without its end; borrowed until the next call. */
static enum fed feed_next(struct feed *f, int64_t until_ms, struct slice *line)
{
	size_t seen = 0;

	for (;;) {
		size_t len = f->buf.len - f->at;
		const char *p = len > seen ? f->buf.p + f->at : NULL,
			   *end = p ? memchr(p + seen, '\n', len - seen) : NULL;

		if (end)
			return feed_give(f, (size_t)(end - p), (size_t)(end - p) + 1, line);
		if (f->is_over)
			return len || f->is_skipping ? feed_give(f, len, len, line) : FED_END;
		feed_shift(f);
		if (len > LINE_BYTES) {
			f->is_skipping = true;
			str_clear(&f->buf);
			len = 0;
		}
		seen = len;
		if (!feed_read(f, until_ms) && !f->is_over)
			return stop_is_asked() ? FED_END : FED_LATE;
	}
}

/* ---- entries ---- */

static void send_refuse(struct send *s, const struct feed *f, const char *why)
{
	bar_clear(&s->bar);
	s->wrong++;
	cmd_fail(CTL_OK, "line %llu is not sent: %s", (unsigned long long)f->line, why);
}

static void put_list(struct str *out, const struct strlist *list)
{
	str_addc(out, '[');
	for (size_t i = 0; i < list->n; i++) {
		if (i)
			str_addc(out, ',');
		str_add_json(out, list->v[i]);
	}
	str_addc(out, ']');
}

static bool has_member(struct json_object *o, const char *name)
{
	return o && json_object_object_get_ex(o, name, NULL);
}

/* The members that the options give, each with a comma behind it, but those that o has. */
static void put_given(const struct send *s, struct json_object *o, struct str *out)
{
	const struct strlist *tags = opt_list(s->call, "tag");
	static const struct given {
		const char *opt, *member;
	} givens[] = {{"device", "deviceId"}, {"level", "level"}, {"source", "source"}};

	for (size_t i = 0; i < sizeof(givens) / sizeof(givens[0]); i++) {
		const char *text = opt_text(s->call, givens[i].opt);

		if (!text && !strcmp(givens[i].opt, "level"))
			text = "INFO";
		if (!text || has_member(o, givens[i].member))
			continue;
		str_add_json(out, givens[i].member);
		str_addc(out, ':');
		str_add_json(out, text);
		str_addc(out, ',');
	}
	if (tags->n && !has_member(o, "tags")) {
		str_adds(out, "\"tags\":");
		put_list(out, tags);
		str_addc(out, ',');
	}
}

/* As UTF-8 without NUL, which JSON cannot have. */
static void put_clean(struct str *out, struct slice line)
{
	size_t from = 0;

	for (size_t i = 0; i < line.len; i++)
		if (!line.p[i]) {
			json_add_utf8(out, line.p + from, i - from);
			str_adds(out, "\xef\xbf\xbd");
			from = i + 1;
		}
	json_add_utf8(out, line.p + from, line.len - from);
}

/* A plain line; false: there is none to send. */
static bool entry_of_text(struct send *s, const struct feed *f, struct slice line)
{
	if (line.len && line.p[line.len - 1] == '\r')
		line.len--;
	if (!line.len)
		return false;
	str_clear(&s->text);
	put_clean(&s->text, line);
	if (s->text.len > MESSAGE_BYTES) {
		send_refuse(s, f, "a message has at most 65536 bytes");
		return false;
	}
	str_add(&s->entry, s->head.p, s->head.len);
	str_addf(&s->entry, "\"timestamp\":%lld,\"message\":", (long long)clock_wall_ms());
	str_add_json_n(&s->entry, s->text.p, s->text.len);
	str_addc(&s->entry, '}');
	return true;
}

/* An entry as the web server shows it and the file of logs has it: what was the server's to say
 * goes, and *line is what is left of it, in s->text. */
static void drop_shown(struct send *s, struct json_object *o, struct slice *line)
{
	static const char *const members[] = {"id", "receivedAt", "tenant"};

	if (!has_member(o, "id") || !has_member(o, "receivedAt"))
		return;
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		json_object_object_del(o, members[i]);
	str_clear(&s->text);
	json_print(&s->text, o);
	*line = slice_str(&s->text);
}

/* A line that is an entry already: what it does not say itself is added. */
static bool entry_of_json(struct send *s, const struct feed *f, struct slice line)
{
	struct json_object *all, *o;
	const char *why = NULL;
	size_t at = 0;

	while (line.len && strchr(" \t\r", line.p[line.len - 1]))
		line.len--;
	while (line.len && strchr(" \t", *line.p))
		line = (struct slice){line.p + 1, line.len - 1};
	if (!line.len)
		return false;
	/* As it will stand in the body: nothing that passes here makes the whole of it no JSON. */
	str_clear(&s->text);
	str_addc(&s->text, '[');
	str_add(&s->text, line.p, line.len);
	str_addc(&s->text, ']');
	all = json_parse(s->text.p, s->text.len, &why, &at);
	o = all && json_object_array_length(all) == 1 ? json_object_array_get_idx(all, 0) : NULL;
	if (!json_object_is_type(o, json_type_object)) {
		send_refuse(s, f, why ? why : "it is no JSON object");
		json_object_put(all);
		return false;
	}
	drop_shown(s, o, &line);
	str_addc(&s->entry, '{');
	put_given(s, o, &s->entry);
	if (!has_member(o, "timestamp"))
		str_addf(&s->entry, "\"timestamp\":%lld,", (long long)clock_wall_ms());
	if (!json_object_object_length(o) && s->entry.p[s->entry.len - 1] == ',')
		str_truncate(&s->entry, s->entry.len - 1);
	str_add(&s->entry, line.p + 1, line.len - 1); /* behind its brace */
	json_object_put(all);
	return true;
}

/* ---- batches ---- */

static void send_progress(struct send *s)
{
	int64_t ms = clock_ms() - s->began_ms;
	struct str text = STR_INIT;

	str_addf(&text, "%llu lines, %lld a second", (unsigned long long)s->poster.sent,
		(long long)(ms > 0 ? (int64_t)s->poster.sent * 1000 / ms : 0));
	bar_draw(&s->bar, s->bytes, s->bytes_all, str_c(&text));
	str_fini(&text);
}

static enum ctl_exit send_batch(struct send *s)
{
	enum ctl_exit status;

	s->sent_ms = clock_ms();
	status = log_post(&s->poster, s->batch);
	if (status == CTL_OK)
		send_progress(s);
	return status;
}

static enum ctl_exit send_line(struct send *s, const struct feed *f, struct slice line)
{
	enum ctl_exit status = CTL_OK;
	int64_t now;

	s->bytes += line.len + 1;
	str_clear(&s->entry);
	if (!(s->is_ndjson ? entry_of_json(s, f, line) : entry_of_text(s, f, line)))
		return CTL_OK;
	if (log_batch_is_full(s->batch, s->entry.len))
		status = send_batch(s);
	if (status != CTL_OK)
		return status;
	if (!s->batch->n) {
		now = clock_ms();
		s->due_ms = s->sent_ms + SPACING_MS;
		if (s->due_ms < now + QUIET_MS)
			s->due_ms = now + QUIET_MS;
	}
	log_batch_add(s->batch, str_c(&s->entry), s->entry.len, f->line);
	return CTL_OK;
}

/* A source that is not read to its end; the others are. */
static void send_miss(struct send *s, const char *path, const char *why)
{
	bar_clear(&s->bar);
	s->is_partial = true;
	cmd_fail(CTL_OK, "%s: %s", path, why);
}

/* What a file is that begins so, as those that logs are rotated into, if these are no lines. */
static const char *why_no_lines(struct slice first)
{
	static const struct kind {
		const char *magic, *why;
	} kinds[] = {
		{"\x1f\x8b", "it is compressed, send what zcat makes of it"},
		{"\x28\xb5\x2f\xfd", "it is compressed, send what zstdcat makes of it"},
		{"\xfd\x37zXZ", "it is compressed, send what xzcat makes of it"},
		{"\xff\xfe", "it is UTF-16, send what iconv makes of it"},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t len = strlen(kinds[i].magic);

		if (first.len >= len && memcmp(first.p, kinds[i].magic, len) == 0)
			return kinds[i].why;
	}
	return NULL;
}

/* All lines of one source, to its end. */
static enum ctl_exit send_feed(struct send *s, int fd, const char *path)
{
	struct feed f = {.fd = fd};
	enum ctl_exit status = CTL_OK;
	const char *why = NULL;
	struct slice line;
	enum fed fed;

	do {
		fed = feed_next(&f, s->batch->n ? s->due_ms : -1, &line);
		if (fed == FED_LINE && f.line == 1 && (why = why_no_lines(line)))
			break;
		if (fed == FED_LINE)
			status = send_line(s, &f, line);
		else if (fed == FED_LONG)
			send_refuse(s, &f, "it is too long");
		if (status == CTL_OK && s->batch->n &&
			(fed == FED_LATE || s->batch->n == LOG_BATCH_MAX ||
				clock_ms() >= s->due_ms))
			status = send_batch(s);
	} while (status == CTL_OK && fed != FED_END);
	if (f.failed_by || why)
		send_miss(s, path, f.failed_by ? strerror(f.failed_by) : why);
	str_fini(&f.buf);
	return status;
}

static enum ctl_exit send_file(struct send *s, const char *path)
{
	bool is_stdin = !strcmp(path, "-");
	int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	enum ctl_exit status;

	if (fd < 0) {
		send_miss(s, path, strerror(errno));
		return CTL_OK;
	}
	status = send_feed(s, fd, path);
	if (!is_stdin)
		close(fd);
	return status;
}

/* ---- the command ---- */

/* How much there is to read, if that is known. */
static uint64_t files_size(const struct strlist *files)
{
	uint64_t all = 0;
	struct stat st;

	for (size_t i = 0; i < (files->n ? files->n : 1); i++) {
		bool is_stdin = !files->n || !strcmp(files->v[i], "-");

		if ((is_stdin ? fstat(STDIN_FILENO, &st) : stat(files->v[i], &st)) != 0 ||
			!S_ISREG(st.st_mode))
			return 0;
		all += (uint64_t)st.st_size;
	}
	return all;
}

static struct json_object *send_report(const struct send *s)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "sent", json_object_new_uint64(s->poster.sent));
	json_object_object_add(o, "refused", json_object_new_uint64(s->poster.refused + s->wrong));
	json_object_object_add(o, "unsent", json_object_new_uint64(s->batch->n));
	json_object_object_add(o, "requests", json_object_new_uint64(s->poster.requests));
	json_object_object_add(o, "retries", json_object_new_uint64(s->poster.retries));
	return o;
}

static enum ctl_exit send_all(struct send *s)
{
	const struct strlist *files = &s->call->args;
	enum ctl_exit status = CTL_OK;
	struct json_object *o;

	s->began_ms = clock_ms();
	s->bytes_all = files_size(files);
	for (size_t i = 0; i < (files->n ? files->n : 1) && status == CTL_OK; i++)
		status = send_file(s, files->n ? files->v[i] : "-");
	if (status == CTL_OK && s->batch->n)
		status = send_batch(s);
	bar_clear(&s->bar);
	o = send_report(s);
	rows_print_one(s->call, o);
	json_object_put(o);
	return status == CTL_OK && (s->is_partial || s->poster.refused + s->wrong) ? CTL_FAILED
										   : status;
}

static enum ctl_exit send_check(const struct call *call)
{
	const char *level = opt_text(call, "level");

	if (!opt_flag(call, "ndjson") && !opt_text(call, "device"))
		return cmd_fail(CTL_USAGE, "--device says whose lines these are; with --ndjson "
					   "each line is an entry that says it itself");
	if (level && !entry_level_find(slice_of(level)))
		return cmd_fail(CTL_USAGE,
			"--level is DEBUG, INFO, WARN, ERROR or FATAL, not \"%s\"", level);
	return CTL_OK;
}

enum ctl_exit logs_send(struct call *call)
{
	struct send s = {.call = call, .is_ndjson = opt_flag(call, "ndjson")};
	enum ctl_exit status = send_check(call);

	if (status != CTL_OK)
		return status;
	s.poster = (struct log_poster){.rest = api_open(call, &status),
		.bar = &s.bar,
		.has_gzip = opt_flag(call, "gzip"),
		.patience_ms = opt_number(call, "give-up", 0) * 1000,
		.what = "line"};
	if (!s.poster.rest)
		return status;
	s.batch = xcalloc(1, sizeof(*s.batch));
	bar_init(&s.bar);
	stop_catch();
	str_addc(&s.head, '{');
	put_given(&s, NULL, &s.head);
	status = send_all(&s);
	log_batch_fini(s.batch);
	free(s.batch);
	str_fini(&s.head);
	str_fini(&s.entry);
	str_fini(&s.text);
	rest_free(s.poster.rest);
	stop_now();
	return status;
}

const struct opt logs_send_opts[] = {
	{"device", OPT_TEXT, "ID", "the device that says these lines", 0, 0},
	{"level", OPT_TEXT, "LEVEL", "of these lines (INFO)", 0, 0},
	{"tag", OPT_LIST, "TAG", "a tag for each of them; repeatable", 0, 0},
	{"source", OPT_TEXT, "TEXT", "where they come from, as in sshd", 0, 0},
	{"ndjson", OPT_FLAG, NULL,
		"each line is an entry as JSON; the options say what it does not", 0, 0},
	{"gzip", OPT_FLAG, NULL, "compress what is sent", 0, 0},
	{"give-up", OPT_NUMBER, "S",
		"while the server is not there, try for so many seconds (for ever)", 1, 86400},
	API_OPTS,
	{0},
};
