/* Only a token signed by our key, with the pinned algorithm and every claim in order, is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "json.h"
#include "mem.h"
#include "secret.h"
#include "token.h"

#define NOW 1700000000
#define LEEWAY 5
#define HEAD_HS256 "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define JTI "0123456789abcdef0123456789abcdef"
#define SECRET "an HS256 secret of more than 32 bytes"

static char dir[64];

static void path_of(char out[128], const char *name)
{
	snprintf(out, 128, "%s/%s", dir, name);
}

static void write_file(const char *name, const char *text, mode_t mode)
{
	char path[128];
	FILE *f;

	path_of(path, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void run(const char *command)
{
	char line[512];

	snprintf(line, sizeof(line), "cd %s && umask 077 && { %s; } >/dev/null 2>&1", dir, command);
	assert_int_equal(system(line), 0);
}

static int setup(void **state)
{
	secret_init();
	snprintf(dir, sizeof(dir), "/tmp/test_token.XXXXXX");
	assert_non_null(mkdtemp(dir));
	write_file("hs", SECRET "\n", 0600);
	run("openssl genrsa -out rs 2048; openssl rsa -in rs -pubout -out rs.pub");
	run("openssl ecparam -name prime256v1 -genkey -noout -out es; "
	    "openssl ec -in es -pubout -out es.pub");
	return 0;
}

static int teardown(void **state)
{
	char line[128];

	snprintf(line, sizeof(line), "rm -r %s", dir);
	return system(line);
}

static struct token_key *load(
	const char *algorithm, const char *key_file, const char *public_file, struct str *why)
{
	struct config cfg = {0};
	struct token_key *k;
	char key_path[128] = "", public_path[128] = "";

	if (key_file)
		path_of(key_path, key_file);
	if (public_file)
		path_of(public_path, public_file);
	cfg.auth.algorithm = xstrdup(algorithm);
	cfg.auth.issuer = xstrdup("cmdb");
	cfg.auth.audience = xstrdup("people");
	cfg.auth.key_file = key_path;
	cfg.auth.public_key_file = public_path;
	cfg.auth.leeway_s = LEEWAY;
	k = token_key_load(&cfg, why);
	free(cfg.auth.algorithm);
	free(cfg.auth.issuer);
	free(cfg.auth.audience);
	return k;
}

static struct token_key *load_good(
	const char *algorithm, const char *key_file, const char *public_file)
{
	struct str why = STR_INIT;
	struct token_key *k = load(algorithm, key_file, public_file, &why);

	if (!k)
		fail_msg("%s", str_c(&why));
	return k;
}

/* ---- tokens made by hand ---- */

static void add_base64(struct str *s, const void *p, size_t len)
{
	char text[65536];

	str_adds(s, sodium_bin2base64(
			    text, sizeof(text), p, len, sodium_base64_VARIANT_URLSAFE_NO_PADDING));
}

static void hmac(struct str *token, const char *alg, const void *key, size_t key_len)
{
	unsigned char mac[64];
	size_t len = strcmp(alg, "HS512") == 0 ? 64 : 32;
	crypto_auth_hmacsha256_state s256;
	crypto_auth_hmacsha512_state s512;

	if (len == 64) {
		crypto_auth_hmacsha512_init(&s512, key, key_len);
		crypto_auth_hmacsha512_update(&s512, (unsigned char *)token->p, token->len);
		crypto_auth_hmacsha512_final(&s512, mac);
	} else {
		crypto_auth_hmacsha256_init(&s256, key, key_len);
		crypto_auth_hmacsha256_update(&s256, (unsigned char *)token->p, token->len);
		crypto_auth_hmacsha256_final(&s256, mac);
	}
	str_addc(token, '.');
	add_base64(token, mac, len);
}

static void forge(
	struct str *out, const char *head, const char *body, const char *alg, const char *key)
{
	str_clear(out);
	add_base64(out, head, strlen(head));
	str_addc(out, '.');
	add_base64(out, body, strlen(body));
	if (strcmp(alg, "none") == 0)
		str_addc(out, '.');
	else
		hmac(out, alg, key, strlen(key));
}

