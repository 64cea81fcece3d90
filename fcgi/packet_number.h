/*
 * Numbers in the head of a packet, as the reference decoder reads them: by JavaScript's Number(),
 * which takes more for a number than digits (ECMA-262, "StringToNumber"). Pure functions.
 */
#ifndef CMDB_PACKET_NUMBER_H
#define CMDB_PACKET_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"

/* Bytes of the white space that is at p, 0 if there is none: that of ECMA-262, in UTF-8. It is a
 * digit, a zero, to whoever asks Number() character by character. */
size_t packet_number_space(const char *p, const char *end);
/* Number(text). false: it is none. No text at all is 0. */
bool packet_number(struct slice text, double *value);

#endif
