#define _GNU_SOURCE /* memmem() */
#include "answer.h"

#include <string.h>
#include <strings.h>

#define DIGITS_MAX 12 /* of a length: more than any body here, and no overflow */

/* Digits of the base at *p, which moves behind them. */
static bool take_number(const char **p, const char *end, unsigned base, size_t *out)
{
	const char *start = *p;
	size_t n = 0;

	for (; *p < end && *p - start < DIGITS_MAX; (*p)++) {
		unsigned char c = (unsigned char)**p;
		unsigned digit = c >= '0' && c <= '9' ? c - (unsigned)'0' : (c | 0x20u) - 'a' + 10u;

		if (digit >= base)
			break;
		n = n * base + digit;
	}
	*out = n;
	return *p > start;
}

/* The value of a header line, or NULL if it is another's. */
static const char *value_of(const char *line, const char *end, const char *name)
{
	size_t len = strlen(name);

	if ((size_t)(end - line) <= len || strncasecmp(line, name, len) != 0 || line[len] != ':')
		return NULL;
	for (line += len + 1; line < end && *line == ' '; line++)
		;
	return line;
}

/* Walks the chunks at p. With out it also copies their data there, which may overlap as it never
 * runs ahead. *size: bytes of all chunks with their framing; *body_len: of the data. */
static enum answer_got walk_chunks(
	const char *p, const char *end, char *out, size_t *body_len, size_t *size)
{
	const char *start = p, *eol;
	size_t n;

	*body_len = 0;
	do {
		if (memchr(p, '\n', (size_t)(end - p)) == NULL)
			return ANSWER_MORE;
		if (!take_number(&p, end, 16, &n))
			return ANSWER_BAD;
		eol = memchr(p, '\n', (size_t)(end - p));
		if (!eol)
			return ANSWER_BAD;
		p = eol + 1;
		if ((size_t)(end - p) < n + 2)
			return ANSWER_MORE;
		if (p[n] != '\r' ||
			p[n + 1] != '\n') /* also refuses trailers, which nobody sends */
			return ANSWER_BAD;
		if (out)
			memmove(out + *body_len, p, n);
		*body_len += n;
		p += n + 2;
	} while (n > 0);
	*size = (size_t)(p - start);
	return ANSWER_WHOLE;
}

enum answer_got answer_parse(char *p, size_t len, struct answer *a)
{
	const char *head_end = memmem(p, len, "\r\n\r\n", 4);
	const char *line, *eol, *v;
	bool is_chunked = false, has_length = false;
	size_t status, rest, wire_len;
	char *body;
	enum answer_got got;

	if (!head_end)
		return ANSWER_MORE;
	line = p + 9;
	if (len < 12 || memcmp(p, "HTTP/1.1 ", 9) != 0 ||
		!take_number(&line, head_end, 10, &status))
		return ANSWER_BAD;
	*a = (struct answer){.status = (int)status};
	while ((eol = memchr(line, '\n', (size_t)(head_end - line))) != NULL) {
		line = eol + 1;
		if ((v = value_of(line, head_end, "Content-Length")) != NULL)
			has_length = take_number(&v, head_end, 10, &a->body_len);
		else if ((v = value_of(line, head_end, "Transfer-Encoding")) != NULL)
			is_chunked = strncasecmp(v, "chunked", 7) == 0;
		else if ((v = value_of(line, head_end, "Connection")) != NULL)
			a->is_last = strncasecmp(v, "close", 5) == 0;
	}
	body = p + (head_end - p) + 4;
	rest = len - (size_t)(body - p);
	if (is_chunked) {
		got = walk_chunks(body, body + rest, NULL, &a->body_len, &wire_len);
		if (got != ANSWER_WHOLE)
			return got;
		walk_chunks(body, body + rest, body, &a->body_len, &wire_len);
	} else if (has_length) {
		wire_len = a->body_len;
		if (rest < wire_len)
			return ANSWER_MORE;
	} else {
		return ANSWER_BAD;
	}
	a->body = body;
	a->size = (size_t)(body - p) + wire_len;
	return ANSWER_WHOLE;
}
