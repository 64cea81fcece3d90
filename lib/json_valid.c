#include <stdlib.h>
#include <string.h>

#include "json.h"

/* A walk over a text. What is noted for json_look() alone has no part in the grammar. */
struct cursor {
	const char *p, *end;
	unsigned found;       /* of enum json_found */
	bool looks;           /* json_look() */
	struct str levels;    /* a bracket for each that is open, the innermost last */
	struct str keys;      /* uint64_t each: hashes of the keys of all objects that are open */
	struct str keys_from; /* size_t each: where in keys those of an open object begin */
};

static bool json_valid_at(const struct cursor *c, char ch)
{
	return c->p < c->end && *c->p == ch;
}

static bool json_valid_take(struct cursor *c, char ch)
{
	bool is_there = json_valid_at(c, ch);

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

/* ---- numbers ---- */

/* Is it beyond what a double holds? text is a number of the grammar. */
static bool is_huge(const char *text, size_t len)
{
	struct str copy = STR_INIT;
	double v;

	str_add(&copy, text, len);
	v = strtod(copy.p, NULL);
	str_fini(&copy);
	return v - v != 0;
}

/* RFC 8259 section 6 */
static bool take_number(struct cursor *c)
{
	const char *from = c->p;
	bool has_exponent;

	json_valid_take(c, '-');
	if (!json_valid_take(c, '0') && !take_digits(c))
		return false;
	if (json_valid_take(c, '.') && !take_digits(c))
		return false;
	has_exponent = json_valid_take(c, 'e') || json_valid_take(c, 'E');
	if (has_exponent) {
		if (!json_valid_take(c, '+'))
			json_valid_take(c, '-');
		if (!take_digits(c))
			return false;
	}
	if (c->looks && (has_exponent || c->p - from > 300) && is_huge(from, (size_t)(c->p - from)))
		c->found |= JSON_HAS_HUGE;
	return true;
}

/* ---- strings ---- */

#define HASH_START 14695981039346656037u /* FNV-1a, 64 bits */

static void hash_byte(uint64_t *hash, unsigned char byte)
{
	*hash = (*hash ^ byte) * 1099511628211u;
}

/* As the character's UTF-8, so that it is the same however it was written. */
static void hash_char(uint64_t *hash, unsigned u)
{
	if (u < 0x80) {
		hash_byte(hash, (unsigned char)u);
		return;
	}
	if (u >= 0x10000) {
		hash_byte(hash, (unsigned char)(0xf0 | u >> 18));
		hash_byte(hash, (unsigned char)(0x80 | (u >> 12 & 0x3f)));
	} else if (u >= 0x800) {
		hash_byte(hash, (unsigned char)(0xe0 | u >> 12));
	}
	hash_byte(hash, (unsigned char)(u >= 0x800 ? 0x80 | (u >> 6 & 0x3f) : 0xc0 | u >> 6));
	hash_byte(hash, (unsigned char)(0x80 | (u & 0x3f)));
}

static bool take_hex4(struct cursor *c, unsigned *value)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";

	*value = 0;
	for (int i = 0; i < 4; i++, c->p++) {
		const char *d = c->p < c->end && *c->p ? strchr(digits, *c->p) : NULL;
		if (!d)
			return false;
		*value = *value * 16 + (unsigned)((d - digits) % 16);
	}
	return true;
}

static bool json_valid_is_half(unsigned u, unsigned from)
{
	return u >= from && u < from + 0x400;
}

/* Behind \u. */
static bool take_unicode(struct cursor *c, uint64_t *hash)
{
	unsigned u, low;

	if (!take_hex4(c, &u))
		return false;
	if (json_valid_is_half(u, 0xd800) && c->end - c->p >= 6 && c->p[0] == '\\' &&
		c->p[1] == 'u') {
		struct cursor next = {.p = c->p + 2, .end = c->end};

		if (take_hex4(&next, &low) && json_valid_is_half(low, 0xdc00)) {
			c->p = next.p;
			hash_char(hash, 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00));
			return true;
		}
	}
	if (json_valid_is_half(u, 0xd800) || json_valid_is_half(u, 0xdc00))
		c->found |= JSON_HAS_HALF;
	hash_char(hash, u);
	return true;
}

