#include "cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "clock.h"
#include "mem.h"
#include "secret.h"

#define SHARDS 16
#define KEY_MAX 768 /* longer queries are not worth keeping */

struct entry {
	struct cached *answer;
	struct cache_note note;
	size_t size;
	UT_hash_handle hh;
	char key[];
};

struct shard {
	pthread_mutex_t lock;
	struct entry *entries; /* in the order they were added: the first is the oldest */
	pthread_mutex_t fill;  /* cache_lock_fill(); taken before lock */
};

struct cache {
	struct shard shards[SHARDS];
	atomic_size_t size; /* of all entries */
};

struct cached *cached_new(struct str *body, const uint64_t *tail)
{
	struct cached *c = xcalloc(1, sizeof(*c));
	uint8_t hash[SECRET_HASH_SIZE];
	char hex[17];

	atomic_init(&c->refs, 1);
	c->body = *body;
	*body = (struct str)STR_INIT;
	secret_hash(hash, str_c(&c->body), c->body.len);
	secret_hex(hex, hash, 8);
	secret_hash_short(c->key, str_c(&c->body), c->body.len);
	memcpy(c->etag, "W/\"", 3);
	memcpy(c->etag + 3, hex, 16);
	memcpy(c->etag + 19, "\"", 2);
	str_addf(&c->headers, "ETag: %s\r\nCache-Control: private, no-cache\r\n", c->etag);
	c->tail = tail ? *tail : 0;
	if (tail)
		str_addf(&c->headers, "X-Last-Event-Id: %llu\r\n", (unsigned long long)*tail);
	return c;
}

struct cached *cached_ref(struct cached *c)
{
	atomic_fetch_add(&c->refs, 1);
	return c;
}

void cached_put(struct cached *c)
{
	if (!c || atomic_fetch_sub(&c->refs, 1) > 1)
		return;
	str_fini(&c->headers);
	str_fini(&c->body);
	free(c);
}

bool cache_note(struct cache_note *n, const struct shm *page, uint32_t tenant_id, const char *topic)
{
	if (!shm_is_fresh(page))
		return false;
	n->page = page;
	/* The tail first: what is released after it raises the generation. */
	n->tail = atomic_load(&page->tail);
	n->gen = shm_gen(page, tenant_id, topic);
	n->at_ms = clock_ms();
	return true;
}

struct cache *cache_new(void)
{
	struct cache *c = xcalloc(1, sizeof(*c));

	for (size_t i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&c->shards[i].lock, NULL);
		pthread_mutex_init(&c->shards[i].fill, NULL);
	}
	atomic_init(&c->size, 0);
	return c;
}

static void remove_entry(struct cache *c, struct shard *s, struct entry *e)
{
	HASH_DEL(s->entries, e);
	atomic_fetch_sub(&c->size, e->size);
	cached_put(e->answer);
	free(e);
}

void cache_free(struct cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < SHARDS; i++) {
		while (c->shards[i].entries)
			remove_entry(c, &c->shards[i], c->shards[i].entries);
		pthread_mutex_destroy(&c->shards[i].lock);
		pthread_mutex_destroy(&c->shards[i].fill);
	}
	free(c);
}

/* tenant, path, '?', query. 0 if it is too long. */
static size_t cache_make_key(
	char key[KEY_MAX], uint32_t tenant_id, const char *path, const char *query)
{
	size_t p = strlen(path), q = strlen(query);

	if (sizeof(tenant_id) + p + 1 + q > KEY_MAX)
		return 0;
	memcpy(key, &tenant_id, sizeof(tenant_id));
	memcpy(key + sizeof(tenant_id), path, p);
	key[sizeof(tenant_id) + p] = '?';
	memcpy(key + sizeof(tenant_id) + p + 1, query, q);
	return sizeof(tenant_id) + p + 1 + q;
}

static struct shard *find_shard(struct cache *c, unsigned hash)
{
	return &c->shards[(hash >> 24) % SHARDS];
}