/* Good claims, but for one: value NULL removes it. */
static void claims_with(struct str *out, const char *claim, const char *value)
{
	static const char good[] =
		"{\"sub\":\"7\",\"tenant\":3,\"name\":\"ann\",\"roles\":[\"admin\"],"
		"\"departments\":[],\"jti\":\"" JTI "\",\"iss\":\"cmdb\",\"aud\":\"people\","
		"\"iat\":1700000000,\"nbf\":1700000000,\"exp\":1700000060}";
	const char *why;
	size_t offset;
	struct json_object *o = json_parse(good, sizeof(good) - 1, &why, &offset);

	assert_non_null(o);
	if (claim && value)
		json_object_object_add(o, claim, json_tokener_parse(value));
	else if (claim)
		json_object_object_del(o, claim);
	str_clear(out);
	json_print(out, o);
	json_object_put(o);
}

static enum err verify(const struct token_key *k, const struct str *token, int64_t now_s)
{
	struct token_claims claims;

	return token_verify(k, token->p, token->len, now_s, &claims);
}

/* ---- tests ---- */

static void test_round_trip(void **state)
{
	static const char *const keys[][3] = {
		{"HS256", "hs", NULL}, {"RS256", "rs", "rs.pub"}, {"ES256", "es", "es.pub"}};
	char name[] = "ann \"the\" \xc3\xa4", jti[] = JTI;
	struct principal p = {
		.user_id = INT64_MAX, .tenant_id = UINT32_MAX, .username = name, .jti = jti};

	strlist_add(&p.roles, "admin", 5);
	strlist_add(&p.roles, "e\"ditor", 7);
	strlist_add(&p.departments, "tech", 4);
	for (size_t i = 0; i < 3; i++) {
		struct token_key *k = load_good(keys[i][0], keys[i][1], keys[i][2]);
		struct token_claims c;
		struct str token = STR_INIT;

		for (int round = 0; round < 20; round++) {
			str_clear(&token);
			assert_int_equal(token_issue(k, &p, NOW + round, 60, &token), ERR_OK);
			assert_int_equal(
				token_verify(k, token.p, token.len, NOW + round, &c), ERR_OK);
			assert_true(c.user_id == INT64_MAX && c.tenant_id == UINT32_MAX);
			assert_string_equal(c.jti, JTI);
			assert_int_equal(c.iat_s, NOW + round);
			assert_int_equal(c.exp_s, NOW + round + 60);
		}
		assert_int_equal(verify(k, &token, NOW + 19 + 59), ERR_OK);
		assert_int_equal(verify(k, &token, NOW + 19 + 60), ERR_TOKEN_EXPIRED);
		str_fini(&token);
		token_key_free(k);
	}
	strlist_fini(&p.roles);
	strlist_fini(&p.departments);
}

