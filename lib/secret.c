#include "secret.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "log.h"
#include "mem.h"

#define FILE_MAX ((size_t)64 * 1024)
#define TOKEN_BYTES 32

static_assert(SECRET_PHC_SIZE == crypto_pwhash_STRBYTES, "size of a PHC string");
static_assert(SECRET_HASH_SIZE == crypto_generichash_BYTES, "size of a BLAKE2b-256 hash");

void secret_init(void)
{
	if (sodium_init() < 0)
		log_fatal(1, "libsodium cannot start: is /dev/urandom there?");
}

void secret_random(void *p, size_t len)
{
	randombytes_buf(p, len);
}

void secret_hex(char *out, const uint8_t *p, size_t len)
{
	sodium_bin2hex(out, 2 * len + 1, p, len);
}

void secret_base64(char *out, const uint8_t *p, size_t len)
{
	sodium_bin2base64(
		out, SECRET_BASE64_SIZE(len), p, len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

void secret_random_hex(char *out, size_t n)
{
	uint8_t raw[32];

	out[0] = '\0';
	while (n > 0) {
		size_t part = n < sizeof(raw) ? n : sizeof(raw);

		randombytes_buf(raw, part);
		sodium_bin2hex(out, 2 * part + 1, raw, part);
		out += 2 * part;
		n -= part;
	}
	sodium_memzero(raw, sizeof(raw));
}

void secret_random_token(char out[64], const char *prefix)
{
	size_t len = strlen(prefix);
	uint8_t raw[TOKEN_BYTES];

	assert(len + sodium_base64_ENCODED_LEN(
			     TOKEN_BYTES, sodium_base64_VARIANT_URLSAFE_NO_PADDING) <=
		64);
	randombytes_buf(raw, sizeof(raw));
	memcpy(out, prefix, len);
	sodium_bin2base64(
		out + len, 64 - len, raw, sizeof(raw), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	sodium_memzero(raw, sizeof(raw));
}

void secret_hash(uint8_t out[SECRET_HASH_SIZE], const void *p, size_t len)
{
	crypto_generichash(out, SECRET_HASH_SIZE, p, len, NULL, 0);
}

void secret_hash_short(uint8_t out[SECRET_SHORT_SIZE], const void *p, size_t len)
{
	crypto_generichash(out, SECRET_SHORT_SIZE, p, len, NULL, 0);
}

bool secret_equal(const void *a, const void *b, size_t len)
{
	return sodium_memcmp(a, b, len) == 0;
}

bool secret_password_hash(char out[SECRET_PHC_SIZE], const char *password, size_t len,
	uint64_t passes, uint64_t memory_kib)
{
	return len <= SECRET_PASSWORD_MAX &&
	       crypto_pwhash_str_alg(out, password, len, passes, memory_kib * 1024,
		       crypto_pwhash_ALG_ARGON2ID13) == 0;
}

/* libsodium takes an array of a fixed size: a shorter text is copied, a longer one is none. */
static bool phc_copy(char out[SECRET_PHC_SIZE], const char *phc)
{
	size_t len = strlen(phc);

	if (len >= SECRET_PHC_SIZE)
		return false;
	memset(out, 0, SECRET_PHC_SIZE);
	memcpy(out, phc, len);
	return true;
}

bool secret_password_verify(const char *phc, const char *password, size_t len)
{
	char copy[SECRET_PHC_SIZE];

	return len <= SECRET_PASSWORD_MAX && phc_copy(copy, phc) &&
	       crypto_pwhash_str_verify(copy, password, len) == 0;
}

bool secret_password_is_stale(const char *phc, uint64_t passes, uint64_t memory_kib)
{
	char copy[SECRET_PHC_SIZE];

	return !phc_copy(copy, phc) ||
	       crypto_pwhash_str_needs_rehash(copy, passes, memory_kib * 1024) != 0;
}

/* Reads to the end of the file or to max bytes. -1 with errno set on failure. */
static ssize_t secret_read_all(int fd, char *p, size_t max)
{
	size_t len = 0;

	while (len < max) {
		ssize_t n = read(fd, p + len, max - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

static char *read_file(const char *path, mode_t forbidden, const char *forbidden_why, size_t *len,
	const char **why)
{
	struct stat st;
	char *p = NULL;
	ssize_t n;
	/* O_NONBLOCK: a FIFO must not hold the start up; it is refused below. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	*why = NULL;
	if (fd < 0 || fstat(fd, &st) != 0)
		*why = errno == ENOENT ? "it does not exist" : "it cannot be opened for reading";
	else if (!S_ISREG(st.st_mode))
		*why = "it is not a regular file";
	else if (st.st_mode & forbidden)
		*why = forbidden_why;
	if (*why)
		goto out;

	p = xmalloc(FILE_MAX + 2);
	n = secret_read_all(fd, p, FILE_MAX + 1);
	if (n < 0)
		*why = "it cannot be read";
	else if (n == 0)
		*why = "it is empty";
	else if ((size_t)n > FILE_MAX)
		*why = "it is larger than 64 KiB";
	if (*why) {
		sodium_memzero(p, FILE_MAX + 2);
		free(p);
		p = NULL;
		goto out;
	}
	p[n] = '\0';
	*len = (size_t)n;
out:
	if (fd >= 0)
		close(fd);
	return p;
}

char *secret_read_file(const char *path, size_t *len, const char **why)
{
	return read_file(path, S_IRWXO | S_IWGRP,
		"others may read it, or its group may write it (cure: chmod 0640 or 0600)", len,
		why);
}

char *secret_read_public_file(const char *path, size_t *len, const char **why)
{
	return read_file(path, S_IWOTH | S_IWGRP,
		"others or its group may write it (cure: chmod 0644)", len, why);
}

void secret_wipe(void *p, size_t len)
{
	if (p)
		sodium_memzero(p, len);
}
