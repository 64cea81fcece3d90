#include "log.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "json.h"
#include "text.h"

/* No memory is allocated here, so that running out of it can be logged; longer messages end in
 * "...". */
#define MESSAGE_SIZE 4096
#define HEADER_SIZE 512
#define LINE_SIZE (HEADER_SIZE + 6 * MESSAGE_SIZE + 8) /* an escape takes up to six bytes */

static const char *const level_text[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
static const char *const level_json[] = {"debug", "info", "warn", "error"};

/* Set once by log_init(), before there are threads, and by it again on reload. */
static const char *program = "cmdb";
static volatile enum log_level level_min = LOG_INFO;
static volatile enum log_format format_now = LOG_TEXT;

struct line {
	char p[LINE_SIZE];
	size_t len;
};

void log_init(const char *name, enum log_level level, enum log_format format)
{
	program = name;
	level_min = level;
	format_now = format;
}

bool log_is_on(enum log_level level)
{
	return level >= level_min;
}

static void log_put(struct line *l, const char *text, size_t len)
{
	assert(len <= LINE_SIZE - l->len);
	memcpy(l->p + l->len, text, len);
	l->len += len;
}

/* Adds a message so that it can neither end the line nor command a terminal nor turn what stands
 * around it: such characters, and the bytes of a message that is no UTF-8, are written as escapes.
 */
static void put_safe(struct line *l, const char *text, size_t len)
{
	bool is_json = format_now == LOG_JSON, is_text = json_is_utf8(text, len);
	char esc[16];

	for (size_t n; len > 0; text += n, len -= n) {
		bool is_utf8;
		uint32_t c;

		n = text_next(text, is_text ? len : 1, &c, &is_utf8);
		if (c == '\n')
			log_put(l, "\\n", 2);
		else if (is_json && (c == '"' || c == '\\'))
			log_put(l, (char[]){'\\', (char)c}, 2);
		else if (is_utf8 && !text_is_unsafe(c))
			log_put(l, text, n);
		else if (c < 0x10000)
			log_put(l, esc, (size_t)snprintf(esc, sizeof(esc), "\\u%04x", c));
		else
			log_put(l, esc,
				(size_t)snprintf(esc, sizeof(esc), "\\u%04x\\u%04x",
					0xd800 + ((c - 0x10000) >> 10), 0xdc00 + (c & 0x3ff)));
	}
}

static void log_put_header(struct line *l, enum log_level level, const char *event)
{
	char when[CLOCK_RFC3339_SIZE];
	int n;

	clock_rfc3339(clock_wall_ms(), when);
	if (format_now == LOG_JSON)
		n = snprintf(l->p, HEADER_SIZE,
			"{\"time\":\"%s\",\"level\":\"%s\",\"program\":\"%s\",\"pid\":%d,"
			"\"event\":\"%s\",\"message\":\"",
			when, level_json[level], program, (int)getpid(), event);
	else
		n = snprintf(l->p, HEADER_SIZE, "%s %s %s[%d] %s: ", when, level_text[level],
			program, (int)getpid(), event);
	l->len = (size_t)n < HEADER_SIZE ? (size_t)n : HEADER_SIZE - 1;
}

static void log_emit(enum log_level level, const char *event, const char *text, size_t len)
{
	struct line l;

	log_put_header(&l, level, event);
	put_safe(&l, text, len);
	if (format_now == LOG_JSON)
		log_put(&l, "\"}", 2);
	log_put(&l, "\n", 1);
	/* Where the log itself fails there is nobody left to tell. */
	if (write(STDERR_FILENO, l.p, l.len) < 0)
		return;
}

/* vsnprintf() that ends what did not fit in "...", without leaving half a character before it. */
__attribute__((format(printf, 3, 0))) static size_t format_message(
	char *out, size_t size, const char *fmt, va_list ap)
{
	int n = vsnprintf(out, size, fmt, ap);
	if (n < 0)
		return 0;
	if ((size_t)n < size)
		return (size_t)n;
	size_t len = size - 4;
	while (len && ((unsigned char)out[len] & 0xc0) == 0x80)
		len--;
	memcpy(out + len, "...", 3);
	return len + 3;
}

void log_at(enum log_level level, const char *event, const char *fmt, ...)
{
	char message[MESSAGE_SIZE];
	va_list ap;

	if (!log_is_on(level))
		return;
	va_start(ap, fmt);
	size_t len = format_message(message, sizeof(message), fmt, ap);
	va_end(ap);
	log_emit(level, event, message, len);
}

/* A configuration has many problems at once, one a line: each becomes a line of the log. */
void log_fatal(int status, const char *fmt, ...)
{
	char message[4 * MESSAGE_SIZE];
	va_list ap;

	va_start(ap, fmt);
	size_t len = format_message(message, sizeof(message), fmt, ap);
	va_end(ap);
	for (size_t from = 0; from < len;) {
		const char *end = memchr(message + from, '\n', len - from);
		size_t n = end ? (size_t)(end - message) - from : len - from;
		if (n)
			log_emit(LOG_ERROR, "fatal", message + from,
				n < MESSAGE_SIZE ? n : MESSAGE_SIZE);
		from += n + 1;
	}
	exit(status);
}