static void test_claims(void **state)
{
	static const struct {
		const char *claim, *value;
		enum err want;
	} cases[] = {
		{NULL, NULL, ERR_OK},
		{"sub", NULL, ERR_TOKEN_INVALID},
		{"sub", "7", ERR_TOKEN_INVALID},
		{"sub", "\"\"", ERR_TOKEN_INVALID},
		{"sub", "\"0\"", ERR_TOKEN_INVALID},
		{"sub", "\"07\"", ERR_TOKEN_INVALID},
		{"sub", "\"-7\"", ERR_TOKEN_INVALID},
		{"sub", "\"7 \"", ERR_TOKEN_INVALID},
		{"sub", "\"7x\"", ERR_TOKEN_INVALID},
		{"sub", "\"9223372036854775807\"", ERR_OK},
		{"sub", "\"9223372036854775808\"", ERR_TOKEN_INVALID},
		{"sub", "\"99999999999999999999\"", ERR_TOKEN_INVALID},
		{"tenant", NULL, ERR_TOKEN_INVALID},
		{"tenant", "\"3\"", ERR_TOKEN_INVALID},
		{"tenant", "0", ERR_TOKEN_INVALID},
		{"tenant", "-1", ERR_TOKEN_INVALID},
		{"tenant", "3.0", ERR_TOKEN_INVALID},
		{"tenant", "4294967296", ERR_TOKEN_INVALID},
		{"name", NULL, ERR_TOKEN_INVALID},
		{"name", "5", ERR_TOKEN_INVALID},
		{"roles", NULL, ERR_TOKEN_INVALID},
		{"roles", "\"admin\"", ERR_TOKEN_INVALID},
		{"roles", "[1]", ERR_TOKEN_INVALID},
		{"roles", "{}", ERR_TOKEN_INVALID},
		{"departments", NULL, ERR_TOKEN_INVALID},
		{"departments", "[null]", ERR_TOKEN_INVALID},
		{"jti", NULL, ERR_TOKEN_INVALID},
		{"jti", "\"\"", ERR_TOKEN_INVALID},
		{"jti", "7", ERR_TOKEN_INVALID},
		{"jti", "\"0123456789ABCDEF0123456789abcdef\"", ERR_TOKEN_INVALID},
		{"jti", "\"0123456789abcdef0123456789abcdef0\"", ERR_TOKEN_INVALID},
		{"iss", NULL, ERR_TOKEN_INVALID},
		{"iss", "\"other\"", ERR_TOKEN_INVALID},
		{"iss", "\"CMDB\"", ERR_TOKEN_INVALID},
		{"iss", "[\"cmdb\"]", ERR_TOKEN_INVALID},
		{"aud", NULL, ERR_TOKEN_INVALID},
		{"aud", "\"others\"", ERR_TOKEN_INVALID},
		{"aud", "[]", ERR_TOKEN_INVALID},
		{"aud", "[\"others\"]", ERR_TOKEN_INVALID},
		{"aud", "[\"others\",\"people\"]", ERR_OK},
		{"aud", "[\"people\",1]", ERR_TOKEN_INVALID},
		{"iat", NULL, ERR_TOKEN_INVALID},
		{"iat", "\"1700000000\"", ERR_TOKEN_INVALID},
		{"iat", "1700000005", ERR_OK},
		{"iat", "1700000006", ERR_TOKEN_INVALID},
		{"nbf", NULL, ERR_TOKEN_INVALID},
		{"nbf", "1700000005", ERR_OK},
		{"nbf", "1700000006", ERR_TOKEN_INVALID},
		{"nbf", "1.7e9", ERR_TOKEN_INVALID},
		{"exp", NULL, ERR_TOKEN_INVALID},
		{"exp", "1700000000", ERR_TOKEN_EXPIRED},
		{"exp", "1700000001", ERR_OK},
		{"exp", "253370764800", ERR_OK},
		{"exp", "253370764801", ERR_TOKEN_INVALID}, /* sums with it have to stay numbers */
		{"exp", "9200000000000000", ERR_TOKEN_INVALID},
		{"exp", "-1", ERR_TOKEN_INVALID},
		{"exp", "true", ERR_TOKEN_INVALID},
		{"exp", "\"1700000060\"", ERR_TOKEN_INVALID},
		{"exp", "1700000060.5", ERR_TOKEN_INVALID},
		{"more", "{\"a\":[1]}", ERR_OK},
	};
	struct token_key *k = load_good("HS256", "hs", NULL);
	struct str body = STR_INIT, token = STR_INIT;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		claims_with(&body, cases[i].claim, cases[i].value);
		forge(&token, HEAD_HS256, body.p, "HS256", SECRET);
		enum err e = verify(k, &token, NOW);
		if (e != cases[i].want)
			fail_msg("%s = %s: %d", cases[i].claim, cases[i].value, e);
	}
	str_fini(&body);
	str_fini(&token);
	token_key_free(k);
}

