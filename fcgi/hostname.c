#include "hostname.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bidi.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_ldh(char c)
{
	return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-';
}

/* What libidn2 finds no fault with in labels that came as ASCII. */
static const char *check_label(const char *p, size_t len)
{
	if (len == 0)
		return "has an empty label";
	for (size_t i = 0; i < len; i++)
		if (!is_ldh(p[i]))
			return "has characters a host name cannot have";
	return NULL;
}

/* To a browser such a name is an IPv4 address, or none at all (WHATWG URL, "ends in a number"). */
static bool is_number(const char *label)
{
	if (label[0] == '0' && label[1] == 'x')
		return strspn(label + 2, "0123456789abcdef") == strlen(label + 2);
	return strspn(label, "0123456789") == strlen(label);
}

static const char *check_ascii(const char *name)
{
	const char *p = name;
	for (;;) {
		size_t len = strcspn(p, ".");
		const char *why = check_label(p, len);
		if (why)
			return why;
		if (!p[len])
			break;
		p += len + 1;
	}
	return is_number(p) ? "is not a host name: its last label is a number" : NULL;
}

static const char bidi_text[] =
	"mixes letters and digits of both directions in a way that is not allowed (RFC 5893)";

static const char *idn_text(int rc)
{
	switch (rc) {
	case IDN2_TOO_BIG_DOMAIN:
		return "is longer than 253 characters";
	case IDN2_TOO_BIG_LABEL:
		return "has a label of more than 63 characters";
	case IDN2_HYPHEN_STARTEND:
		return "has a label that begins or ends with a hyphen";
	case IDN2_2HYPHEN:
		return "has a label with hyphens in third and fourth place that is no A-label";
	case IDN2_CONTEXTJ:
	case IDN2_CONTEXTO:
		return "has a character that may not stand where it does (RFC 5892, appendix A)";
	case IDN2_BIDI:
		return bidi_text;
	default:
		return "is not a valid internationalized host name (IDNA2008)";
	}
}

/* What a lookup of libidn2 2.3.3 does not look at in a label, an A-label or not: CONTEXTO, which
 * only what may be registered must fulfil, and of the Bidi rule what bidi.h says. */
static const char *check_alabel(const char *label, struct bidi *bidi)
{
	uint32_t *unicode = NULL;
	uint8_t *ascii = NULL;
	int rc = IDN2_OK;

	if (strncmp(label, "xn--", 4) == 0) {
		rc = idn2_register_u8(NULL, (const uint8_t *)label, &ascii, 0);
		idn2_free(ascii);
	}
	if (rc == IDN2_OK)
		rc = idn2_to_unicode_8z4z(label, &unicode, 0);
	if (rc != IDN2_OK)
		return idn_text(rc);
	bidi_add_label(bidi, unicode);
	idn2_free(unicode);
	return NULL;
}

static const char *check_alabels(const char *name)
{
	struct bidi bidi = {0};
	char copy[HOSTNAME_SIZE], *rest = copy, *label;
	const char *why = NULL;

	memcpy(copy, name, strlen(name) + 1);
	while (!why && (label = strsep(&rest, ".")))
		why = check_alabel(label, &bidi);
	return !why && bidi_is_broken(&bidi) ? bidi_text : why;
}

/* Longest text worth converting: each character of a name in UTF-8 is at most 4 bytes. */
#define NAME_BYTES_MAX (4 * (HOSTNAME_MAX + 1))

