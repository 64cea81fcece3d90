#include "autoconf.h" /* wcwidth() */

#include "out.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "clock.h"
#include "cmd.h"
#include "json.h"
#include "text.h"

static int failed_by; /* errno of the first write that failed */

static void out_note(bool is_good)
{
	if (!is_good && !failed_by)
		failed_by = errno ? errno : EIO;
}

void out_text(const char *text)
{
	errno = 0;
	out_note(fputs(text, stdout) != EOF);
}

void out_line(const char *text)
{
	out_text(text);
	out_text("\n");
}

/* Outside of strings JSON has nothing but ASCII, so each unsafe character stands in one. */
void out_json_text(const struct str *json)
{
	struct str out = STR_INIT;
	const char *p = str_c(json);

	str_reserve(&out, json->len + 1);
	for (size_t left = json->len, n; left > 0; p += n, left -= n) {
		bool is_utf8;
		uint32_t c;

		n = text_next(p, left, &c, &is_utf8);
		if (!is_utf8)
			str_adds(&out, "\\ufffd");
		else if (!text_is_unsafe(c))
			str_add(&out, p, n);
		else if (c < 0x10000)
			str_addf(&out, "\\u%04x", c);
		else
			str_addf(&out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
				0xdc00 + (c & 0x3ff));
	}
	out_line(str_c(&out));
	str_fini(&out);
}

void out_json(struct json_object *o)
{
	struct str json = STR_INIT;

	json_print(&json, o);
	out_json_text(&json);
	str_fini(&json);
}

bool out_flush(void)
{
	errno = 0;
	out_note(fflush(stdout) == 0);
	return !failed_by;
}

bool out_wait(int64_t ms)
{
	struct pollfd reader = {.fd = STDOUT_FILENO};
	int64_t until = clock_ms() + ms, left = ms;

	while (poll(&reader, 1, (int)(left > INT_MAX ? INT_MAX : left)) < 0 && errno == EINTR)
		left = until > clock_ms() ? until - clock_ms() : 0;
	return !reader.revents;
}

bool out_finish(void)
{
	if (out_flush())
		return true;
	if (failed_by != EPIPE)
		fprintf(stderr, "cmdbctl: the output cannot be written: %s\n", strerror(failed_by));
	return false;
}

size_t out_add_safe(struct str *out, const char *text)
{
	size_t width = 0;

	for (size_t left = strlen(text), n; left > 0; text += n, left -= n) {
		bool is_utf8;
		uint32_t c;
		int w;

		n = text_next(text, left, &c, &is_utf8);
		w = is_utf8 && !text_is_unsafe(c) ? wcwidth((wchar_t)c) : -1;
		if (w < 0)
			str_addc(out, '?');
		else
			str_add(out, text, n);
		width += w < 0 ? 1 : (size_t)w;
	}
	return width;
}