/* Behind the backslash. */
static bool take_escape(struct cursor *c, uint64_t *hash)
{
	static const char letters[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
	const char *letter;

	if (json_valid_take(c, 'u'))
		return take_unicode(c, hash);
	letter = c->p < c->end && *c->p ? strchr(letters, *c->p) : NULL;
	if (!letter)
		return false;
	c->p++;
	hash_byte(hash, (unsigned char)means[letter - letters]);
	return true;
}

/* RFC 8259 section 7 */
static bool take_string(struct cursor *c, uint64_t *hash)
{
	*hash = HASH_START;
	if (!json_valid_take(c, '"'))
		return false;
	while (!json_valid_take(c, '"')) {
		if (c->p == c->end || (unsigned char)*c->p < 0x20)
			return false;
		char ch = *c->p++;
		if (ch != '\\')
			hash_byte(hash, (unsigned char)ch);
		else if (!take_escape(c, hash))
			return false;
	}
	return true;
}

static bool take_scalar(struct cursor *c)
{
	static const char *const words[] = {"true", "false", "null"};
	uint64_t hash;

	if (json_valid_at(c, '"'))
		return take_string(c, &hash);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t len = strlen(words[i]);

		if ((size_t)(c->end - c->p) >= len && !memcmp(c->p, words[i], len)) {
			c->p += len;
			return true;
		}
	}
	return take_number(c);
}

/* ---- arrays and objects ---- */

static bool take_key(struct cursor *c)
{
	uint64_t hash;

	skip_space(c);
	if (!take_string(c, &hash))
		return false;
	if (c->looks)
		str_add(&c->keys, &hash, sizeof(hash));
	skip_space(c);
	return json_valid_take(c, ':');
}

static int json_valid_compare(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

/* The innermost object ends: looks at its keys, and forgets them. */
static void look_at_keys(struct cursor *c)
{
	size_t from, size = sizeof(uint64_t);

	c->keys_from.len -= sizeof(from);
	memcpy(&from, c->keys_from.p + c->keys_from.len, sizeof(from));
	if (c->keys.len - from > size) {
		qsort(c->keys.p + from, (c->keys.len - from) / size, size, json_valid_compare);
		for (size_t i = from + size; i < c->keys.len; i += size)
			if (memcmp(c->keys.p + i, c->keys.p + i - size, size) == 0)
				c->found |= JSON_HAS_TWICE;
	}
	c->keys.len = from;
}

static void open_level(struct cursor *c)
{
	size_t from = c->keys.len;
	char bracket = *c->p++;

	str_addc(&c->levels, bracket);
	if (c->looks && bracket == '{')
		str_add(&c->keys_from, &from, sizeof(from));
	if (c->levels.len > JSON_LOOK_DEPTH_MAX)
		c->found |= JSON_HAS_DEEP;
}

static char innermost(const struct cursor *c)
{
	return c->levels.p[c->levels.len - 1];
}

/* Behind a value: closes what ends here, and moves to the next value of what does not. Sets *is_end
 * behind the outermost value. */
static bool take_next(struct cursor *c, bool *is_end)
{
	for (;; c->levels.len--) {
		skip_space(c);
		*is_end = c->levels.len == 0;
		if (*is_end)
			return c->p == c->end;
		bool is_object = innermost(c) == '{';
		if (json_valid_take(c, ','))
			return !is_object || take_key(c);
		if (!json_valid_take(c, is_object ? '}' : ']'))
			return false;
		if (c->looks && is_object)
			look_at_keys(c);
	}
}

static bool take_text(struct cursor *c)
{
	bool is_end = false;

	while (!is_end) {
		skip_space(c);
		bool opens_object = json_valid_at(c, '{');
		if (opens_object || json_valid_at(c, '[')) {
			open_level(c);
			skip_space(c);
			if (!json_valid_at(c, opens_object ? '}' : ']')) {
				if (opens_object && !take_key(c))
					return false;
				continue;
			}
		} else if (!take_scalar(c)) {
			return false;
		}
		if (!take_next(c, &is_end))
			return false;
	}
	return true;
}

static unsigned json_valid_walk(const char *text, size_t len, bool looks)
{
	struct cursor c = {.p = text, .end = text + len, .looks = looks};

	if (!take_text(&c))
		c.found |= JSON_IS_BAD;
	str_fini(&c.levels);
	str_fini(&c.keys);
	str_fini(&c.keys_from);
	return c.found;
}

bool json_is_valid(const char *text, size_t len)
{
	return !(json_valid_walk(text, len, false) & JSON_IS_BAD);
}

unsigned json_look(const char *text, size_t len)
{
	unsigned found = json_valid_walk(text, len, true);

	return json_is_utf8(text, len) ? found : found | JSON_IS_BAD;
}
