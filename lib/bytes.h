/*
 * Little-endian fields of binary records: what the frames of wire.h, the operations of ops.h and
 * the poller's session records are made of. `text` is u16 length and bytes, `blob` u32 length and
 * bytes. Any thread; no I/O.
 */
#ifndef CMDB_BYTES_H
#define CMDB_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

/* Borrowed bytes, not NUL-terminated. */
struct slice {
	const char *p;
	size_t len;
};
struct slice slice_of(const char *text); /* NULL: empty */
struct slice slice_str(const struct str *s);
bool slice_is(struct slice s, const char *text);
bool slice_same(struct slice a, struct slice b);
char *slice_dup(struct slice s); /* all of its bytes, and a NUL; the caller frees */

/* Past its end everything reads as zero or empty and is_bad is set, so a decoder reads all its
 * fields and asks once. */
struct bytes {
	const unsigned char *p, *end;
	bool is_bad;
};
struct bytes bytes_of(const void *p, size_t len);
bool bytes_are_done(const struct bytes *b); /* nothing bad, nothing left */
uint64_t bytes_uint(struct bytes *b, size_t size);
uint8_t bytes_u8(struct bytes *b);
uint16_t bytes_u16(struct bytes *b);
uint32_t bytes_u32(struct bytes *b);
uint64_t bytes_u64(struct bytes *b);
struct slice bytes_take(struct bytes *b, size_t len);
struct slice bytes_text(struct bytes *b);
struct slice bytes_blob(struct bytes *b);

void bytes_put(struct str *s, uint64_t v, size_t size);
void bytes_put_text(struct str *s, const char *text);   /* cut at 65,535 bytes */
void bytes_put_slice(struct str *s, struct slice text); /* as a text */
void bytes_put_blob(struct str *s, const void *p, size_t len);

#endif
