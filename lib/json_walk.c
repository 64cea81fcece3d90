#include "json_walk.h"

#include <string.h>

#define REPLACEMENT 0xfffdu

static bool walk_is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct slice walk_trim(struct slice s)
{
	while (s.len && walk_is_blank(*s.p)) {
		s.p++;
		s.len--;
	}
	while (s.len && walk_is_blank(s.p[s.len - 1]))
		s.len--;
	return s;
}

/* ---- values ---- */

/* Behind the text whose first quote is at p. */
static const char *text_end(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\')
			p++;
	return p < end ? p + 1 : end;
}

/* The comma, colon or bracket that follows the value at p. */
static const char *value_end(const char *p, const char *end)
{
	size_t depth = 0;

	while (p < end) {
		if (*p == '"') {
			p = text_end(p, end);
			continue;
		}
		if (!depth && (*p == ',' || *p == ':' || *p == ']' || *p == '}'))
			break;
		if (*p == '[' || *p == '{')
			depth++;
		else if (*p == ']' || *p == '}')
			depth--;
		p++;
	}
	return p;
}

bool json_walk_into(struct json_walk *w, struct slice value, char bracket)
{
	value = walk_trim(value);
	*w = (struct json_walk){value.p, value.p + value.len};
	if (!value.len || *value.p != bracket)
		return false;
	w->p++;
	return true;
}

bool json_walk_element(struct json_walk *w, struct slice *value)
{
	const char *stop = value_end(w->p, w->end);

	*value = walk_trim((struct slice){w->p, (size_t)(stop - w->p)});
	w->p = stop < w->end ? stop + 1 : stop;
	return value->len > 0;
}

bool json_walk_member(struct json_walk *w, struct slice *key, struct slice *value)
{
	return json_walk_element(w, key) && json_walk_element(w, value);
}

/* ---- texts ---- */

static bool walk_hex(const char *p, const char *end, unsigned *out)
{
	*out = 0;
	if (end - p < 4)
		return false;
	for (const char *stop = p + 4; p < stop; p++) {
		const char *digits = "0123456789abcdef", *d = strchr(digits, *p | 0x20);

		if (!*p || !d)
			return false;
		*out = *out << 4 | (unsigned)(d - digits);
	}
	return true;
}

static void walk_add_char(struct str *out, unsigned c)
{
	if (c < 0x80) {
		str_addc(out, (char)c);
	} else if (c < 0x800) {
		str_addc(out, (char)(0xc0 | c >> 6));
		str_addc(out, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		str_addc(out, (char)(0xe0 | c >> 12));
		str_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
		str_addc(out, (char)(0x80 | (c & 0x3f)));
	} else {
		str_addc(out, (char)(0xf0 | c >> 18));
		str_addc(out, (char)(0x80 | (c >> 12 & 0x3f)));
		str_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
		str_addc(out, (char)(0x80 | (c & 0x3f)));
	}
}

/* Behind the "\u" of an escape; it is that of a pair if the second follows. */
static const char *add_unicode(struct str *out, const char *p, const char *end)
{
	unsigned c, low;

	if (!walk_hex(p, end, &c))
		return end;
	p += 4;
	if (c < 0xd800 || c > 0xdfff) {
		walk_add_char(out, c);
		return p;
	}
	if (c < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u' &&
		walk_hex(p + 2, end, &low) && low >= 0xdc00 && low <= 0xdfff) {
		walk_add_char(out, 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00));
		return p + 6;
	}
	walk_add_char(out, REPLACEMENT);
	return p;
}

static const char *add_escape(struct str *out, const char *p, const char *end)
{
	static const char names[] = "bfnrt", meanings[] = "\b\f\n\r\t";
	const char *name;

	if (p == end)
		return end;
	if (*p == 'u')
		return add_unicode(out, p + 1, end);
	name = strchr(names, *p);
	str_addc(out, *p && name ? meanings[name - names] : *p);
	return p + 1;
}

bool json_walk_text(struct slice value, struct str *out)
{
	const char *p, *end, *escape;

	value = walk_trim(value);
	if (value.len < 2 || *value.p != '"')
		return false;
	p = value.p + 1;
	end = value.p + value.len - 1;
	while ((escape = memchr(p, '\\', (size_t)(end - p)))) {
		str_add(out, p, (size_t)(escape - p));
		p = add_escape(out, escape + 1, end);
	}
	str_add(out, p, (size_t)(end - p));
	return true;
}

uint64_t json_walk_u64(struct slice value)
{
	uint64_t n = 0;

	value = walk_trim(value);
	for (size_t i = 0; i < value.len; i++) {
		unsigned digit = (unsigned)(value.p[i] - '0');

		if (digit > 9 || n > (UINT64_MAX - digit) / 10)
			return 0;
		n = n * 10 + digit;
	}
	return n;
}
