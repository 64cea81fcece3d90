/*
 * Access tokens: JWT (RFC 7519) signed by libjwt with one pinned algorithm, and what a token must
 * say to be taken. A struct token_key is made at the start and on reload, immutable between; any
 * thread. Nothing here looks at the database: revocation is the caller's.
 */
#ifndef CMDB_TOKEN_H
#define CMDB_TOKEN_H

#include "config.h"
#include "err.h"
#include "perm.h"
#include "str.h"

#define TOKEN_MAX 8192 /* bytes; longer ones are neither issued nor looked at */

struct token_key;

/* Reads the key files that cfg->auth names: HS256 a secret of at least 32 bytes (key_file; line
 * breaks at its end do not belong to it); RS256 (2048 bits or more) and ES256 key_file (private,
 * PEM without passphrase; its name may be empty for a program that only verifies) and
 * public_key_file. The pair is tried once. NULL with *why saying what is wrong and the cure. */
struct token_key *token_key_load(const struct config *cfg, struct str *why);
void token_key_free(struct token_key *k); /* wipes */

/* Signs a token for p, valid from now_s for ttl_s; p->jti is its jti (32 lower-case hex digits).
 * Claims: sub (user id, as a string), name, tenant (its id, a number), roles, departments, jti,
 * iat, nbf, exp, iss, aud. ERR_INTERNAL: no private key, or longer than TOKEN_MAX. */
enum err token_issue(const struct token_key *k, const struct principal *p, int64_t now_s,
	int64_t ttl_s, struct str *out) __attribute__((warn_unused_result));

/* What a good token claims. */
struct token_claims {
	uint64_t user_id;
	uint32_t tenant_id;
	char jti[33];
	int64_t iat_s, exp_s;
};
/* ERR_TOKEN_INVALID (malformed, other algorithm, wrong signature, issuer, audience, not yet valid,
 * a claim missing or of the wrong type), ERR_TOKEN_EXPIRED (good but for its age). The algorithm in
 * the header must be the pinned one, byte for byte. nbf and iat may be auth.leeway_s ahead of
 * now_s; exp has no leeway, so that an expired token is of no use at once. */
enum err token_verify(const struct token_key *k, const char *token, size_t len, int64_t now_s,
	struct token_claims *out) __attribute__((warn_unused_result));

#endif
