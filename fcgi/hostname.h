/*
 * Names of things on the net, brought into the one form that is stored: host names as IDNA2008
 * A-labels (RFC 5891) in lower case without a trailing dot, IP addresses as inet_ntop(3) prints
 * them, URLs with scheme and host so treated. Any thread; never blocks.
 *
 * Each returns NULL when the text is good, with the stored form in out; else a static text that
 * says what is wrong, to be read after the field's name.
 */
#ifndef CMDB_HOSTNAME_H
#define CMDB_HOSTNAME_H

#include <stdbool.h>

#include "str.h"

#define HOSTNAME_MAX 253 /* RFC 1035 section 2.3.4, less the root's dot and length byte */
#define HOSTNAME_SIZE (HOSTNAME_MAX + 1)
#define HOSTNAME_URL_MAX 2048

/* Unicode or ASCII; labels of letters, digits and hyphens. With wildcard, one leading "*." is
 * taken too, and counts. What is written otherwise and means the same (UTS 46: case, width, NFC)
 * has one form. All of IDNA2008 is asked for, as of a name that is to be registered: characters
 * that are allowed in a context alone (RFC 5892), the Bidi rule, of all labels together (RFC 5893).
 * A name whose last label is a number, also one like 0x1f, is an address to browsers, not a name.
 */
const char *hostname_normalize(const char *text, bool wildcard, char out[HOSTNAME_SIZE]);
/* IPv4 in four decimal parts or IPv6 without a zone. */
const char *hostname_ip(const char *text, char out[HOSTNAME_SIZE]);
/* Either of the two. */
const char *hostname_address(const char *text, char out[HOSTNAME_SIZE]);
/* An absolute http or https URL of RFC 3986 characters, without user and password. */
const char *hostname_url(const char *text, struct str *out);

#endif
