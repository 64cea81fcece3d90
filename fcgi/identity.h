/*
 * Who asks: from `Authorization: Bearer`, `X-API-Key` or `?token=` to a principal, with roles,
 * permissions and departments as the database has them now. When several are given the first of
 * these counts and the others are not looked at; an Authorization of another scheme is as good as
 * none. Any worker thread; may block on the worker's database.
 *
 * Cached by the BLAKE2b hash of the token or key, bounded, shared by the workers of a process. An
 * entry is good while the shared page's generation of (0, "_auth") is what it was before the
 * database was asked, the page's lease is good, the entry is younger than IDENTITY_MAX_AGE_MS and
 * the token has not expired; so a revocation counts within a second whatever way it was made. Every
 * change to users, roles or tokens publishes an "_auth" event.
 */
#ifndef CMDB_IDENTITY_H
#define CMDB_IDENTITY_H

#include "err.h"
#include "ops.h"
#include "route.h"

#define IDENTITY_MAX_AGE_MS 1000
#define IDENTITY_CACHE_MAX 8192

struct identities;
struct identities *identities_new(void);
void identities_free(struct identities *c);

/* Finds who asks. On ERR_OK *who is a reference of the caller's, for principal_unref(); NULL
 * on failure. ERR_UNAUTHENTICATED (nothing given), ERR_TOKEN_* (REVOKED also when user, tenant or
 * key is disabled), ERR_RATE_LIMITED (bad, as too many before from this address: throttle.h;
 * task->retry_s is set), ERR_DB_LOST and the like. */
enum err identity_get(struct task *task, const struct http_req *req, const struct principal **who)
	__attribute__((warn_unused_result));
/* The same for a token, or API key, that came by another way than the request's headers. */
enum identity_kind { IDENTITY_TOKEN, IDENTITY_APIKEY };
enum err identity_of_text(struct task *task, enum identity_kind kind, const char *text, size_t len,
	const struct principal **who) __attribute__((warn_unused_result));
/* Who the holder of a token or key found good before is by now. ERR_TOKEN_* if it is not good any
 * more, or of another tenant. */
enum err identity_of_caller(struct task *task, const struct caller_view *caller,
	const struct principal **who) __attribute__((warn_unused_result));
/* The user whose token came with the request, by its signature alone: 0 if there is none that is
 * good, or it is an API key. Asks nobody. */
uint64_t identity_claimed_user(struct task *task, const struct http_req *req);

#endif
