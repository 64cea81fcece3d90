/* The parsers of what people send and write, fed with good texts gone bad in ways that a fixed seed
 * decides. What is accepted must print and read back the same; the sanitizers look for the rest. */
#include "unit.h"

#include <unistd.h>

#include "config.h"
#include "json.h"

#define JSON_ROUNDS 40000
#define CONFIG_ROUNDS 3000

static uint32_t seed;

static uint32_t any(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % n;
}

/* Changes s in one place: a byte, a piece left out or repeated, or one of words put in. */
static void mutate(struct str *s, const char *const *words, size_t words_n)
{
	struct str out = STR_INIT;
	size_t at = any((uint32_t)s->len + 1), n = any(8);

	if (n > s->len - at)
		n = s->len - at;
	str_add(&out, s->p, at);
	switch (any(4)) {
	case 0:
		str_addc(&out, (char)any(256));
		str_add(&out, s->p + at + (n > 0), s->len - at - (n > 0));
		break;
	case 1:
		str_add(&out, s->p + at + n, s->len - at - n);
		break;
	case 2:
		str_add(&out, s->p + at, n);
		str_add(&out, s->p + at, s->len - at);
		break;
	default:
		str_adds(&out, words[any((uint32_t)words_n)]);
		str_add(&out, s->p + at, s->len - at);
	}
	str_fini(s);
	*s = out;
}

/* Returns whether it was accepted. */
static bool check_json(const char *text, size_t len)
{
	struct str once = STR_INIT, twice = STR_INIT;
	const char *why;
	size_t offset;
	char *copy = unit_exact(text, len);
	struct json_object *o = json_parse(copy, len, &why, &offset);

	free(copy);
	assert_true(offset <= len);
	if (!o)
		return false;
	assert_null(why);
	json_print(&once, o);
	json_object_put(o);
	assert_true(json_is_utf8(once.p, once.len));
	o = json_parse(once.p, once.len, &why, &offset);
	if (!o)
		fail_msg("%s: %s", once.p, why);
	json_print(&twice, o);
	json_object_put(o);
	assert_string_equal(once.p, twice.p);
	str_fini(&once);
	str_fini(&twice);
	return true;
}

static void json(void **state)
{
	static const char *const texts[] = {
		"{\"a\":[1,-2.5e+3,true,false,null,\"x\"],\"b\":{\"c\":{},\"d\":[]},\"e\":\"\"}",
		"[\"\\ud834\\udd1e\\u00e4\\n\\\"\\\\\",\"\xe2\x82\xac\",9223372036854775807,-0.0]",
		"{\"domains\":[\"a.example\",\"b.example\"],\"version\":7,\"https_enabled\":true}",
		" [ [ [ [ 1 ] , 2 ] , 3 ] , { \"k\" : \"v\" } ] ",
	};
	static const char *const words[] = {"\\u", "\\ud800", "\\udc00", "\\u0000", "NaN",
		"Infinity", "-", "0", "9223372036854775808", "1e999", "\"", "\\", "{", "}", "[",
		"]", ",", ":", "\"a\":1,", "null", "\xf0", "\xed\xa0\x80", "\t", " ", ".", "e"};
	int accepted_n = 0;

	seed = 20261122;
	for (int i = 0; i < JSON_ROUNDS; i++) {
		struct str s = STR_INIT;
		str_adds(&s, texts[any(ARRAY_N(texts))]);
		for (uint32_t n = any(4); n; n--)
			mutate(&s, words, ARRAY_N(words));
		accepted_n += check_json(s.p, s.len);
		str_fini(&s);
	}
	/* the mutations are neither all harmless nor all deadly */
	assert_in_range(accepted_n, JSON_ROUNDS / 10, JSON_ROUNDS * 9 / 10);
}

static void put_file(const char *path, const struct str *s)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(s->p, 1, s->len, f), s->len);
	assert_int_equal(fclose(f), 0);
}

static bool check_config(const char *path, struct str *text)
{
	struct config c, again;
	struct str errors = STR_INIT, a = STR_INIT, b = STR_INIT;
	bool ok;

	put_file(path, text);
	ok = config_load(&c, path, NULL, 0, &errors);
	assert_int_equal(ok, errors.len == 0);
	if (ok) {
		config_print(&a, &c, true);
		put_file(path, &a);
		config_fini(&c);
		if (!config_load(&again, path, NULL, 0, &errors))
			fail_msg("%s\n%s", errors.p, a.p);
		config_print(&b, &again, true);
		assert_string_equal(a.p, b.p);
		config_fini(&again);
	}
	str_fini(&errors);
	str_fini(&a);
	str_fini(&b);
	return ok;
}

static void config(void **state)
{
	static const char text[] =
		"# a file\n[database]\nsocket =\nhost = db.example\nport = 3307\n\n"
		"[fcgi]\ndb_password = s3cret ; note\ncache = yes\n"
		"[http]\ncors_origins = https://a.example, http://[::1]:81\n[log]\nlevel = warn\n";
	static const char *const words[] = {"\n", "[", "]", "[fcgi]\n", "=", ":", " ", "\t", ";",
		" ;", "#", "\r", "\"", "*", "|", "-", "0", "99999999999999999999", "port = 1\n",
		"https://", "\xef\xbb\xbf", "\xff", "cache",
		"0123456789012345678901234567890123456789"};
	char path[] = "/tmp/cmdb-conf-XXXXXX";
	int accepted_n = 0;

	close(mkstemp(path));
	seed = 19691230;
	for (int i = 0; i < CONFIG_ROUNDS; i++) {
		struct str s = STR_INIT;
		str_adds(&s, text);
		for (uint32_t n = any(4); n; n--)
			mutate(&s, words, ARRAY_N(words));
		accepted_n += check_config(path, &s);
		str_fini(&s);
	}
	unlink(path);
	assert_in_range(accepted_n, CONFIG_ROUNDS / 10, CONFIG_ROUNDS * 9 / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json),
		cmocka_unit_test(config),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