static void test_heads(void **state)
{
	static const struct {
		const char *head, *alg, *secret;
		enum err want;
	} cases[] = {
		{HEAD_HS256, "HS256", SECRET, ERR_OK},
		{"{\"alg\":\"HS256\"}", "HS256", SECRET, ERR_OK},
		{"{\"typ\":\"jwt\",\"kid\":\"1\",\"alg\":\"HS256\"}", "HS256", SECRET, ERR_OK},
		{HEAD_HS256, "HS256", SECRET "\n", ERR_TOKEN_INVALID},
		{HEAD_HS256, "HS256", "", ERR_TOKEN_INVALID},
		{HEAD_HS256, "HS512", SECRET, ERR_TOKEN_INVALID},
		{HEAD_HS256, "none", SECRET, ERR_TOKEN_INVALID},
		{"{\"alg\":\"HS512\",\"typ\":\"JWT\"}", "HS512", SECRET, ERR_TOKEN_INVALID},
		{"{\"alg\":\"HS512\",\"typ\":\"JWT\"}", "HS256", SECRET, ERR_TOKEN_INVALID},
		{"{\"alg\":\"none\"}", "none", SECRET, ERR_TOKEN_INVALID},
		{"{\"alg\":\"None\"}", "none", SECRET, ERR_TOKEN_INVALID},
		{"{\"alg\":\"none\"}", "HS256", SECRET, ERR_TOKEN_INVALID},
		{"{\"alg\":\"hs256\"}", "HS256", SECRET, ERR_TOKEN_INVALID},
		{"{\"alg\":\"HS256 \"}", "HS256", SECRET, ERR_TOKEN_INVALID},
		{"{\"alg\":\"RS256\"}", "HS256", SECRET, ERR_TOKEN_INVALID},
		{"{\"alg\":[\"HS256\"]}", "HS256", SECRET, ERR_TOKEN_INVALID},
		{"{\"alg\":null}", "HS256", SECRET, ERR_TOKEN_INVALID},
		{"{\"typ\":\"JWT\"}", "HS256", SECRET, ERR_TOKEN_INVALID},
		{"{\"alg\":\"HS256\",\"typ\":\"JWE\"}", "HS256", SECRET, ERR_TOKEN_INVALID},
		{"{\"alg\":\"HS256\",\"typ\":1}", "HS256", SECRET, ERR_TOKEN_INVALID},
		{"{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", "HS256", SECRET, ERR_TOKEN_INVALID},
		{"{\"alg\":\"none\",\"alg\":\"HS256\"}", "HS256", SECRET, ERR_TOKEN_INVALID},
		{"[\"HS256\"]", "HS256", SECRET, ERR_TOKEN_INVALID},
		{"{\"alg\":\"HS256\"", "HS256", SECRET, ERR_TOKEN_INVALID},
		{"", "HS256", SECRET, ERR_TOKEN_INVALID},
	};
	struct token_key *k = load_good("HS256", "hs", NULL);
	struct str body = STR_INIT, token = STR_INIT;

	claims_with(&body, NULL, NULL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		forge(&token, cases[i].head, body.p, cases[i].alg, cases[i].secret);
		enum err e = verify(k, &token, NOW);
		if (e != cases[i].want)
			fail_msg("case %zu: %s signed with %s: %d", i, cases[i].head, cases[i].alg,
				e);
	}
	str_fini(&body);
	str_fini(&token);
	token_key_free(k);
}

