#include "text.h"

#include <string.h>

/* Sorted. Joiners (U+200C, U+200D) and variation selectors are needed to write some scripts. */
static const struct {
	uint32_t first, last;
} unsafe[] = {
	{0x0, 0x1f}, {0x7f, 0x9f}, {0xad, 0xad}, /* soft hyphen */
	{0x61c, 0x61c},                          /* Arabic letter mark */
	{0x180e, 0x180e},                        /* Mongolian vowel separator */
	{0x200b, 0x200b},                        /* zero width space */
	{0x200e, 0x200f},                        /* left-to-right and right-to-left mark */
	{0x2028, 0x202e},   /* line and paragraph separator, embeddings and overrides */
	{0x2060, 0x206f},   /* word joiner, invisible operators, isolates, deprecated ones */
	{0xfeff, 0xfeff},   /* byte order mark */
	{0xfff9, 0xfffb},   /* interlinear annotation */
	{0xe0000, 0xe0fff}, /* tags */
};

bool text_is_unsafe(uint32_t c)
{
	for (size_t i = 0; i < sizeof(unsafe) / sizeof(unsafe[0]) && unsafe[i].first <= c; i++)
		if (c <= unsafe[i].last)
			return true;
	return false;
}

size_t text_next(const char *p, size_t len, uint32_t *c, bool *is_utf8)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *b = (const unsigned char *)p;
	size_t n = b[0] < 0x80 ? 1 : b[0] >= 0xf0 ? 4 : b[0] >= 0xe0 ? 3 : b[0] >= 0xc2 ? 2 : 0;

	*c = n == 1 ? b[0] : b[0] & (0x7fu >> n);
	*is_utf8 = n > 0 && n <= len && b[0] < 0xf5;
	for (size_t i = 1; *is_utf8 && i < n; i++) {
		*is_utf8 = (b[i] & 0xc0) == 0x80;
		*c = *c << 6 | (b[i] & 0x3f);
	}
	if (*is_utf8 && *c >= least[n] && *c <= 0x10ffff && (*c < 0xd800 || *c > 0xdfff))
		return n;
	*is_utf8 = false;
	*c = b[0];
	return 1;
}

bool text_is_segment(const char *p, size_t len)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789-._~@:+";

	for (size_t i = 0; i < len; i++)
		if (!memchr(allowed, p[i], sizeof(allowed) - 1))
			return false;
	return len > 0 && !(p[0] == '.' && (len == 1 || (len == 2 && p[1] == '.')));
}

size_t text_mark_len(const char *p, size_t len)
{
	static const char mark[] = "\xef\xbb\xbf";

	return len >= sizeof(mark) - 1 && memcmp(p, mark, sizeof(mark) - 1) == 0 ? sizeof(mark) - 1
										 : 0;
}
