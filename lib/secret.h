/*
 * Randomness, hashes and passwords, all libsodium's. secret_init() first; then any thread.
 */
#ifndef CMDB_SECRET_H
#define CMDB_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECRET_HASH_SIZE 32
#define SECRET_SHORT_SIZE 16
#define SECRET_PASSWORD_MAX 1024 /* bytes; longer ones are refused before they are hashed */
#define SECRET_PHC_SIZE 128

void secret_init(void); /* log_fatal() if libsodium cannot start */
void secret_random(void *p, size_t len);
/* 2 * n lower-case hex digits of randomness and the NUL. */
void secret_random_hex(char *out, size_t n);
/* "<prefix>" and 43 URL-safe base64 characters (256 bits). out has 64 bytes. */
void secret_random_token(char out[64], const char *prefix);
/* BLAKE2b-256. */
void secret_hash(uint8_t out[SECRET_HASH_SIZE], const void *p, size_t len);
/* BLAKE2b-128: what ws_sessions knows a sid or private id by. */
void secret_hash_short(uint8_t out[SECRET_SHORT_SIZE], const void *p, size_t len);
bool secret_equal(const void *a, const void *b, size_t len); /* constant time */
void secret_hex(char *out, const uint8_t *p, size_t len);    /* 2 * len + 1 bytes */
/* URL-safe base64 without padding; out has SECRET_BASE64_SIZE(len) bytes, its NUL among them. */
#define SECRET_BASE64_SIZE(len) (((len)*4 + 2) / 3 + 1)
void secret_base64(char *out, const uint8_t *p, size_t len);

/* Argon2id, PHC string. Takes tens of milliseconds and memory_kib of memory; the caller bounds how
 * many run at once. */
bool secret_password_hash(char out[SECRET_PHC_SIZE], const char *password, size_t len,
	uint64_t passes, uint64_t memory_kib) __attribute__((warn_unused_result));
bool secret_password_verify(const char *phc, const char *password, size_t len);
/* Was phc made with other parameters than these (or is it no PHC string)? Then hash again at the
 * next login. */
bool secret_password_is_stale(const char *phc, uint64_t passes, uint64_t memory_kib);

/* Reads a whole small file (a key), at most 64 KiB, NUL added behind it. Refuses one that others
 * may read or write, or its group may write. NULL with *why set (static text) on failure; the
 * caller wipes with secret_wipe() and frees. */
char *secret_read_file(const char *path, size_t *len, const char **why);
/* The same for what is no secret but must be genuine (a public key): others may read it. */
char *secret_read_public_file(const char *path, size_t *len, const char **why);
void secret_wipe(void *p, size_t len);

#endif
