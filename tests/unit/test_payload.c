/* Engine.IO payloads: the protocol's examples and its errors. */
#include "unit.h"

#include "../fuzz/fuzz.h"
#include "mutate.h"
#include "payload.h"

#define ROUNDS 30000

/* A literal without its NUL, which may have others in it. */
#define BYTES(text)                    \
	{                              \
		text, sizeof(text) - 1 \
	}

struct expected {
	enum payload_type type;
	bool is_binary;
	struct slice data;
};

static void good(void **state)
{
	static const struct {
		struct slice body;
		size_t n;
		struct expected packets[4];
	} table[] = {
		/* Protocol, "HTTP long-polling": the two examples */
		{BYTES("4hello\x1e"
		       "2\x1e"
		       "4world"),
			3,
			{{PAYLOAD_MESSAGE, false, BYTES("hello")}, {PAYLOAD_PING, false, BYTES("")},
				{PAYLOAD_MESSAGE, false, BYTES("world")}}},
		{BYTES("4hello\x1e"
		       "bAQIDBA=="),
			2,
			{{PAYLOAD_MESSAGE, false, BYTES("hello")},
				{PAYLOAD_MESSAGE, true, BYTES("\1\2\3\4")}}},
		/* Protocol, "Heartbeat", "Upgrade", "Handshake" */
		{BYTES("3"), 1, {{PAYLOAD_PONG, false, BYTES("")}}},
		{BYTES("2probe"), 1, {{PAYLOAD_PING, false, BYTES("probe")}}},
		{BYTES("0{\"sid\":\"a\"}"), 1, {{PAYLOAD_OPEN, false, BYTES("{\"sid\":\"a\"}")}}},
		{BYTES("1\x1e"
		       "5\x1e"
		       "6"),
			3,
			{{PAYLOAD_CLOSE, false, BYTES("")}, {PAYLOAD_UPGRADE, false, BYTES("")},
				{PAYLOAD_NOOP, false, BYTES("")}}},
		{BYTES("4"), 1, {{PAYLOAD_MESSAGE, false, BYTES("")}}},
		{BYTES("4b"), 1, {{PAYLOAD_MESSAGE, false, BYTES("b")}}},
		{BYTES("4\xe2\x82\xac\xf0\x9f\x98\x80"), 1,
			{{PAYLOAD_MESSAGE, false, BYTES("\xe2\x82\xac\xf0\x9f\x98\x80")}}},
		/* an empty buffer; 1, 2 and 3 bytes; all of the alphabet; NULs and separators */
		{BYTES("b"), 1, {{PAYLOAD_MESSAGE, true, BYTES("")}}},
		{BYTES("b/w==\x1e"
		       "b//8=\x1e"
		       "b////"),
			3,
			{{PAYLOAD_MESSAGE, true, BYTES("\xff")},
				{PAYLOAD_MESSAGE, true, BYTES("\xff\xff")},
				{PAYLOAD_MESSAGE, true, BYTES("\xff\xff\xff")}}},
		{BYTES("b+/9a\x1e"
		       "bAAAe"),
			2,
			{{PAYLOAD_MESSAGE, true, BYTES("\xfb\xff\x5a")},
				{PAYLOAD_MESSAGE, true, BYTES("\0\0\x1e")}}},
	};

	for (size_t i = 0; i < ARRAY_N(table); i++) {
		struct slice body = table[i].body;
		char *exact = unit_exact(body.p, body.len);
		struct payload it = payload_of((struct slice){exact, body.len});
		struct payload_packet got;
		const char *why;

		for (size_t k = 0; k < table[i].n; k++) {
			const struct expected *e = &table[i].packets[k];
			if (payload_next(&it, &got, &why) != PAYLOAD_PACKET)
				fail_msg("%s: packet %zu: %s", body.p, k, why);
			assert_int_equal(got.type, e->type);
			assert_int_equal(got.is_binary, e->is_binary);
			assert_int_equal(got.data.len, e->data.len);
			assert_memory_equal(got.data.p, e->data.p, e->data.len);
		}
		assert_int_equal(payload_next(&it, &got, &why), PAYLOAD_END);
		payload_fini(&it);
		assert_true(fuzz_payload((const uint8_t *)exact, body.len));
		free(exact);
	}
}

