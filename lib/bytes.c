#include "bytes.h"

#include <string.h>

#include "mem.h"

struct slice slice_of(const char *text)
{
	return (struct slice){.p = text ? text : "", .len = text ? strlen(text) : 0};
}

struct slice slice_str(const struct str *s)
{
	return (struct slice){.p = str_c(s), .len = s->len};
}

bool slice_same(struct slice a, struct slice b)
{
	return a.len == b.len && (!a.len || memcmp(a.p, b.p, a.len) == 0);
}

bool slice_is(struct slice s, const char *text)
{
	return s.len == strlen(text) && (!s.len || !memcmp(s.p, text, s.len));
}

char *slice_dup(struct slice s)
{
	char *p = xmalloc(s.len + 1);

	if (s.len)
		memcpy(p, s.p, s.len);
	p[s.len] = '\0';
	return p;
}

struct bytes bytes_of(const void *p, size_t len)
{
	return (struct bytes){.p = p, .end = (const unsigned char *)p + len};
}

bool bytes_are_done(const struct bytes *b)
{
	return !b->is_bad && b->p == b->end;
}

struct slice bytes_take(struct bytes *b, size_t len)
{
	struct slice t = {.p = (const char *)b->p, .len = len};

	if ((size_t)(b->end - b->p) < len) {
		b->is_bad = true;
		b->p = b->end;
		return (struct slice){.p = ""};
	}
	b->p += len;
	return t;
}

uint64_t bytes_uint(struct bytes *b, size_t size)
{
	struct slice t = bytes_take(b, size);
	uint64_t v = 0;

	for (size_t i = 0; i < t.len; i++)
		v |= (uint64_t)(unsigned char)t.p[i] << (8 * i);
	return v;
}

uint8_t bytes_u8(struct bytes *b)
{
	return (uint8_t)bytes_uint(b, 1);
}

uint16_t bytes_u16(struct bytes *b)
{
	return (uint16_t)bytes_uint(b, 2);
}

uint32_t bytes_u32(struct bytes *b)
{
	return (uint32_t)bytes_uint(b, 4);
}

uint64_t bytes_u64(struct bytes *b)
{
	return bytes_uint(b, 8);
}

struct slice bytes_text(struct bytes *b)
{
	return bytes_take(b, bytes_u16(b));
}

struct slice bytes_blob(struct bytes *b)
{
	return bytes_take(b, bytes_u32(b));
}

void bytes_put(struct str *s, uint64_t v, size_t size)
{
	char le[8];

	for (size_t i = 0; i < size; i++)
		le[i] = (char)(v >> (8 * i));
	str_add(s, le, size);
}

void bytes_put_slice(struct str *s, struct slice text)
{
	size_t len = text.len < UINT16_MAX ? text.len : UINT16_MAX;

	bytes_put(s, len, 2);
	if (len)
		str_add(s, text.p, len);
}

void bytes_put_text(struct str *s, const char *text)
{
	bytes_put_slice(s, (struct slice){.p = text, .len = strlen(text)});
}

void bytes_put_blob(struct str *s, const void *p, size_t len)
{
	bytes_put(s, len, 4);
	if (len)
		str_add(s, p, len);
}
