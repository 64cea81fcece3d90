/* Randomness has the promised form, passwords verify only themselves, key files are refused when
 * they are not private. */
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

#include "secret.h"

static int setup(void **state)
{
	secret_init();
	return 0;
}

static void test_random_hex(void **state)
{
	static const size_t sizes[] = {0, 1, 16, 32, 33, 100};
	char a[256], b[256];
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		memset(a, 'x', sizeof(a));
		secret_random_hex(a, sizes[i]);
		secret_random_hex(b, sizes[i]);
		assert_int_equal(strlen(a), 2 * sizes[i]);
		assert_int_equal(strspn(a, "0123456789abcdef"), 2 * sizes[i]);
		assert_int_equal(a[2 * sizes[i] + 1], 'x');
		if (sizes[i] >= 16)
			assert_string_not_equal(a, b);
	}
}

static void test_random_token(void **state)
{
	char a[64], b[64];

	secret_random_token(a, "cmdb_");
	secret_random_token(b, "cmdb_");
	assert_int_equal(strlen(a), 5 + 43);
	assert_memory_equal(a, "cmdb_", 5);
	assert_int_equal(strspn(a + 5, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				       "0123456789-_"),
		43);
	assert_string_not_equal(a, b);
}

/* BLAKE2b-256 of "abc", as b2sum -l 256 prints it. */
static void test_hash(void **state)
{
	uint8_t hash[SECRET_HASH_SIZE];
	char hex[2 * SECRET_HASH_SIZE + 1];

	secret_hash(hash, "abc", 3);
	secret_hex(hex, hash, sizeof(hash));
	assert_string_equal(
		hex, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
	secret_hash_short(hash, "abc", 3);
	secret_hex(hex, hash, SECRET_SHORT_SIZE);
	assert_string_equal(hex, "cf4ab791c62b8d2b2109c90275287816");
	assert_true(secret_equal("abc", "abc", 3));
	assert_false(secret_equal("abc", "abd", 3));
}

static void test_password(void **state)
{
	static char longest[SECRET_PASSWORD_MAX + 2];
	char phc[SECRET_PHC_SIZE], again[SECRET_PHC_SIZE], other[2 * SECRET_PHC_SIZE];

	assert_true(secret_password_hash(phc, "correct horse", 13, 2, 64));
	assert_memory_equal(phc, "$argon2id$v=19$m=64,t=2,p=1$", 28);
	assert_true(secret_password_hash(again, "correct horse", 13, 2, 64));
	assert_string_not_equal(phc, again);
	assert_true(secret_password_verify(phc, "correct horse", 13));
	assert_false(secret_password_verify(phc, "correct horsf", 13));
	assert_false(secret_password_verify(phc, "correct horse", 12));
	assert_false(secret_password_verify(phc, "", 0));

	assert_false(secret_password_is_stale(phc, 2, 64));
	assert_true(secret_password_is_stale(phc, 3, 64));
	assert_true(secret_password_is_stale(phc, 2, 128));

	memset(longest, 'a', sizeof(longest) - 1);
	assert_true(secret_password_hash(phc, longest, SECRET_PASSWORD_MAX, 1, 64));
	assert_true(secret_password_verify(phc, longest, SECRET_PASSWORD_MAX));
	assert_false(secret_password_hash(phc, longest, SECRET_PASSWORD_MAX + 1, 1, 64));

	/* What is no PHC string matches nothing and asks to be made anew. */
	memset(other, '$', sizeof(other) - 1);
	other[sizeof(other) - 1] = '\0';
	assert_false(secret_password_verify(other, "a", 1));
	assert_false(secret_password_verify("", "", 0));
	assert_false(secret_password_verify("!", "!", 1));
	assert_true(secret_password_is_stale(other, 2, 64));
	assert_true(secret_password_is_stale("", 2, 64));
}

static void write_file(const char *path, size_t len, mode_t mode)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	while (len-- > 0)
		fputc('k', f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void test_read_file(void **state)
{
	static const struct {
		size_t len;
		mode_t mode;
		bool secret_ok, public_ok;
	} cases[] = {
		{5, 0600, true, true},
		{5, 0640, true, true},
		{5, 0644, false, true},
		{5, 0660, false, false},
		{5, 0602, false, false},
		{5, 0666, false, false},
		{0, 0600, false, false},
		{64 * 1024, 0600, true, true},
		{64 * 1024 + 1, 0600, false, false},
	};
	char dir[] = "/tmp/test_secret.XXXXXX", path[64];
	const char *why;
	size_t i, len;
	char *p;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/key", dir);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		write_file(path, cases[i].len, cases[i].mode);
		p = secret_read_file(path, &len, &why);
		assert_int_equal(p != NULL, cases[i].secret_ok);
		assert_int_equal(why == NULL, cases[i].secret_ok);
		if (p) {
			assert_int_equal(len, cases[i].len);
			assert_int_equal(strlen(p), len);
		}
		free(p);
		p = secret_read_public_file(path, &len, &why);
		assert_int_equal(p != NULL, cases[i].public_ok);
		free(p);
		assert_int_equal(unlink(path), 0);
	}
	assert_null(secret_read_file(path, &len, &why));
	assert_non_null(why);
	assert_null(secret_read_file(dir, &len, &why));
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_null(secret_read_file(path, &len, &why));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_hex),
		cmocka_unit_test(test_random_token),
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_password),
		cmocka_unit_test(test_read_file),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