const char *hostname_normalize(const char *text, bool wildcard, char out[HOSTNAME_SIZE])
{
	char *ascii = NULL;
	const char *why = NULL;
	bool is_wild = text[0] == '*' && text[1] == '.';
	size_t skip = is_wild ? 2 : 0;

	if (text[skip] == '\0')
		return "is empty";
	if (is_wild && !wildcard)
		return "cannot have a wildcard";
	if (strchr(text + skip, '*'))
		return wildcard ? "may have * only as its whole first label"
				: "cannot have a wildcard";
	if (strlen(text) > NAME_BYTES_MAX)
		return "is longer than 253 characters";

	/* Non-transitional: what IDNA2008 allows stands as it is; upper case and full-width forms
	 * are mapped. */
	int rc = idn2_to_ascii_8z(text + skip, &ascii, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT);
	if (rc != IDN2_OK)
		return idn_text(rc);

	size_t len = strlen(ascii);
	if (len > 0 && ascii[len - 1] == '.')
		ascii[--len] = '\0';
	why = skip + len > HOSTNAME_MAX ? "is longer than 253 characters" : check_ascii(ascii);
	if (!why)
		why = check_alabels(ascii);
	if (!why) {
		memcpy(out, text, skip);
		memcpy(out + skip, ascii, len + 1);
	}
	idn2_free(ascii);
	return why;
}

const char *hostname_ip(const char *text, char out[HOSTNAME_SIZE])
{
	unsigned char raw[sizeof(struct in6_addr)];
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(family, text, raw) != 1 || !inet_ntop(family, raw, out, HOSTNAME_SIZE))
		return "is not an IP address";
	return NULL;
}

const char *hostname_address(const char *text, char out[HOSTNAME_SIZE])
{
	if (!hostname_ip(text, out))
		return NULL;
	if (strchr(text, ':'))
		return "is neither an IP address nor a host name";
	return hostname_normalize(text, false, out);
}

/* RFC 3986 section 2: reserved, unreserved and percent-encoded. */
static const char *check_url_tail(const char *p)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		"-._~:/?#[]@!$&'()*+,;=";
	for (; *p; p++) {
		if (*p == '%') {
			if (strspn(p + 1, "0123456789abcdefABCDEF") < 2)
				return "has a % that two hexadecimal digits do not follow";
		} else if (!strchr(allowed, *p)) {
			return "has characters that must be percent-encoded";
		}
	}
	return NULL;
}

/* The port after a host: p is at the colon or at the end of the authority. */
static const char *check_port(const char *p, size_t len)
{
	if (len == 0)
		return NULL;
	long port = 0;
	if (p[0] != ':' || len < 2 || len > 6)
		return "has a bad port";
	for (size_t i = 1; i < len; i++) {
		if (!is_digit(p[i]))
			return "has a bad port";
		port = port * 10 + (p[i] - '0');
	}
	return port >= 1 && port <= 65535 ? NULL : "has a bad port";
}

const char *hostname_url(const char *text, struct str *out)
{
	char given[NAME_BYTES_MAX + 1], host[HOSTNAME_SIZE];
	const char *scheme = NULL;
	if (strncasecmp(text, "https://", 8) == 0)
		scheme = "https://";
	else if (strncasecmp(text, "http://", 7) == 0)
		scheme = "http://";
	else
		return "must begin with http:// or https://";
	const char *p = text + strlen(scheme);
	size_t authority = strcspn(p, "/?#");
	if (memchr(p, '@', authority))
		return "must not carry a user or password";

	bool is_v6 = p[0] == '[';
	size_t host_len = is_v6 ? strcspn(p, "]") + 1 : strcspn(p, ":/?#");
	if (host_len > authority || host_len >= sizeof(given))
		return "has a bad host";
	size_t brackets = is_v6 ? 1 : 0;
	memcpy(given, p + brackets, host_len - 2 * brackets);
	given[host_len - 2 * brackets] = '\0';
	if (is_v6 ? (!strchr(given, ':') || hostname_ip(given, host))
		  : hostname_address(given, host) != NULL)
		return "has a bad host";

	const char *why = check_port(p + host_len, authority - host_len);
	if (!why)
		why = check_url_tail(p + authority);
	if (why)
		return why;
	str_clear(out);
	str_addf(out, is_v6 ? "%s[%s]" : "%s%s", scheme, host);
	str_adds(out, p + host_len);
	return out->len > HOSTNAME_URL_MAX ? "is longer than 2048 characters" : NULL;
}
