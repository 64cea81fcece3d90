/*
 * Case folding for keywords: by the simple case folding of Unicode (CaseFolding.txt, statuses C and
 * S), which makes one character of one, so that "ÄRGER" is found in "Ärger", and "STRAẞE" in
 * "Straße", but "STRASSE" is not. İ and ı, which fold in Turkish alone, stay what they are. Letters
 * are not composed or decomposed. Any thread; nothing blocks.
 */
#ifndef CMDB_FOLD_H
#define CMDB_FOLD_H

#include <stdbool.h>

#include "bytes.h"
#include "str.h"

/* Adds the text folded. What is no UTF-8 is added as it is. */
void fold_add(struct str *out, struct slice text);
/* Is needle, which is folded, a part of text, which is folded? An empty one is. */
bool fold_has(struct slice text, struct slice needle);

#endif
