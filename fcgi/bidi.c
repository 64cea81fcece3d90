#include "bidi.h"

#include <stddef.h>

/* Bidi_Class, as far as it matters. L is also what stands in no table; marks (NSM) and joiners fit
 * everywhere but at the beginning, where libidn2 refuses them. */
enum bidi_class { L, RTL /* R and AL */, AN, EN, ON };

struct range {
	uint32_t first, last;
	enum bidi_class kind;
};

/* Of the characters that a label may have, by the Unicode Character Database 14.0. A range goes
 * over what no label may have. */
/* clang-format off */
static const struct range ranges[] = {
	{'0', '9', EN}, {'-', '-', ON},
	{0xb7, 0xb7, ON}, {0x2b9, 0x2ba, ON}, {0x2c6, 0x2cf, ON}, {0x2ec, 0x2ec, ON},
	{0x375, 0x375, ON}, {0x5d0, 0x5f4, RTL}, {0x620, 0x64a, RTL}, {0x660, 0x669, AN},
	{0x66e, 0x66f, RTL}, {0x671, 0x6d5, RTL}, {0x6e5, 0x6e6, RTL}, {0x6ee, 0x6ef, RTL},
	{0x6f0, 0x6f9, EN}, {0x6fa, 0x710, RTL}, {0x712, 0x72f, RTL}, {0x74d, 0x7a5, RTL},
	{0x7b1, 0x7ea, RTL}, {0x7f4, 0x7fa, RTL}, {0x800, 0x815, RTL}, {0x81a, 0x81a, RTL},
	{0x824, 0x824, RTL}, {0x828, 0x828, RTL}, {0x840, 0x858, RTL}, {0x860, 0x88e, RTL},
	{0x8a0, 0x8c9, RTL}, {0x2e2f, 0x2e2f, ON}, {0x30fb, 0x30fb, ON},
	{0xa67f, 0xa67f, ON}, {0xa717, 0xa71f, ON}, {0xa788, 0xa788, ON},
	{0xfe73, 0xfe73, RTL}, {0x10800, 0x10a00, RTL}, {0x10a10, 0x10a35, RTL},
	{0x10a60, 0x10ae4, RTL}, {0x10b00, 0x10d23, RTL}, {0x10d30, 0x10d39, AN},
	{0x10e80, 0x10ea9, RTL}, {0x10eb0, 0x10f45, RTL}, {0x10f70, 0x10f81, RTL},
	{0x10fb0, 0x10ff6, RTL}, {0x1e800, 0x1e8c4, RTL}, {0x1e922, 0x1e943, RTL},
	{0x1e94b, 0x1e959, RTL}};
/* clang-format on */

static enum bidi_class kind_of(uint32_t c)
{
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return ranges[i].kind;
	return L;
}

void bidi_add_label(struct bidi *b, const uint32_t *label)
{
	enum bidi_class first = kind_of(label[0]), last = first;
	bool has[ON + 1] = {false};

	for (; *label; label++)
		has[last = kind_of(*label)] = true;
	if (has[RTL] || has[AN]) {
		b->is_rtl = true;
		b->is_mixed = b->is_mixed || (has[EN] && has[AN]);
	} else if (first != L || last == ON) {
		b->has_odd_ltr = true; /* rules 1 and 6 */
	}
}

bool bidi_is_broken(const struct bidi *b)
{
	return b->is_mixed || (b->is_rtl && b->has_odd_ltr);
}