static void bad(void **state)
{
	static const char empty[] = "an empty packet", type[] = "an unknown packet type";
	static const struct {
		struct slice body;
		size_t good_n; /* packets before the bad one */
		const char *why;
	} table[] = {
		{BYTES(""), 0, empty},
		{BYTES("\x1e"), 0, empty},
		{BYTES("\x1e"
		       "4a"),
			0, empty},
		{BYTES("4a\x1e"), 1, empty},
		{BYTES("4a\x1e\x1e"
		       "4b"),
			1, empty},
		/* the protocol's suite: "should ignore an invalid packet" */
		{BYTES("abc"), 0, type},
		{BYTES("7"), 0, type},
		{BYTES("/"), 0, type},
		{BYTES(" 4a"), 0, type},
		{BYTES("\xff"), 0, type},
		{BYTES("\0"), 0, type},
		{BYTES("B////"), 0, type},
		{BYTES("4a\x1e"
		       "x"),
			1, type},
		/* Engine.IO v3: length and colon */
		{BYTES("8:4hello"), 0, type},
	};

	for (size_t i = 0; i < ARRAY_N(table); i++) {
		struct slice body = table[i].body;
		char *exact = unit_exact(body.p, body.len);
		struct payload it = payload_of((struct slice){exact, body.len});
		struct payload_packet got;
		const char *why;

		for (size_t k = 0; k < table[i].good_n; k++)
			assert_int_equal(payload_next(&it, &got, &why), PAYLOAD_PACKET);
		for (int again = 0; again < 2; again++) {
			enum payload_got end = payload_next(&it, &got, &why);
			if (end != PAYLOAD_BAD)
				fail_msg("row %zu is accepted: %s", i, body.p);
			assert_string_equal(why, table[i].why);
		}
		payload_fini(&it);
		free(exact);
	}
}

/* One message, as Node reads it: Buffer.from(text, "base64"), Buffer.toString() of the body. */
static void lenient(void **state)
{
	static const struct {
		struct slice text;
		bool is_binary;
		struct slice data;
	} table[] = {
		{BYTES("bYW\nJj"), true, BYTES("abc")},
		{BYTES("bY W J j\r\n"), true, BYTES("abc")},
		{BYTES("bYWI"), true, BYTES("ab")},
		{BYTES("bYQ"), true, BYTES("a")},
		{BYTES("bYQ="), true, BYTES("a")},
		{BYTES("bY"), true, BYTES("")},
		{BYTES("bYWJjZ"), true, BYTES("abc")},
		{BYTES("b-_-_"), true, BYTES("\xfb\xff\xbf")},
		{BYTES("b+/-_"), true, BYTES("\xfb\xff\xbf")},
		{BYTES("bYW=Jj"), true, BYTES("a")},
		{BYTES("bYQ==YQ=="), true, BYTES("a")},
		{BYTES("bYWJj===="), true, BYTES("abc")},
		{BYTES("b=YWJj"), true, BYTES("")},
		{BYTES("b===="), true, BYTES("")},
		{BYTES("bYR=="), true, BYTES("a")}, /* bits behind the last byte */
		{BYTES("bYWK="), true, BYTES("ab")},
		{BYTES("bYWJj\0ZGVm"), true, BYTES("abcdef")},
		{BYTES("bYWJj\xc3\xa9ZGVm\xff"), true, BYTES("abcdef")},
		{BYTES("bY*W(J)j"), true, BYTES("abc")},
		{BYTES("bYQ\n=\n=\n"), true, BYTES("a")},
		{BYTES("4a\0b"), false, BYTES("a\0b")},
		{BYTES("4\xff"), false, BYTES("\xef\xbf\xbd")},
		{BYTES("4a\xed\xa0\x80z"), false, BYTES("a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz")},
		{BYTES("4\xc0\xaf"), false, BYTES("\xef\xbf\xbd\xef\xbf\xbd")},
		{BYTES("4\xe2\x82"), false, BYTES("\xef\xbf\xbd")},
		{BYTES("4\xf0\x9f\x98x"), false, BYTES("\xef\xbf\xbdx")},
		{BYTES("4\xf4\x90\x80\x80"), false,
			BYTES("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd")},
	};

	for (size_t i = 0; i < ARRAY_N(table); i++) {
		struct slice body = table[i].text;
		char *exact = unit_exact(body.p, body.len);
		struct payload it = payload_of((struct slice){exact, body.len});
		struct payload_packet got;
		const char *why;

		if (payload_next(&it, &got, &why) != PAYLOAD_PACKET)
			fail_msg("%s: %s", body.p, why);
		assert_int_equal(got.type, PAYLOAD_MESSAGE);
		assert_int_equal(got.is_binary, table[i].is_binary);
		if (got.data.len != table[i].data.len)
			fail_msg("%s: %zu bytes", body.p, got.data.len);
		assert_memory_equal(got.data.p, table[i].data.p, got.data.len);
		assert_int_equal(payload_next(&it, &got, &why), PAYLOAD_END);
		payload_fini(&it);
		assert_true(fuzz_payload((const uint8_t *)exact, body.len));
		free(exact);
	}
}

