/* Requests as FastCGI records bring them: in pieces, with others between, cut off, malformed. */
#include "unit.h"

#include "../fuzz/fuzz.h"
#include "mem.h"
#include "mutate.h"
#include "request.h"

#define ROUNDS 30000

#define BEGIN "\1\1\0\7\0\x8\0\0\0\1\0\0\0\0\0\0"
#define BEGIN_KEEP "\1\1\0\7\0\x8\0\0\0\1\1\0\0\0\0\0"
#define BEGIN_AUTHORIZER "\1\1\0\7\0\x8\0\0\0\2\0\0\0\0\0\0"
#define BEGIN_OTHER "\1\1\0\x8\0\x8\0\0\0\1\0\0\0\0\0\0"
#define PARAMS                 \
	"\1\4\0\7\0\6\2\0\3\1" \
	"FOO1!!"
#define PARAMS_END "\1\4\0\7\0\0\0\0"
#define STDIN "\1\5\0\7\0\5\0\0hello"
#define STDIN_END "\1\5\0\7\0\0\0\0"
#define ABORT "\1\2\0\7\0\0\0\0"
#define VALUES                     \
	"\1\x9\0\0\0\x11\0\0\xf\0" \
	"FCGI_MPXS_CONNS"
#define NONSENSE "\1\x63\0\0\0\0\0\0"
#define BYTES(text) text, sizeof(text) - 1

static void table(void **state)
{
	static const struct {
		const char *name, *in;
		size_t len;
		enum request_got got;
		const char *body, *reply;
		size_t reply_len;
		bool keeps, is_cut;
	} rows[] = {
		{"a GET", BYTES(BEGIN PARAMS PARAMS_END STDIN_END), REQUEST_WHOLE, "", BYTES(""),
			false, false},
		{"kept", BYTES(BEGIN_KEEP PARAMS PARAMS_END STDIN_END), REQUEST_WHOLE, "",
			BYTES(""), true, false},
		{"a POST", BYTES(BEGIN PARAMS PARAMS_END STDIN STDIN STDIN_END), REQUEST_WHOLE,
			"hellohello", BYTES(""), false, false},
		{"too long", BYTES(BEGIN PARAMS PARAMS_END STDIN STDIN STDIN STDIN), REQUEST_WHOLE,
			"hellohellohelloh", BYTES(""), false, true},
		{"its end is missing", BYTES(BEGIN PARAMS PARAMS_END STDIN), REQUEST_MORE, "hello",
			BYTES(""), false, false},
		{"no parameters, as libfcgi takes it", BYTES(BEGIN PARAMS_END STDIN_END),
			REQUEST_WHOLE, "", BYTES(""), false, false},
		{"given up", BYTES(BEGIN PARAMS ABORT), REQUEST_ABORTED, "",
			BYTES("\1\3\0\7\0\x8\0\0\0\0\0\0\0\0\0\0"), false, false},
		{"a role", BYTES(BEGIN_AUTHORIZER), REQUEST_ABORTED, "",
			BYTES("\1\3\0\7\0\x8\0\0\0\0\0\0\3\0\0\0"), false, false},
		{"another between", BYTES(BEGIN PARAMS BEGIN_OTHER PARAMS_END STDIN_END),
			REQUEST_WHOLE, "", BYTES("\1\3\0\x8\0\x8\0\0\0\0\0\0\1\0\0\0"), false,
			false},
		{"values", BYTES(VALUES BEGIN PARAMS PARAMS_END STDIN_END), REQUEST_WHOLE, "",
			BYTES("\1\xa\0\0\0\x12\0\0\xf\1"
			      "FCGI_MPXS_CONNS0"),
			false, false},
		{"unknown", BYTES(NONSENSE BEGIN PARAMS PARAMS_END STDIN_END), REQUEST_WHOLE, "",
			BYTES("\1\xb\0\0\0\x8\0\0\x63\0\0\0\0\0\0\0"), false, false},
		{"a body before the parameters' end", BYTES(BEGIN PARAMS STDIN), REQUEST_BAD, "",
			BYTES(""), false, false},
		{"begun twice", BYTES(BEGIN BEGIN), REQUEST_BAD, "", BYTES(""), false, false},
		{"HTTP", BYTES("GET / HTTP/1.1\r\n\r\n"), REQUEST_BAD, "", BYTES(""), false, false},
		{"nothing is begun", BYTES(PARAMS STDIN_END), REQUEST_MORE, "", BYTES(""), false,
			false},
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct request *r = request_new(15);
		struct str reply = STR_INIT;
		size_t used = 0;

		print_message("%s\n", rows[i].name);
		assert_int_equal(request_take(r, (const unsigned char *)rows[i].in, rows[i].len,
					 &used, &reply),
			rows[i].got);
		assert_string_equal(str_c(&r->body), rows[i].body);
		assert_int_equal(r->is_cut, rows[i].is_cut);
		assert_int_equal(r->keeps, rows[i].keeps);
		assert_int_equal(reply.len, rows[i].reply_len);
		assert_memory_equal(str_c(&reply), rows[i].reply, reply.len);
		if (rows[i].got == REQUEST_WHOLE)
			assert_int_equal(used, rows[i].len);
		str_fini(&reply);
		request_free(r);
	}
}

