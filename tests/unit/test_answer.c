#include "unit.h"

#include "answer.h"

#define HEAD "HTTP/1.1 200 OK\r\nServer: x\r\n"

static void whole(void **state)
{
	static const struct {
		const char *text, *body;
		int status;
		bool is_last;
	} rows[] = {
		{HEAD "Content-Length: 2\r\n\r\n{}", "{}", 200, false},
		{HEAD "content-length:2\r\nConnection: close\r\n\r\n{}", "{}", 200, true},
		{"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "", 503, false},
		{HEAD "Transfer-Encoding: "
		      "chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
			"abc0123456789", 200, false},
		{HEAD "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", 200, false},
	};
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		size_t len = strlen(rows[i].text);
		struct answer a;

		/* Every part of it is not enough. */
		for (size_t part = 0; part < len; part++) {
			char *p = unit_exact(rows[i].text, part);
			assert_int_equal(answer_parse(p, part, &a), ANSWER_MORE);
			free(p);
		}
		char *p = unit_exact(rows[i].text, len);
		assert_int_equal(answer_parse(p, len, &a), ANSWER_WHOLE);
		assert_int_equal(a.size, len);
		assert_int_equal(a.status, rows[i].status);
		assert_int_equal(a.is_last, rows[i].is_last);
		assert_int_equal(a.body_len, strlen(rows[i].body));
		assert_memory_equal(a.body, rows[i].body, a.body_len);
		free(p);
	}
}

static void stops_at_its_end(void **state)
{
	static const char text[] = HEAD "Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n";
	char *p = unit_exact(text, sizeof(text) - 1);
	struct answer a;

	assert_int_equal(answer_parse(p, sizeof(text) - 1, &a), ANSWER_WHOLE);
	assert_int_equal(a.size, strlen(HEAD "Content-Length: 2\r\n\r\n{}"));
	free(p);
}

static void bad(void **state)
{
	static const char *const rows[] = {
		"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n",
		"220 mail\r\n\r\n",
		HEAD "\r\n",
		HEAD "Content-Length: x\r\n\r\n",
		HEAD "Transfer-Encoding: chunked\r\n\r\nx\r\n",
		HEAD "Transfer-Encoding: chunked\r\n\r\n\r\n",
		HEAD "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
		HEAD "Transfer-Encoding: chunked\r\n\r\n0\r\nTrailer: x\r\n\r\n",
	};
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		char *p = unit_exact(rows[i], strlen(rows[i]));
		struct answer a;

		if (answer_parse(p, strlen(rows[i]), &a) != ANSWER_BAD)
			fail_msg("%s", rows[i]);
		free(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole),
		cmocka_unit_test(stops_at_its_end),
		cmocka_unit_test(bad),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