/* An RS256 verifier must not take its own public key for an HMAC secret. */
static void test_public_key_as_secret(void **state)
{
	static const char *const keys[][3] = {{"RS256", "rs", "rs.pub"}, {"ES256", "es", "es.pub"}};
	struct str body = STR_INIT, token = STR_INIT, head = STR_INIT;
	char path[128];

	claims_with(&body, NULL, NULL);
	for (size_t i = 0; i < 2; i++) {
		struct token_key *k = load_good(keys[i][0], keys[i][1], keys[i][2]);
		const char *why;
		size_t len;

		path_of(path, keys[i][2]);
		char *pem = secret_read_public_file(path, &len, &why);
		assert_non_null(pem);
		forge(&token, HEAD_HS256, body.p, "HS256", pem);
		assert_int_equal(verify(k, &token, NOW), ERR_TOKEN_INVALID);
		str_clear(&head);
		str_addf(&head, "{\"alg\":\"%s\"}", keys[i][0]);
		forge(&token, head.p, body.p, "HS256", pem);
		assert_int_equal(verify(k, &token, NOW), ERR_TOKEN_INVALID);
		forge(&token, head.p, body.p, "none", pem);
		assert_int_equal(verify(k, &token, NOW), ERR_TOKEN_INVALID);
		free(pem);
		token_key_free(k);
	}
	str_fini(&head);
	str_fini(&body);
	str_fini(&token);
}

static void test_body_not_an_object(void **state)
{
	static const char *const bodies[] = {
		"", "null", "[]", "\"x\"", "{", "{}x", "{\"sub\":\"7\",\"sub\":\"8\"}", "\xff"};
	struct token_key *k = load_good("HS256", "hs", NULL);
	struct str token = STR_INIT;

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		forge(&token, HEAD_HS256, bodies[i], "HS256", SECRET);
		assert_int_equal(verify(k, &token, NOW), ERR_TOKEN_INVALID);
	}
	str_fini(&token);
	token_key_free(k);
}

/* Every cut, every changed byte, and what is no token at all. */
static void test_damaged(void **state)
{
	static const char *const garbage[] = {"", ".", "..", "...", "a.b.c", "Bearer x",
		"=.=.=", "\x01\x02", "a", "a.b", "....."};
	struct token_key *k = load_good("HS256", "hs", NULL);
	struct str body = STR_INIT, good = STR_INIT, bad = STR_INIT;
	struct token_claims c;

	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++)
		assert_int_equal(token_verify(k, garbage[i], strlen(garbage[i]), NOW, &c),
			ERR_TOKEN_INVALID);
	claims_with(&body, NULL, NULL);
	forge(&good, HEAD_HS256, body.p, "HS256", SECRET);
	for (size_t i = 0; i < good.len; i++) {
		assert_int_equal(token_verify(k, good.p, i, NOW, &c), ERR_TOKEN_INVALID);
		for (const char *put = "A.=\n\xff"; *put; put++) {
			str_clear(&bad);
			str_add(&bad, good.p, good.len);
			if (bad.p[i] == *put)
				continue;
			bad.p[i] = *put;
			assert_int_equal(verify(k, &bad, NOW), ERR_TOKEN_INVALID);
		}
	}
	for (const char *tail = "A.= \n"; *tail; tail++) {
		str_clear(&bad);
		str_add(&bad, good.p, good.len);
		str_addc(&bad, *tail);
		assert_int_equal(verify(k, &bad, NOW), ERR_TOKEN_INVALID);
	}
	bad.p[good.len] = '\0';
	assert_int_equal(verify(k, &bad, NOW), ERR_TOKEN_INVALID);
	str_fini(&body);
	str_fini(&good);
	str_fini(&bad);
	token_key_free(k);
}

static void test_huge(void **state)
{
	struct token_key *k = load_good("HS256", "hs", NULL);
	struct str value = STR_INIT, body = STR_INIT, token = STR_INIT;
	char name[] = "ann", jti[] = JTI, role[6001];
	struct principal p = {.user_id = 1, .tenant_id = 1, .username = name, .jti = jti};

	for (size_t len = 5000; len < 40000; len += 1000) {
		str_clear(&value);
		str_addc(&value, '"');
		while (value.len < len)
			str_addc(&value, 'x');
		str_addc(&value, '"');
		claims_with(&body, "more", value.p);
		forge(&token, HEAD_HS256, body.p, "HS256", SECRET);
		assert_int_equal(verify(k, &token, NOW),
			token.len <= TOKEN_MAX ? ERR_OK : ERR_TOKEN_INVALID);
	}
	memset(role, 'r', sizeof(role));
	strlist_add(&p.roles, role, 6000);
	str_clear(&token);
	assert_int_equal(token_issue(k, &p, NOW, 60, &token), ERR_INTERNAL);
	assert_int_equal(token.len, 0);
	strlist_fini(&p.roles);
	str_fini(&value);
	str_fini(&body);
	str_fini(&token);
	token_key_free(k);
}

