#include "log_index.h"

#include <stdlib.h>
#include <string.h>

#include "log_entry.h"
#include "mem.h"

#define SHORT_GRAM 3
#define LONG_GRAM 5
#define BITS_MAX 512        /* of all alternatives that are asked for */
#define KEYWORD_BITS_MAX 16 /* of one keyword */
#define KEYWORD_BITS_MIN 2

/* ---- bits ---- */

static unsigned bit_of_hash(uint64_t x)
{
	x ^= x >> 32;
	x *= 0x9E3779B97F4A7C15u;
	x ^= x >> 29;
	x *= 0xBF58476D1CE4E5B9u;
	return (unsigned)(x >> 40) % LOG_BITS;
}

static unsigned bit_of_gram(const char *p, size_t len)
{
	uint64_t x = len;

	for (size_t i = 0; i < len; i++)
		x = x << 8 | (unsigned char)p[i];
	return bit_of_hash(x);
}

/* Tokens are of a tenant: what the lines of others have says nothing. FNV-1a. */
static unsigned bit_of_token(char kind, uint32_t tenant_id, struct slice text)
{
	uint64_t x = 0xCBF29CE484222325u ^ ((uint64_t)tenant_id << 8 | (unsigned char)kind);

	x *= 0x100000001B3u;
	for (size_t i = 0; i < text.len; i++)
		x = (x ^ (unsigned char)text.p[i]) * 0x100000001B3u;
	return bit_of_hash(x);
}

static unsigned bit_of_level(uint32_t tenant_id, unsigned level)
{
	const char text = (char)level;

	return bit_of_token('L', tenant_id, (struct slice){&text, 1});
}

static unsigned bit_of_tenant(uint32_t tenant_id)
{
	return bit_of_token('I', tenant_id, (struct slice){"", 0});
}

static void set_bit(uint8_t *bits, unsigned nth)
{
	bits[nth / 8] |= (uint8_t)(1u << nth % 8);
}

/* ---- making it ---- */

static void add_grams(uint8_t *signature, const char *p, size_t len)
{
	for (size_t i = 0; i + SHORT_GRAM <= len; i++) {
		set_bit(signature, bit_of_gram(p + i, SHORT_GRAM));
		if (i + LONG_GRAM <= len)
			set_bit(signature, bit_of_gram(p + i, LONG_GRAM));
	}
}

void log_index_add(uint8_t *signature, uint32_t tenant_id, struct slice digest)
{
	struct bytes b = bytes_of(digest.p, digest.len);

	bytes_u64(&b);
	set_bit(signature, bit_of_tenant(tenant_id));
	set_bit(signature, bit_of_level(tenant_id, bytes_u8(&b)));
	set_bit(signature, bit_of_token('D', tenant_id, bytes_text(&b)));
	for (uint16_t n = bytes_u16(&b); n > 0 && !b.is_bad; n--)
		set_bit(signature, bit_of_token('T', tenant_id, bytes_text(&b)));
	add_grams(signature, (const char *)b.p, (size_t)(b.end - b.p));
}

void log_index_turn(uint8_t *pages, unsigned nth, const uint8_t *signature)
{
	uint8_t *byte = pages + nth / 8;
	const uint8_t mask = (uint8_t)(1u << nth % 8);

	for (size_t i = 0; i < LOG_SIGNATURE_SIZE; i++) {
		if (!signature[i])
			continue;
		for (size_t bit = 0; bit < 8; bit++)
			if (signature[i] >> bit & 1)
				byte[(i * 8 + bit) * LOG_BITMAP_SIZE] |= mask;
	}
}

/* ---- asking it ---- */

/* All dimensions must match: a block needs, of each, all bits of one alternative at least. */
struct alternative {
	uint32_t from, to; /* in bits */
};
struct dimension {
	uint32_t from, to; /* in alternatives */
};

#define DIMENSIONS_MAX 5 /* tenant, devices, levels, tags, keywords */

