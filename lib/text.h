/*
 * What of a text must not reach a terminal, a log or a person's eye as it is: characters that
 * command a terminal (C0, DEL, C1), that turn the direction of what stands around them (so that one
 * thing reads as another), and invisible ones that serve no script. Whoever prints what others
 * wrote asks here.
 */
#ifndef CMDB_TEXT_H
#define CMDB_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool text_is_unsafe(uint32_t c);
/* The bytes of the character at p, of len >= 1 that are left, and the character; 1 and the byte
 * itself with *is_utf8 false where there is none. */
size_t text_next(const char *p, size_t len, uint32_t *c, bool *is_utf8);
/* Is it a name that stands in a path as it is: letters, digits and -._~@:+, but not "." and "..",
 * which mean something there? */
bool text_is_segment(const char *p, size_t len);
/* The length of the byte order mark that editors of Windows put before all else; 0: there is none.
 */
size_t text_mark_len(const char *p, size_t len);

#endif
