#include "str.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "mem.h"

void str_fini(struct str *s)
{
	free(s->p);
	*s = (struct str)STR_INIT;
}

void str_truncate(struct str *s, size_t len)
{
	assert(len <= s->len);
	s->len = len;
	if (s->p)
		s->p[len] = '\0';
}

void str_clear(struct str *s)
{
	s->len = 0;
	if (s->p)
		s->p[0] = '\0';
}

void str_reserve(struct str *s, size_t extra)
{
	if (extra >= SIZE_MAX / 2 - s->len)
		log_fatal(1, "out of memory: %zu bytes cannot grow by %zu", s->len, extra);
	size_t need = s->len + extra + 1;
	if (need <= s->cap)
		return;
	size_t cap = s->cap ? s->cap : 64;
	while (cap < need)
		cap *= 2;
	s->p = xrealloc(s->p, cap);
	s->cap = cap;
	s->p[s->len] = '\0';
}

void str_add(struct str *s, const void *p, size_t len)
{
	str_reserve(s, len);
	if (len)
		memcpy(s->p + s->len, p, len);
	s->len += len;
	s->p[s->len] = '\0';
}

void str_adds(struct str *s, const char *text)
{
	str_add(s, text, strlen(text));
}

void str_addc(struct str *s, char c)
{
	str_add(s, &c, 1);
}

void str_addu(struct str *s, uint64_t v)
{
	char digits[20], *p = digits + sizeof(digits);
	do {
		*--p = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	str_add(s, p, (size_t)(digits + sizeof(digits) - p));
}

void str_addi(struct str *s, int64_t v)
{
	if (v < 0)
		str_addc(s, '-');
	str_addu(s, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void str_addv(struct str *s, const char *fmt, va_list ap)
{
	va_list again;
	va_copy(again, ap);
	str_reserve(s, 0);
	int n = vsnprintf(s->p + s->len, s->cap - s->len, fmt, ap);
	assert(n >= 0);
	if ((size_t)n >= s->cap - s->len) {
		str_reserve(s, (size_t)n);
		vsnprintf(s->p + s->len, s->cap - s->len, fmt, again);
	}
	s->len += (size_t)n;
	va_end(again);
}

void str_addf(struct str *s, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	str_addv(s, fmt, ap);
	va_end(ap);
}

/* What stands for c inside a JSON string, or NULL when c stands for itself. */
static const char *json_escape(unsigned char c, char room[7])
{
	switch (c) {
	case '"':
		return "\\\"";
	case '\\':
		return "\\\\";
	case '\b':
		return "\\b";
	case '\f':
		return "\\f";
	case '\n':
		return "\\n";
	case '\r':
		return "\\r";
	case '\t':
		return "\\t";
	}
	if (c >= 0x20)
		return NULL;
	snprintf(room, 7, "\\u%04x", c);
	return room;
}

void str_add_json_n(struct str *s, const char *text, size_t len)
{
	char room[7];
	size_t from = 0;

	str_reserve(s, len + 2);
	str_addc(s, '"');
	for (size_t i = 0; i < len; i++) {
		const char *esc = json_escape((unsigned char)text[i], room);
		if (!esc)
			continue;
		str_add(s, text + from, i - from);
		str_adds(s, esc);
		from = i + 1;
	}
	str_add(s, text + from, len - from);
	str_addc(s, '"');
}

void str_add_json(struct str *s, const char *text)
{
	if (text)
		str_add_json_n(s, text, strlen(text));
	else
		str_adds(s, "null");
}

const char *str_c(const struct str *s)
{
	return s->p ? s->p : "";
}

char *str_take(struct str *s)
{
	str_reserve(s, 0);
	char *p = s->p;
	*s = (struct str)STR_INIT;
	return p;
}

bool parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (!text[0])
		return false;
	for (; *text; text++) {
		unsigned digit = (unsigned)(*text - '0');

		if (digit > 9 || v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	if (v < min || v > max)
		return false;
	*out = v;
	return true;
}