struct log_ask {
	struct dimension dimensions[DIMENSIONS_MAX];
	size_t dimensions_n;
	struct alternative *alternatives;
	size_t alternatives_n;
	uint32_t *bits;
	size_t bits_n;
	uint16_t *pages; /* sorted */
	size_t pages_n;
};

static void ask_add_bit(struct log_ask *a, unsigned bit)
{
	a->bits = xrealloc(a->bits, (a->bits_n + 1) * sizeof(*a->bits));
	a->bits[a->bits_n++] = bit;
	a->alternatives[a->alternatives_n - 1].to = (uint32_t)a->bits_n;
}

static void ask_add_alternative(struct log_ask *a)
{
	a->alternatives =
		xrealloc(a->alternatives, (a->alternatives_n + 1) * sizeof(*a->alternatives));
	a->alternatives[a->alternatives_n++] =
		(struct alternative){(uint32_t)a->bits_n, (uint32_t)a->bits_n};
}

static void ask_begin(struct log_ask *a)
{
	a->dimensions[a->dimensions_n].from = (uint32_t)a->alternatives_n;
}

/* One whose alternatives are none, or would be too many, says nothing and is left out. */
static void ask_end(struct log_ask *a, bool is_kept)
{
	struct dimension *d = &a->dimensions[a->dimensions_n];

	d->to = (uint32_t)a->alternatives_n;
	if (is_kept && d->to > d->from) {
		a->dimensions_n++;
	} else if (d->to > d->from) {
		a->bits_n = a->alternatives[d->from].from;
		a->alternatives_n = d->from;
	}
}

static void ask_token(struct log_ask *a, unsigned bit)
{
	ask_add_alternative(a);
	ask_add_bit(a, bit);
}

static void ask_tokens(struct log_ask *a, char kind, uint32_t tenant_id, struct bytes *b)
{
	ask_begin(a);
	for (uint16_t n = bytes_u16(b); n > 0 && !b->is_bad; n--)
		ask_token(a, bit_of_token(kind, tenant_id, bytes_text(b)));
	ask_end(a, a->bits_n <= BITS_MAX);
}

static void ask_levels(struct log_ask *a, uint32_t tenant_id, unsigned levels)
{
	ask_begin(a);
	for (unsigned l = 0; l < 8; l++)
		if (levels >> l & 1)
			ask_token(a, bit_of_level(tenant_id, l));
	ask_end(a, true);
}

/* `most` grams of this length, evenly apart; the last one, too. */
static void ask_grams(struct log_ask *a, struct slice keyword, size_t len, size_t most)
{
	size_t n = keyword.len >= len ? keyword.len - len + 1 : 0;
	size_t taken = n < most ? n : most;

	for (size_t i = 0; i < taken; i++) {
		size_t at = taken > 1 ? i * (n - 1) / (taken - 1) : 0;

		ask_add_bit(a, bit_of_gram(keyword.p + at, len));
	}
}

/* A keyword that is shorter than a gram can be anywhere, so all of them say nothing then. */
static void ask_keywords(struct log_ask *a, struct bytes *b)
{
	uint16_t n = bytes_u16(b);
	size_t most = n ? BITS_MAX / n : 0;
	bool is_kept = true;

	if (most < KEYWORD_BITS_MIN)
		most = KEYWORD_BITS_MIN;
	if (most > KEYWORD_BITS_MAX)
		most = KEYWORD_BITS_MAX;
	ask_begin(a);
	for (; n > 0 && !b->is_bad; n--) {
		struct slice keyword = bytes_text(b);

		is_kept = is_kept && keyword.len >= SHORT_GRAM;
		ask_add_alternative(a);
		ask_grams(a, keyword, LONG_GRAM, most / 2);
		ask_grams(a, keyword, SHORT_GRAM, most / 2);
	}
	ask_end(a, is_kept);
}

static int by_page(const void *x, const void *y)
{
	return (int)*(const uint16_t *)x - (int)*(const uint16_t *)y;
}

