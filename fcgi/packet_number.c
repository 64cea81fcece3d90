#include "packet_number.h"

#include <stdlib.h>
#include <string.h>

#include "str.h"

size_t packet_number_space(const char *p, const char *end)
{
	/* ECMA-262, "White Space" and "Line Terminators" */
	static const char *const spaces[] = {" ", "\t", "\n", "\v", "\f", "\r", "\xc2\xa0",
		"\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81", "\xe2\x80\x82", "\xe2\x80\x83",
		"\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86", "\xe2\x80\x87", "\xe2\x80\x88",
		"\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaf",
		"\xe2\x81\x9f", "\xe3\x80\x80", "\xef\xbb\xbf"};

	for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
		size_t len = strlen(spaces[i]);
		if ((size_t)(end - p) >= len && memcmp(p, spaces[i], len) == 0)
			return len;
	}
	return 0;
}

static struct slice trim(struct slice text)
{
	const char *p = text.p, *end = text.p + text.len, *last = p;
	size_t n;

	while ((n = packet_number_space(p, end)))
		p += n;
	text.p = last = p;
	while (p < end) {
		n = packet_number_space(p, end);
		p += n ? n : 1;
		if (!n)
			last = p;
	}
	text.len = (size_t)(last - text.p);
	return text;
}

static bool is_made_of(const char *p, const char *digits)
{
	return *p && p[strspn(p, digits)] == '\0';
}

/* StrDecimalLiteral, without its Infinity: that is nothing a packet may count to either. */
static bool packet_number_is_decimal(const char *p)
{
	size_t n, k = 0;

	p += *p == '+' || *p == '-';
	n = strspn(p, "0123456789");
	p += n;
	if (*p == '.') {
		k = strspn(++p, "0123456789");
		p += k;
	}
	if (n + k == 0)
		return false;
	if (*p != 'e' && *p != 'E')
		return *p == '\0';
	p++;
	p += *p == '+' || *p == '-';
	return is_made_of(p, "0123456789");
}

static double read_radix(const char *p, int radix)
{
	double v = 0;

	for (; *p; p++) {
		int digit = *p <= '9' ? *p - '0' : (*p | 0x20) - 'a' + 10;
		v = v * radix + digit;
	}
	return v;
}

static bool packet_number_read_number(const char *p, double *value)
{
	static const struct {
		char letter;
		int radix;
		const char *digits;
	} radixes[] = {{'x', 16, "0123456789abcdefABCDEF"}, {'o', 8, "01234567"}, {'b', 2, "01"}};

	for (size_t i = 0; *p == '0' && i < sizeof(radixes) / sizeof(radixes[0]); i++) {
		if ((p[1] | 0x20) != radixes[i].letter)
			continue;
		*value = read_radix(p + 2, radixes[i].radix);
		return is_made_of(p + 2, radixes[i].digits);
	}
	*value = strtod(p, NULL);
	return packet_number_is_decimal(p);
}

bool packet_number(struct slice text, double *value)
{
	struct slice trimmed = trim(text);
	struct str copy = STR_INIT;
	bool is_number;

	*value = 0;
	if (trimmed.len == 0)
		return true;
	str_add(&copy, trimmed.p, trimmed.len);
	is_number = strlen(copy.p) == copy.len && packet_number_read_number(copy.p, value);
	str_fini(&copy);
	return is_number;
}
