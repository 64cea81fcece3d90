#include <string.h>

#include "json.h"

struct cursor {
	const char *p, *end;
};

static bool at(const struct cursor *c, char ch)
{
	return c->p < c->end && *c->p == ch;
}

static bool take(struct cursor *c, char ch)
{
	bool is_there = at(c, ch);

	c->p += is_there;
	return is_there;
}

static void skip_space(struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r'))
		c->p++;
}

static bool take_digits(struct cursor *c)
{
	const char *from = c->p;

	while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
		c->p++;
	return c->p > from;
}

/* RFC 8259 section 6 */
static bool take_number(struct cursor *c)
{
	take(c, '-');
	if (!take(c, '0') && !take_digits(c))
		return false;
	if (take(c, '.') && !take_digits(c))
		return false;
	if (!take(c, 'e') && !take(c, 'E'))
		return true;
	if (!take(c, '+'))
		take(c, '-');
	return take_digits(c);
}

static bool take_hex4(struct cursor *c)
{
	for (int i = 0; i < 4; i++, c->p++)
		if (c->p == c->end || !*c->p || !strchr("0123456789abcdefABCDEF", *c->p))
			return false;
	return true;
}

/* RFC 8259 section 7 */
static bool take_string(struct cursor *c)
{
	if (!take(c, '"'))
		return false;
	while (!take(c, '"')) {
		if (c->p == c->end || (unsigned char)*c->p < 0x20)
			return false;
		if (*c->p++ != '\\')
			continue;
		if (take(c, 'u')) {
			if (!take_hex4(c))
				return false;
		} else if (c->p == c->end || !*c->p || !strchr("\"\\/bfnrt", *c->p++)) {
			return false;
		}
	}
	return true;
}

static bool take_scalar(struct cursor *c)
{
	static const char *const words[] = {"true", "false", "null"};

	if (at(c, '"'))
		return take_string(c);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t len = strlen(words[i]);

		if ((size_t)(c->end - c->p) >= len && !memcmp(c->p, words[i], len)) {
			c->p += len;
			return true;
		}
	}
	return take_number(c);
}

static bool take_key(struct cursor *c)
{
	skip_space(c);
	if (!take_string(c))
		return false;
	skip_space(c);
	return take(c, ':');
}

/* Behind a value: closes what ends here, and moves to the next value of what does not. is_object
 * has a bit for each open level, the innermost lowest. Sets *is_end behind the outermost value. */
static bool take_next(struct cursor *c, uint64_t *is_object, unsigned *depth, bool *is_end)
{
	for (;; *is_object >>= 1, --*depth) {
		skip_space(c);
		*is_end = *depth == 0;
		if (*is_end)
			return c->p == c->end;
		if (take(c, ','))
			return !(*is_object & 1) || take_key(c);
		if (!take(c, *is_object & 1 ? '}' : ']'))
			return false;
	}
}

bool json_is_valid(const char *text, size_t len)
{
	struct cursor c = {text, text + len};
	uint64_t is_object = 0;
	unsigned depth = 0;
	bool is_end = false;

	while (!is_end) {
		skip_space(&c);
		bool opens_object = at(&c, '{');
		if (opens_object || at(&c, '[')) {
			if (++depth > JSON_VALID_DEPTH_MAX)
				return false;
			is_object = is_object << 1 | opens_object;
			c.p++;
			skip_space(&c);
			if (!at(&c, opens_object ? '}' : ']')) {
				if (opens_object && !take_key(&c))
					return false;
				continue;
			}
		} else if (!take_scalar(&c)) {
			return false;
		}
		if (!take_next(&c, &is_object, &depth, &is_end))
			return false;
	}
	return true;
}