static bool is_old(const struct entry *e, int64_t now_ms)
{
	return now_ms - e->note.at_ms >= CACHE_MAX_AGE_MS;
}

struct cached *cache_get_since(struct cache *c, uint32_t tenant_id, const char *path,
	const char *query, const struct cache_note *now, int64_t asked_ms)
{
	char key[KEY_MAX];
	size_t len = cache_make_key(key, tenant_id, path, query);
	struct cached *answer = NULL;
	struct shard *s;
	struct entry *e;
	unsigned hash;

	if (len == 0)
		return NULL;
	HASH_VALUE(key, len, hash);
	s = find_shard(c, hash);
	pthread_mutex_lock(&s->lock);
	HASH_FIND_BYHASHVALUE(hh, s->entries, key, len, hash, e);
	if (e && (e->note.page != now->page || is_old(e, now->at_ms))) {
		remove_entry(c, s, e);
	} else if (e && (e->note.gen == now->gen || e->note.at_ms > asked_ms)) {
		answer = e->answer;
		atomic_fetch_add(&answer->refs, 1);
	}
	pthread_mutex_unlock(&s->lock);
	return answer;
}

struct cached *cache_get(struct cache *c, uint32_t tenant_id, const char *path, const char *query,
	const struct cache_note *now)
{
	return cache_get_since(c, tenant_id, path, query, now, INT64_MAX);
}

/* In one shard, with its lock: what can be served no more, and while there is too much, the oldest.
 */
static void cache_make_room(struct cache *c, struct shard *s, int64_t now_ms)
{
	while (s->entries &&
		(is_old(s->entries, now_ms) || atomic_load(&c->size) > CACHE_MAX_BYTES))
		remove_entry(c, s, s->entries);
}

void cache_add(struct cache *c, uint32_t tenant_id, const char *path, const char *query,
	const struct cache_note *note, struct cached *answer)
{
	char key[KEY_MAX];
	size_t len = cache_make_key(key, tenant_id, path, query);
	struct entry *e, *old;
	struct shard *s;
	unsigned hash;

	if (len == 0 || answer->body.len > CACHE_ANSWER_MAX)
		return;
	e = xcalloc(1, sizeof(*e) + len);
	e->answer = answer;
	atomic_fetch_add(&answer->refs, 1);
	e->note = *note;
	memcpy(e->key, key, len);
	e->size = sizeof(*e) + len + sizeof(*answer) + answer->body.len;
	HASH_VALUE(key, len, hash);
	s = find_shard(c, hash);
	pthread_mutex_lock(&s->lock);
	HASH_FIND_BYHASHVALUE(hh, s->entries, key, len, hash, old);
	if (old)
		remove_entry(c, s, old);
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, s->entries, e->key, len, hash, e);
	atomic_fetch_add(&c->size, e->size);
	pthread_mutex_unlock(&s->lock);
	/* This shard comes last: it has the newest. */
	for (size_t i = 1; i <= SHARDS; i++) {
		struct shard *other = &c->shards[((size_t)(s - c->shards) + i) % SHARDS];

		pthread_mutex_lock(&other->lock);
		cache_make_room(c, other, note->at_ms);
		pthread_mutex_unlock(&other->lock);
		if (atomic_load(&c->size) <= CACHE_MAX_BYTES)
			break;
	}
}

static pthread_mutex_t *find_fill(
	struct cache *c, uint32_t tenant_id, const char *path, const char *query)
{
	char key[KEY_MAX];
	size_t len = cache_make_key(key, tenant_id, path, query);
	unsigned hash;

	HASH_VALUE(key, len, hash);
	return &find_shard(c, hash)->fill;
}

void cache_lock_fill(struct cache *c, uint32_t tenant_id, const char *path, const char *query)
{
	pthread_mutex_lock(find_fill(c, tenant_id, path, query));
}

void cache_unlock_fill(struct cache *c, uint32_t tenant_id, const char *path, const char *query)
{
	pthread_mutex_unlock(find_fill(c, tenant_id, path, query));
}