static void test_other_key(void **state)
{
	static const char *const keys[][3] = {{"RS256", "rs", "rs.pub"}, {"ES256", "es", "es.pub"}};
	char name[] = "ann", jti[] = JTI;
	struct principal p = {.user_id = 1, .tenant_id = 1, .username = name, .jti = jti};

	run("openssl genrsa -out rs2 2048; openssl rsa -in rs2 -pubout -out rs2.pub");
	run("openssl ecparam -name prime256v1 -genkey -noout -out es2; "
	    "openssl ec -in es2 -pubout -out es2.pub");
	for (size_t i = 0; i < 2; i++) {
		char key_file[8], public_file[8];
		struct str token = STR_INIT;

		snprintf(key_file, sizeof(key_file), "%s2", keys[i][1]);
		snprintf(public_file, sizeof(public_file), "%s2.pub", keys[i][1]);
		struct token_key *ours = load_good(keys[i][0], NULL, keys[i][2]);
		struct token_key *theirs = load_good(keys[i][0], key_file, public_file);
		assert_int_equal(token_issue(theirs, &p, NOW, 60, &token), ERR_OK);
		assert_int_equal(verify(theirs, &token, NOW), ERR_OK);
		assert_int_equal(verify(ours, &token, NOW), ERR_TOKEN_INVALID);
		/* A program with no private key verifies and does not sign. */
		assert_int_equal(token_issue(ours, &p, NOW, 60, &token), ERR_INTERNAL);
		str_fini(&token);
		token_key_free(ours);
		token_key_free(theirs);
	}
}

static void test_bad_key_files(void **state)
{
	static const struct {
		const char *algorithm, *key_file, *public_file, *says;
	} cases[] = {
		{"HS256", "absent", NULL, "does not exist"},
		{"HS256", "short", NULL, "at least 32 bytes"},
		{"HS256", "open", NULL, "chmod"},
		{"HS512", "hs", NULL, "use HS256"},
		{"none", "hs", NULL, "use HS256"},
		{"RS256", "hs", "rs.pub", "not a private key"},
		{"RS256", "rs", "rs", "not a public key"},
		{"RS256", "rs", NULL, "public_key_file"},
		{"RS256", "rs", "es.pub", "not a pair"},
		{"RS256", "es", "es.pub", "not a pair"},
		{"RS256", "locked", "rs.pub", "passphrase"},
		{"RS256", "weak", "weak.pub", "2048 bits"},
		{"ES256", "rs", "rs.pub", "not a pair"},
		{"ES256", "p384", "p384.pub", "P-256"},
	};

	write_file("short", "only 31 bytes, one too few.....\n\n", 0600);
	write_file("open", SECRET, 0644);
	run("openssl genrsa -out weak 1024; openssl rsa -in weak -pubout -out weak.pub");
	run("openssl ecparam -name secp384r1 -genkey -noout -out p384; "
	    "openssl ec -in p384 -pubout -out p384.pub");
	run("openssl rsa -in rs -aes128 -passout pass:xyzzy -out locked");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct str why = STR_INIT;
		struct token_key *k =
			load(cases[i].algorithm, cases[i].key_file, cases[i].public_file, &why);

		assert_null(k);
		if (!strstr(str_c(&why), cases[i].says))
			fail_msg("case %zu: %s", i, str_c(&why));
		str_fini(&why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_public_key_as_secret),
		cmocka_unit_test(test_body_not_an_object),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_huge),
		cmocka_unit_test(test_other_key),
		cmocka_unit_test(test_bad_key_files),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
