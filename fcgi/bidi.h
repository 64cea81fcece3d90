/*
 * What a host name's labels must fulfil together when one of them is written from right to left:
 * the Bidi rule, RFC 5893 section 2. libidn2 2.3.3 asks for it in each label that has such letters,
 * but for rule 4, and not in the others. A struct bidi is {0} before its first label; pure
 * functions.
 */
#ifndef CMDB_BIDI_H
#define CMDB_BIDI_H

#include <stdbool.h>
#include <stdint.h>

struct bidi {
	bool is_rtl;      /* a label is written from right to left */
	bool has_odd_ltr; /* one that is not must not be beside one that is */
	bool is_mixed;    /* one has digits of both kinds: rule 4 */
};

/* A U-label, or one in ASCII: its characters and 0. It is good by itself to libidn2. */
void bidi_add_label(struct bidi *b, const uint32_t *label);
bool bidi_is_broken(const struct bidi *b);

#endif
