#include "identity.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "mem.h"
#include "principal.h"
#include "secret.h"
#include "throttle.h"
#include "worker.h"

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

enum { KIND_TOKEN = IDENTITY_TOKEN, KIND_APIKEY = IDENTITY_APIKEY, KIND_CALLER };

/* What is shown to be known by. */
struct credential {
	int kind;
	const char *text;
	size_t len;
	uint8_t hash[SECRET_HASH_SIZE];
	struct str decoded;               /* ?token= */
	const struct caller_view *caller; /* KIND_CALLER */
};

/* An API key in the place of a token must not find what was kept for the key: the kind is part of
 * the key. */
struct entry_key {
	uint8_t kind;
	uint8_t hash[SECRET_HASH_SIZE];
};

struct entry {
	struct entry_key key;
	const struct principal *who;
	const struct shm *shm; /* the page that generation is of; compared, never followed */
	uint32_t generation;
	int64_t loaded_ms;
	UT_hash_handle hh;
};

/* uthash keeps the order of insertion, and an entry is replaced by inserting it anew: the first is
 * always the oldest. */
struct identities {
	pthread_mutex_t lock;
	struct entry *entries;
};

struct identities *identities_new(void)
{
	struct identities *c = xcalloc(1, sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	return c;
}

/* ---- the cache ---- */

static void entry_drop(struct identities *c, struct entry *entry)
{
	HASH_DEL(c->entries, entry);
	principal_unref(entry->who);
	free(entry);
}

void identities_free(struct identities *c)
{
	struct entry *entry, *next;

	if (!c)
		return;
	HASH_ITER (hh, c->entries, entry, next)
		entry_drop(c, entry);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static struct entry_key key_of(const struct credential *cred)
{
	struct entry_key key = {.kind = (uint8_t)cred->kind};

	memcpy(key.hash, cred->hash, sizeof(key.hash));
	return key;
}

static bool entry_is_good(const struct entry *entry, const struct shm *shm, int64_t now_ms)
{
	int64_t expires_at_s = entry->who->expires_at_s;

	return entry->shm == shm && entry->generation == shm_gen(shm, 0, EVENT_TOPIC_AUTH) &&
	       now_ms - entry->loaded_ms < IDENTITY_MAX_AGE_MS &&
	       (expires_at_s == 0 || expires_at_s > clock_wall_ms() / 1000);
}

/* A reference, or NULL. */
static const struct principal *cache_find(
	struct identities *c, const struct shm *shm, const struct credential *cred)
{
	struct entry_key key = key_of(cred);
	int64_t now_ms = clock_ms();
	const struct principal *who = NULL;
	struct entry *entry;

	if (!shm_is_fresh(shm))
		return NULL;
	pthread_mutex_lock(&c->lock);
	HASH_FIND(hh, c->entries, &key, sizeof(key), entry);
	if (entry && entry_is_good(entry, shm, now_ms))
		who = principal_ref(entry->who);
	pthread_mutex_unlock(&c->lock);
	return who;
}

/* Keeps who (a reference of its own); generation and loaded_ms are of before the database was
 * asked. */
static void cache_keep(struct identities *c, const struct shm *shm, uint32_t generation,
	int64_t loaded_ms, const struct credential *cred, const struct principal *who)
{
	struct entry *entry = xcalloc(1, sizeof(*entry)), *old;

	entry->key = key_of(cred);
	entry->who = principal_ref(who);
	entry->shm = shm;
	entry->generation = generation;
	entry->loaded_ms = loaded_ms;
	pthread_mutex_lock(&c->lock);
	HASH_FIND(hh, c->entries, &entry->key, sizeof(entry->key), old);
	if (old)
		entry_drop(c, old);
	/* Two go for one that comes, so what nobody asks for any more drains away. */
	for (int i = 0; i < 2; i++)
		if (c->entries && (c->entries->loaded_ms + IDENTITY_MAX_AGE_MS <= loaded_ms ||
					  HASH_COUNT(c->entries) >= IDENTITY_CACHE_MAX))
			entry_drop(c, c->entries);
	HASH_ADD(hh, c->entries, key, sizeof(entry->key), entry);
	pthread_mutex_unlock(&c->lock);
}

/* ---- finding out ---- */

/* The token of "Authorization: Bearer <token>" (RFC 6750 section 2.1); NULL for another scheme. */
static const char *bearer(const char *authorization, size_t *len)
{
	const char *p = authorization;

	if (strncasecmp(p, "Bearer", 6) != 0 || (p[6] != ' ' && p[6] != '\0'))
		return NULL;
	p += 6 + strspn(p + 6, " ");
	*len = strlen(p);
	while (*len > 0 && p[*len - 1] == ' ')
		--*len;
	return p;
}

/* ERR_UNAUTHENTICATED when nothing is given. What is given but empty is a bad token. */
static enum err credential_find(const struct http_req *req, struct credential *cred)
{
	bool bad = false;

	*cred = (struct credential){.kind = KIND_TOKEN};
	cred->text = bearer(req->authorization, &cred->len);
	if (!cred->text && *req->api_key) {
		cred->kind = KIND_APIKEY;
		cred->text = req->api_key;
		cred->len = strlen(cred->text);
	}
	if (!cred->text && strstr(req->query, "token") &&
		query_get(req->query, "token", &cred->decoded, &bad)) {
		cred->text = str_c(&cred->decoded);
		cred->len = cred->decoded.len;
	}
	if (!cred->text)
		return bad ? ERR_TOKEN_INVALID : ERR_UNAUTHENTICATED;
	return ERR_OK;
}

static enum err load_by_token(
	struct task *task, const struct credential *cred, struct principal **who)
{
	struct token_claims claims;
	enum err e = token_verify(task->worker->settings->key, cred->text, cred->len,
		clock_wall_ms() / 1000, &claims);

	if (e == ERR_OK)
		e = db_ensure(task->db);
	if (e == ERR_OK)
		e = principal_load_user(task->db, claims.user_id, claims.jti, claims.exp_s, who);
	if (e == ERR_OK && (*who)->tenant_id != claims.tenant_id) {
		/* The user has moved to another tenant since. */
		principal_unref(*who);
		*who = NULL;
		e = ERR_TOKEN_REVOKED;
	}
	return e;
}

static enum err load_by_apikey(
	struct task *task, const struct credential *cred, struct principal **who)
{
	enum err e = db_ensure(task->db);

	return e == ERR_OK ? principal_load_apikey(task->db, cred->hash, who) : e;
}

static enum err load_by_caller(
	struct task *task, const struct caller_view *caller, struct principal **who)
{
	enum err e = db_ensure(task->db);
	char *jti;

	if (e != ERR_OK)
		return e;
	if (caller->apikey_id) {
		e = principal_load_apikey_id(task->db, caller->apikey_id, who);
	} else {
		jti = slice_dup(caller->jti);
		e = principal_load_user(task->db, caller->user_id, jti, caller->expires_s, who);
		free(jti);
	}
	if (e == ERR_OK && (*who)->tenant_id != caller->tenant_id) {
		principal_unref(*who);
		*who = NULL;
		e = ERR_TOKEN_REVOKED;
	}
	return e;
}

/* Asks the database, and again if the connection turns out to be lost: nothing was changed. */
static enum err load(struct task *task, const struct credential *cred, struct principal **who)
{
	enum err e = ERR_DB_LOST;

	for (int i = 0; i < 2 && e == ERR_DB_LOST; i++) {
		if (cred->kind == KIND_CALLER)
			e = load_by_caller(task, cred->caller, who);
		else if (cred->kind == KIND_APIKEY)
			e = load_by_apikey(task, cred, who);
		else
			e = load_by_token(task, cred, who);
	}
	return e;
}

/* In the cache or, else, in the database. */
static enum err identity_find(
	struct task *task, const struct credential *cred, const struct principal **who)
{
	struct identities *cache = task->worker->app->identities;
	const struct shm *shm = task->shm;
	struct principal *loaded = NULL;
	int64_t now_ms = clock_ms();
	uint32_t generation;
	enum err e;

	*who = cache_find(cache, shm, cred);
	if (*who)
		return ERR_OK;
	generation = shm ? shm_gen(shm, 0, EVENT_TOPIC_AUTH) : 0;
	e = load(task, cred, &loaded);
	if (e != ERR_OK)
		return e;
	*who = loaded;
	if (shm)
		cache_keep(cache, shm, generation, now_ms, cred, *who);
	return ERR_OK;
}

/* Counts a bad token or key. It is bad whether or not that could be counted. */
static enum err count_bad(struct task *task, enum err e)
{
	if (e == ERR_TOKEN_INVALID && db_ensure(task->db) == ERR_OK &&
		throttle_bad_token(task) == ERR_RATE_LIMITED)
		return ERR_RATE_LIMITED;
	return e;
}

enum err identity_get(struct task *task, const struct http_req *req, const struct principal **who)
{
	struct credential cred;
	enum err e = credential_find(req, &cred);

	*who = NULL;
	if (e == ERR_OK) {
		secret_hash(cred.hash, cred.text, cred.len);
		e = identity_find(task, &cred, who);
	}
	str_fini(&cred.decoded);
	return count_bad(task, e);
}

enum err identity_of_text(struct task *task, enum identity_kind kind, const char *text, size_t len,
	const struct principal **who)
{
	struct credential cred = {.kind = (int)kind, .text = text, .len = len};

	secret_hash(cred.hash, text, len);
	return count_bad(task, identity_find(task, &cred, who));
}

enum err identity_of_caller(
	struct task *task, const struct caller_view *caller, const struct principal **who)
{
	struct credential cred = {.kind = KIND_CALLER, .caller = caller};
	struct str name = STR_INIT;

	*who = NULL;
	if (caller->expires_s && caller->expires_s <= clock_wall_ms() / 1000)
		return ERR_TOKEN_EXPIRED;
	bytes_put(&name, caller->tenant_id, 4);
	bytes_put(&name, caller->apikey_id, 8);
	bytes_put(&name, caller->user_id, 8);
	bytes_put_slice(&name, caller->jti);
	secret_hash(cred.hash, name.p, name.len);
	str_fini(&name);
	return identity_find(task, &cred, who);
}

uint64_t identity_claimed_user(struct task *task, const struct http_req *req)
{
	struct credential cred;
	struct token_claims claims;
	uint64_t user_id = 0;

	if (credential_find(req, &cred) == ERR_OK && cred.kind == KIND_TOKEN &&
		token_verify(task->worker->settings->key, cred.text, cred.len,
			clock_wall_ms() / 1000, &claims) == ERR_OK)
		user_id = claims.user_id;
	str_fini(&cred.decoded);
	return user_id;
}
