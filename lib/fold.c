#define _GNU_SOURCE /* memmem */
#include "fold.h"

#include <string.h>

#include <unicase.h>
#include <unistr.h>

#define DOTTED_I 0x130u  /* İ */
#define DOTLESS_I 0x131u /* ı */

/* Two characters have one simple folding if they have one upper case; of the lower case of that
 * there is one form alone. */
static ucs4_t fold_one(ucs4_t c)
{
	return c == DOTTED_I || c == DOTLESS_I ? c : uc_tolower(uc_toupper(c));
}

static void fold_add_char(struct str *out, ucs4_t c)
{
	uint8_t bytes[4];
	int n = u8_uctomb(bytes, c, sizeof(bytes));

	if (n > 0)
		str_add(out, bytes, (size_t)n);
}

void fold_add(struct str *out, struct slice text)
{
	const uint8_t *p = (const uint8_t *)text.p, *end = p + text.len;

	str_reserve(out, text.len);
	while (p < end) {
		ucs4_t c;
		int n;

		if (*p < 0x80) {
			str_addc(out, *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : (char)*p);
			p++;
			continue;
		}
		n = u8_mbtoucr(&c, p, (size_t)(end - p));
		if (n > 0)
			fold_add_char(out, fold_one(c));
		else
			str_addc(out, (char)*p);
		p += n > 0 ? n : 1;
	}
}

bool fold_has(struct slice text, struct slice needle)
{
	return !needle.len || memmem(text.p, text.len, needle.p, needle.len);
}
