#include "json.h"

#include <limits.h>
#include <math.h>
#include <string.h>

/* Length of the well-formed UTF-8 character at p (RFC 3629 section 4), 0 if there is none. */
static size_t utf8_len(const unsigned char *p, size_t left)
{
	if (p[0] < 0x80)
		return 1;
	size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || left < n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

/* The offset of the first byte that is NUL or not UTF-8; len when there is none. */
static size_t utf8_span(const char *text, size_t len)
{
	size_t i = 0, n;
	while (i < len && text[i] && (n = utf8_len((const unsigned char *)text + i, len - i)))
		i += n;
	return i;
}

bool json_is_utf8(const char *text, size_t len)
{
	return utf8_span(text, len) == len;
}

/* Of the ill-formed bytes at p, how many stand for one U+FFFD: the longest beginning of a
 * character, at least one. */
static size_t utf8_bad_len(const unsigned char *p, size_t left)
{
	size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2, i = 1;
	unsigned char from = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
	unsigned char to = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;

	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 1;
	for (; i < n && i < left && p[i] >= from && p[i] <= to; i++) {
		from = 0x80;
		to = 0xbf;
	}
	return i;
}

void json_add_utf8(struct str *s, const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t i = 0, from = 0, n;

	while (i < len) {
		n = utf8_len(p + i, len - i);
		if (n == 0) {
			str_add(s, text + from, i - from);
			str_adds(s, "\xef\xbf\xbd");
			i += utf8_bad_len(p + i, len - i);
			from = i;
		}
		i += n;
	}
	str_add(s, text + from, len - from);
}

#define INT64_MAX_TEXT "9223372036854775807"

/* What json-c 0.16 lets pass with JSON_TOKENER_STRICT, found before it sees the text: control
 * characters in strings, \u0000 and lone surrogates (it makes U+FFFD of them), NaN and Infinity,
 * "-01", "1.", "2.e3", and integers out of range (it saturates). Depth is counted
 * here since json-c counts an empty array less than a full one. All else it refuses itself. */
struct scan {
	const char *p, *end;
	const char *max; /* the largest integer */
	const char *why;
	size_t members_n;
	int depth;
};

static bool json_fail(struct scan *s, const char *at, const char *why)
{
	s->p = at;
	s->why = why;
	return false;
}

/* Four hexadecimal digits at p, else -1. */
static int hex4(const char *p, const char *end)
{
	int v = 0;
	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		const char *digits = "0123456789abcdef0123456789ABCDEF";
		const char *d = p[i] ? strchr(digits, p[i]) : NULL;
		if (!d)
			return -1;
		v = v * 16 + (int)((d - digits) % 16);
	}
	return v;
}

/* At the backslash; leaves p behind the escape. */
static bool scan_escape(struct scan *s)
{
	const char *at = s->p++;
	if (s->p == s->end || *s->p++ != 'u')
		return true;
	int u = hex4(s->p, s->end);
	if (u < 0)
		return json_fail(s, at, "\\u is not followed by four hexadecimal digits");
	s->p += 4;
	if (u == 0)
		return json_fail(s, at, "\\u0000 is not accepted");
	if (u >= 0xdc00 && u <= 0xdfff)
		return json_fail(s, at, "half of a surrogate pair");
	if (u < 0xd800 || u > 0xdfff)
		return true;
	bool is_escape = s->end - s->p >= 2 && s->p[0] == '\\' && s->p[1] == 'u';
	int low = is_escape ? hex4(s->p + 2, s->end) : -1;
	if (low < 0xdc00 || low > 0xdfff)
		return json_fail(s, at, "half of a surrogate pair");
	s->p += 6;
	return true;
}

static bool scan_string(struct scan *s)
{
	const char *start = s->p++;
	while (s->p < s->end && *s->p != '"') {
		if ((unsigned char)*s->p < 0x20)
			return json_fail(s, s->p, "a control character in a string is not escaped");
		if (*s->p != '\\')
			s->p++;
		else if (!scan_escape(s))
			return false;
	}
	if (s->p >= s->end)
		return json_fail(s, start, "a string does not end");
	s->p++;
	return true;
}

static size_t scan_digits(struct scan *s)
{
	const char *from = s->p;
	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
	return (size_t)(s->p - from);
}

static bool scan_number(struct scan *s)
{
	const char *start = s->p;
	bool is_negative = *s->p == '-';
	if (is_negative)
		s->p++;
	const char *digits = s->p;
	size_t n = scan_digits(s);
	if (n == 0 || (n > 1 && *digits == '0'))
		return json_fail(s, start, "a number is not written as JSON asks");
	if (s->p < s->end && *s->p == '.') {
		s->p++;
		if (scan_digits(s) == 0)
			return json_fail(s, start, "a number is not written as JSON asks");
		n = 0;
	}
	if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
		s->p++;
		if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
			s->p++;
		if (scan_digits(s) == 0)
			return json_fail(s, start, "a number is not written as JSON asks");
		n = 0;
	}
	const char *max = is_negative ? "9223372036854775808" : s->max;
	size_t max_len = strlen(max);
	if (n > max_len || (n == max_len && memcmp(digits, max, n) > 0))
		return json_fail(s, start, "an integer does not fit 64 bits");
	return true;
}