/* What libfcgi is given is what came, in as few records as hold it. */
static void head_is_what_came(void **state)
{
	struct request *r = request_new(0);
	struct str out = STR_INIT;
	const char in[] = BEGIN_KEEP PARAMS PARAMS_END STDIN_END;
	size_t used;

	request_take(r, (const unsigned char *)in, sizeof(in) - 1, &used, &out);
	request_put_head(r, &out);
	assert_memory_equal(out.p,
		BEGIN "\1\4\0\7\0\6\0\0\3\1"
		      "FOO1" PARAMS_END STDIN_END,
		out.len);
	assert_int_equal(out.len, 16 + 14 + 8 + 8);
	str_fini(&out);
	request_free(r);
}

static void parameters_have_a_bound(void **state)
{
	struct request *r = request_new(0);
	struct str in = STR_INIT, reply = STR_INIT;
	enum request_got got = REQUEST_MORE;
	size_t used;

	str_add(&in, BEGIN, 16);
	for (int i = 0; i < 3; i++) {
		str_add(&in, "\1\4\0\7\xff\xff\0\0", 8);
		str_reserve(&in, 65535);
		memset(in.p + in.len, 'x', 65535);
		in.len += 65535;
	}
	for (size_t at = 0; at < in.len && got == REQUEST_MORE; at += used)
		got = request_take(r, (const unsigned char *)in.p + at,
			in.len - at < 1000 ? in.len - at : 1000, &used, &reply);
	assert_int_equal(got, REQUEST_BIG);
	assert_true(r->params.cap <= 2 * REQUEST_PARAMS_MAX);
	str_fini(&in);
	request_free(r);
}

static void mutations(void **state)
{
	static const char good[] = BEGIN PARAMS PARAMS_END STDIN STDIN_END,
			  more[] = VALUES BEGIN_KEEP PARAMS PARAMS BEGIN_OTHER PARAMS_END STDIN
				  ABORT;
	static const char *const words[] = {
		"\1\1", "\1\4", "\1\5", "\1\2", "\1\x9", "\xff\xff", "\7"};
	int accepted_n = 0;

	for (int i = 0; i < ROUNDS; i++) {
		struct str s = STR_INIT;

		if (mutate_any(2))
			str_add(&s, good, sizeof(good) - 1);
		else
			str_add(&s, more, sizeof(more) - 1);
		for (uint32_t n = mutate_any(4); n; n--)
			mutate(&s, words, ARRAY_N(words));
		accepted_n += fuzz_request((const uint8_t *)str_c(&s), s.len);
		str_fini(&s);
	}
	assert_in_range(accepted_n, ROUNDS / 20, ROUNDS * 9 / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(head_is_what_came),
		cmocka_unit_test(parameters_have_a_bound),
		cmocka_unit_test(mutations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