/* A stock client fills a body with as many as there is room for. */
static void many(void **state)
{
	struct str body = STR_INIT;
	struct payload_packet got;
	const char *why;

	for (int i = 0; i < 200000; i++)
		payload_put_text(&body, "x", 1);
	struct payload it = payload_of((struct slice){body.p, body.len});
	for (int i = 0; i < 200000; i++)
		assert_int_equal(payload_next(&it, &got, &why), PAYLOAD_PACKET);
	assert_int_equal(payload_next(&it, &got, &why), PAYLOAD_END);
	payload_fini(&it);
	str_fini(&body);
}

static void encode(void **state)
{
	struct str body = STR_INIT;

	payload_put(&body, PAYLOAD_PING, "", 0);
	payload_put_text(&body, "hello", 5);
	payload_put_binary(&body, "\1\2\3\4", 4);
	payload_put_binary(&body, "", 0);
	payload_put(&body, PAYLOAD_CLOSE, "", 0);
	assert_string_equal(body.p, "2\x1e"
				    "4hello\x1e"
				    "bAQIDBA==\x1e"
				    "b\x1e"
				    "1");
	str_fini(&body);
}

/* Buffers of all small lengths come out as they went in. */
static void binary(void **state)
{
	for (size_t len = 0; len < 300; len++) {
		struct str body = STR_INIT, bytes = STR_INIT;
		struct payload_packet got;
		const char *why;

		while (bytes.len < len)
			str_addc(&bytes, (char)mutate_any(256));
		payload_put_binary(&body, str_c(&bytes), len);
		struct payload it = payload_of((struct slice){body.p, body.len});
		assert_int_equal(payload_next(&it, &got, &why), PAYLOAD_PACKET);
		assert_true(got.is_binary);
		assert_int_equal(got.data.len, len);
		assert_memory_equal(got.data.p, str_c(&bytes), len);
		payload_fini(&it);
		str_fini(&body);
		str_fini(&bytes);
	}
}

/* Of all bytes, 64 are of one alphabet, two more of the other; the rest is passed over. */
static void alphabet(void **state)
{
	int six_bits_n = 0;

	for (int c = 0; c < 256; c++) {
		const char body[] = {'b', 'A', 'A', 'A', (char)c};
		struct payload it = payload_of((struct slice){body, sizeof(body)});
		struct payload_packet got;
		const char *why;

		if (c == PAYLOAD_SEPARATOR)
			continue;
		assert_int_equal(payload_next(&it, &got, &why), PAYLOAD_PACKET);
		six_bits_n += got.data.len == 3;
		payload_fini(&it);
	}
	assert_int_equal(six_bits_n, 66);
}

static bool check(const struct str *s)
{
	char *exact = unit_exact(str_c(s), s->len);
	bool is_accepted = fuzz_payload((const uint8_t *)exact, s->len);

	free(exact);
	return is_accepted;
}

static void mutations(void **state)
{
	static const char *const texts[] = {
		"4hello\x1e"
		"2\x1e"
		"4world",
		"42[\"a\",{\"b\":\"\xe2\x82\xac\"}]\x1e"
		"3",
		"4hello\x1e"
		"bAQIDBA==\x1e"
		"b\x1e"
		"b////",
		"1",
	};
	static const char *const words[] = {
		"\x1e", "4", "b", "AAAA", "=", "==", "B", "\xf0", "\xed\xa0\x80", "7"};
	int accepted_n = 0;

	for (int i = 0; i < ROUNDS; i++) {
		struct str s = STR_INIT;
		str_adds(&s, texts[mutate_any(ARRAY_N(texts))]);
		for (uint32_t n = mutate_any(4); n; n--)
			mutate(&s, words, ARRAY_N(words));
		accepted_n += check(&s);
		str_clear(&s);
		mutate_random(&s, 40);
		check(&s);
		str_fini(&s);
	}
	/* the mutations are neither all harmless nor all deadly */
	assert_in_range(accepted_n, ROUNDS / 10, ROUNDS * 9 / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),
		cmocka_unit_test(bad),
		cmocka_unit_test(lenient),
		cmocka_unit_test(many),
		cmocka_unit_test(encode),
		cmocka_unit_test(binary),
		cmocka_unit_test(alphabet),
		cmocka_unit_test(mutations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