static bool scan(struct scan *s)
{
	while (s->p < s->end) {
		switch (*s->p) {
		case '"':
			if (!scan_string(s))
				return false;
			break;
		case '-':
		case '0' ... '9':
			if (!scan_number(s))
				return false;
			break;
		case 'N':
		case 'I':
			return json_fail(s, s->p, "NaN and Infinity are no JSON");
		case '[':
		case '{':
			if (++s->depth > JSON_DEPTH_MAX)
				return json_fail(s, s->p, "nested too deep");
			s->p++;
			break;
		case ']':
		case '}':
			s->depth--;
			s->p++;
			break;
		default:
			s->members_n += *s->p++ == ':';
		}
	}
	return true;
}

/* Counts the members that are left after parsing: fewer than ':' were read means duplicate keys. */
static bool json_walk(struct json_object *o, size_t *members_n)
{
	switch (json_object_get_type(o)) {
	case json_type_object: {
		json_object_object_foreach (o, key, value) {
			(void)key;
			++*members_n;
			if (!json_walk(value, members_n))
				return false;
		}
		return true;
	}
	case json_type_array:
		for (size_t i = 0; i < json_object_array_length(o); i++)
			if (!json_walk(json_object_array_get_idx(o, i), members_n))
				return false;
		return true;
	case json_type_double:
		return isfinite(json_object_get_double(o));
	default:
		return true;
	}
}

/* members_n NULL: a key may be there twice. */
static struct json_object *parse_scanned(
	const char *text, size_t len, const size_t *members_n, const char **why, size_t *offset)
{
	struct json_tokener *tok = json_tokener_new_ex(JSON_DEPTH_MAX + 1);
	if (!tok) {
		*why = "out of memory";
		return NULL;
	}
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	struct json_object *o = json_tokener_parse_ex(tok, text, (int)len);
	enum json_tokener_error e = json_tokener_get_error(tok);
	*offset = json_tokener_get_parse_end(tok);
	if (e == json_tokener_continue) { /* a number at the end is complete only with a NUL */
		o = json_tokener_parse_ex(tok, "", 1);
		e = json_tokener_get_error(tok);
	}
	json_tokener_free(tok);
	if (e != json_tokener_success) {
		*why = json_tokener_error_desc(e);
		return NULL;
	}
	size_t found_n = 0;
	*offset = 0;
	if (!json_walk(o, &found_n))
		*why = "a number is too large";
	else if (members_n && found_n != *members_n)
		*why = "an object has the same key twice";
	if (*why) {
		json_object_put(o);
		return NULL;
	}
	return o;
}

static struct json_object *json_parse_checked(const char *text, size_t len, const char *max,
	bool takes_twice, const char **why, size_t *offset)
{
	struct scan s = {.p = text, .end = text + len, .max = max};

	*why = NULL;
	*offset = utf8_span(text, len);
	if (*offset < len) {
		*why = text[*offset] ? "not UTF-8" : "a NUL byte";
		return NULL;
	}
	if (len > INT_MAX - 1) {
		*why = "too long";
		return NULL;
	}
	if (!scan(&s)) {
		*offset = (size_t)(s.p - text);
		*why = s.why;
		return NULL;
	}
	return parse_scanned(text, len, takes_twice ? NULL : &s.members_n, why, offset);
}

struct json_object *json_parse(const char *text, size_t len, const char **why, size_t *offset)
{
	return json_parse_checked(text, len, INT64_MAX_TEXT, false, why, offset);
}

struct json_object *json_parse_own(const char *text, size_t len, const char **why, size_t *offset)
{
	return json_parse_checked(text, len, "18446744073709551615", false, why, offset);
}

struct json_object *json_parse_js(const char *text, size_t len, const char **why)
{
	size_t offset;

	return json_parse_checked(text, len, INT64_MAX_TEXT, true, why, &offset);
}

struct slice json_text(struct json_object *o)
{
	struct slice text;

	text.p = json_object_to_json_string_length(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &text.len);
	return text;
}

void json_print(struct str *s, struct json_object *o)
{
	struct slice text = json_text(o);

	str_add(s, text.p, text.len);
}

struct json_object *json_get(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;
	if (!json_object_is_type(o, json_type_object))
		return NULL;
	json_object_object_get_ex(o, key, &v);
	return v;
}

const char *json_get_str(struct json_object *o, const char *key)
{
	struct json_object *v = json_get(o, key);
	return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : NULL;
}
