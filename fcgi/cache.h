/*
 * Rendered answers of ROUTE_CACHED routes, and all that is in a topic (sync.h), shared by the
 * threads of a process. Any thread.
 *
 * An answer may be served while the shared page's generation of (tenant, topic) is what it was
 * before the SELECT, the page's lease is good and the answer is younger than CACHE_MAX_AGE_MS.
 * Bounded in bytes; old ones go first.
 */
#ifndef CMDB_CACHE_H
#define CMDB_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "secret.h"
#include "shm.h"
#include "str.h"

#define CACHE_MAX_AGE_MS 1000
#define CACHE_MAX_BYTES (64u * 1024 * 1024)
#define CACHE_ANSWER_MAX (CACHE_MAX_BYTES / 4) /* a larger one is not kept */

/* A rendered answer, counted, immutable. */
struct cached {
	atomic_uint refs;
	char etag[24];
	uint8_t key[SECRET_SHORT_SIZE]; /* secret_hash_short() of the body */
	uint64_t tail;                  /* of its note; 0: not known */
	struct str headers;             /* ETag, X-Last-Event-Id, Cache-Control */
	struct str body;
};
/* Takes body (leaving it empty). tail NULL: not known. */
struct cached *cached_new(struct str *body, const uint64_t *tail);
struct cached *cached_ref(struct cached *c);
void cached_put(struct cached *c); /* takes NULL */

/* What must hold for an answer, noted before its SELECT. */
struct cache_note {
	const struct shm *page;
	uint32_t gen;
	uint64_t tail;
	int64_t at_ms;
};
/* false if the page is not fresh: then nothing can be kept, nor served. */
bool cache_note(
	struct cache_note *n, const struct shm *page, uint32_t tenant_id, const char *topic);

struct cache;
struct cache *cache_new(void);
void cache_free(struct cache *c); /* takes NULL */
/* A reference of the caller's, or NULL. now: the note made for this request. */
struct cached *cache_get(struct cache *c, uint32_t tenant_id, const char *path, const char *query,
	const struct cache_note *now);
/* The same for a request that came at asked_ms (monotonic): an answer noted later than that will
 * do, too, whatever has changed since. It must say as of which event it is. */
struct cached *cache_get_since(struct cache *c, uint32_t tenant_id, const char *path,
	const char *query, const struct cache_note *now, int64_t asked_ms);
void cache_add(struct cache *c, uint32_t tenant_id, const char *path, const char *query,
	const struct cache_note *note, struct cached *answer);
/* For answers that cost much and are wanted by many at once: one makes it, who wants the same waits
 * here and then looks again. Held over a SELECT. */
void cache_lock_fill(struct cache *c, uint32_t tenant_id, const char *path, const char *query);
void cache_unlock_fill(struct cache *c, uint32_t tenant_id, const char *path, const char *query);

#endif