static void find_pages(struct log_ask *a)
{
	size_t n = 0;

	a->pages = xcalloc(a->bits_n, sizeof(*a->pages));
	for (size_t i = 0; i < a->bits_n; i++)
		a->pages[i] = (uint16_t)(a->bits[i] / LOG_PAGE_BITS);
	qsort(a->pages, a->bits_n, sizeof(*a->pages), by_page);
	for (size_t i = 0; i < a->bits_n; i++)
		if (n == 0 || a->pages[n - 1] != a->pages[i])
			a->pages[n++] = a->pages[i];
	a->pages_n = n;
}

struct log_ask *log_ask_new(uint32_t tenant_id, struct slice filter)
{
	struct log_ask *a = xcalloc(1, sizeof(*a));
	struct bytes b = bytes_of(filter.p, filter.len);
	unsigned levels;

	ask_begin(a);
	ask_token(a, bit_of_tenant(tenant_id));
	ask_end(a, true);
	if (filter.len) {
		bytes_u8(&b); /* version */
		levels = bytes_u8(&b);
		ask_levels(a, tenant_id, levels);
		ask_tokens(a, 'D', tenant_id, &b);
		ask_tokens(a, 'T', tenant_id, &b);
		ask_keywords(a, &b);
	}
	find_pages(a);
	return a;
}

void log_ask_free(struct log_ask *a)
{
	if (!a)
		return;
	free(a->alternatives);
	free(a->bits);
	free(a->pages);
	free(a);
}

static bool has_all(
	const struct log_ask *a, const struct alternative *alternative, const uint8_t *signature)
{
	for (uint32_t i = alternative->from; i < alternative->to; i++)
		if (!log_bit(signature, a->bits[i]))
			return false;
	return true;
}

static bool has_any(const struct log_ask *a, const struct dimension *d, const uint8_t *signature)
{
	for (uint32_t i = d->from; i < d->to; i++)
		if (has_all(a, &a->alternatives[i], signature))
			return true;
	return false;
}

bool log_ask_signature(const struct log_ask *a, const uint8_t *signature)
{
	for (size_t i = 0; i < a->dimensions_n; i++)
		if (!has_any(a, &a->dimensions[i], signature))
			return false;
	return true;
}

const uint16_t *log_ask_pages(const struct log_ask *a, size_t *n)
{
	*n = a->pages_n;
	return a->pages;
}

static const uint8_t *bitmap_of(const struct log_ask *a, const uint8_t *pages, uint32_t bit)
{
	const uint16_t page = (uint16_t)(bit / LOG_PAGE_BITS);
	const uint16_t *found = bsearch(&page, a->pages, a->pages_n, sizeof(*a->pages), by_page);

	return pages + (size_t)(found - a->pages) * LOG_PAGE_SIZE +
	       (size_t)(bit % LOG_PAGE_BITS) * LOG_BITMAP_SIZE;
}

static void and_into(uint8_t *out, const uint8_t *bits)
{
	for (size_t i = 0; i < LOG_BITMAP_SIZE; i++)
		out[i] &= bits[i];
}

static void any_into(
	const struct log_ask *a, const struct dimension *d, const uint8_t *pages, uint8_t *out)
{
	uint8_t any[LOG_BITMAP_SIZE] = {0}, one[LOG_BITMAP_SIZE];

	for (uint32_t i = d->from; i < d->to; i++) {
		const struct alternative *alternative = &a->alternatives[i];

		memset(one, 0xff, sizeof(one));
		for (uint32_t k = alternative->from; k < alternative->to; k++)
			and_into(one, bitmap_of(a, pages, a->bits[k]));
		for (size_t k = 0; k < LOG_BITMAP_SIZE; k++)
			any[k] |= one[k];
	}
	and_into(out, any);
}

void log_ask_super(const struct log_ask *a, const uint8_t *pages, uint8_t *out)
{
	memset(out, 0xff, LOG_BITMAP_SIZE);
	for (size_t i = 0; i < a->dimensions_n; i++)
		any_into(a, &a->dimensions[i], pages, out);
}
