/*
 * A growable byte string, always NUL-terminated at p[len] once anything was added. {0} or STR_INIT
 * is an empty one. Owned by whoever declared it; str_fini() releases it and leaves an empty one.
 */
#ifndef CMDB_STR_H
#define CMDB_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
	char *p;
	size_t len;
	size_t cap;
};

#define STR_INIT           \
	{                  \
		NULL, 0, 0 \
	}

void str_fini(struct str *s);
/* Empties it, keeping the memory. */
void str_clear(struct str *s);
/* Room for `extra` more bytes beyond len (and the NUL). */
void str_reserve(struct str *s, size_t extra);
void str_truncate(struct str *s, size_t len); /* to its first len bytes */
void str_add(struct str *s, const void *p, size_t len);
void str_adds(struct str *s, const char *text);
void str_addc(struct str *s, char c);
void str_addu(struct str *s, uint64_t v);
void str_addi(struct str *s, int64_t v);
void str_addf(struct str *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void str_addv(struct str *s, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Adds text as a JSON string with its quotes, escaped as in RFC 8259 section 7; NULL adds null. */
void str_add_json(struct str *s, const char *text);
void str_add_json_n(struct str *s, const char *text, size_t len);
/* The text, "" when nothing was added. Borrowed. */
const char *str_c(const struct str *s);
/* Gives the bytes to the caller, who frees them; s is empty afterwards. Never NULL. */
char *str_take(struct str *s);
/* Strict decimal, whole text, within min..max. */
bool parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out);

#endif
