#include "unit.h"

#include "text.h"

static void unsafe(void **state)
{
	static const struct {
		uint32_t c;
		bool is_unsafe;
	} rows[] = {{0, true}, {0x1b, true}, {0x1f, true}, {' ', false}, {'~', false}, {0x7f, true},
		{0x80, true}, {0x9b, true}, {0x9f, true}, {0xa0, false}, {0xad, true},
		{0xe9, false}, {0x61c, true}, {0x627, false}, {0x200b, true}, {0x200d, false},
		{0x200e, true}, {0x200f, true}, {0x2027, false}, {0x2028, true}, {0x202a, true},
		{0x202e, true}, {0x202f, false}, {0x2066, true}, {0x2069, true}, {0x2070, false},
		{0xfeff, true}, {0xfe0f, false}, {0xfff9, true}, {0xfffd, false}, {0x1f600, false},
		{0xe0001, true}, {0x10ffff, false}};

	for (size_t i = 0; i < ARRAY_N(rows); i++)
		if (text_is_unsafe(rows[i].c) != rows[i].is_unsafe)
			fail_msg("U+%04X", rows[i].c);
}

static void next(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		uint32_t c;
		bool is_utf8;
	} rows[] = {{"a", 1, 'a', true}, {"\xc2\x9b", 2, 0x9b, true},
		{"\xe2\x80\xae", 3, 0x202e, true}, {"\xf0\x9f\x98\x80", 4, 0x1f600, true},
		{"\xc2", 1, 0xc2, false}, {"\x80", 1, 0x80, false}, {"\xc0\x80", 1, 0xc0, false},
		{"\xe0\x80\x80", 1, 0xe0, false}, {"\xed\xa0\x80", 1, 0xed, false},
		{"\xf4\x90\x80\x80", 1, 0xf4, false}, {"\xf5\x80\x80\x80", 1, 0xf5, false},
		{"\xff", 1, 0xff, false}, {"\xe2\x80z", 1, 0xe2, false}};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		uint32_t c;
		bool is_utf8;
		size_t n = text_next(rows[i].text, strlen(rows[i].text), &c, &is_utf8);

		if (n != rows[i].n || c != rows[i].c || is_utf8 != rows[i].is_utf8)
			fail_msg("row %zu", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(unsafe), cmocka_unit_test(next)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
