#include "channel.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "hub.h"
#include "mem.h"

struct channel {
	char *key;
	struct group **groups;
	size_t n, cap;
	uint64_t found_for;
	UT_hash_handle hh;
};

#define KEY_MAX 512 /* what is longer is cut */

struct key {
	char bytes[KEY_MAX];
	size_t len;
};

static void channel_add(struct key *k, const void *p, size_t len)
{
	if (len > KEY_MAX - k->len)
		len = KEY_MAX - k->len;
	memcpy(k->bytes + k->len, p, len);
	k->len += len;
}

static void make_key(struct key *k, const struct channel_name *name)
{
	char kind = (char)name->kind;

	k->len = 0;
	channel_add(k, &name->tenant_id, sizeof(name->tenant_id));
	channel_add(k, &kind, 1);
	channel_add(k, name->name, strlen(name->name));
	if (!name->key.len)
		return;
	channel_add(k, "", 1);
	channel_add(k, name->key.p, name->key.len);
}

static struct channel *find(struct hub *hub, const struct key *k)
{
	struct channel *ch;

	HASH_FIND(hh, hub->channels, k->bytes, k->len, ch);
	return ch;
}

/* Of most keys that are looked up there is no channel, and this says so for next to nothing: counts
 * of the channels of keys, by a hash of the key alone. */
#define COUNTS 65536u

static uint16_t *count_of(struct hub *hub, struct slice key)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	if (!hub->channel_keys)
		hub->channel_keys = xcalloc(COUNTS, sizeof(*hub->channel_keys));
	for (size_t i = 0; i < key.len; i++)
		hash = (hash ^ (unsigned char)key.p[i]) * 16777619u;
	return &hub->channel_keys[(hash ^ hash >> 16) % COUNTS];
}

/* One that was full once stays so. */
static void count(struct hub *hub, const struct channel_name *name, int by)
{
	uint16_t *n = name->kind == CHANNEL_KEY ? count_of(hub, name->key) : NULL;

	if (n && *n < UINT16_MAX)
		*n = (uint16_t)(*n + by);
}

struct channel *channel_find(struct hub *hub, const struct channel_name *name)
{
	struct key k;

	if (name->kind == CHANNEL_KEY && !*count_of(hub, name->key))
		return NULL;
	make_key(&k, name);
	return find(hub, &k);
}

void channels_free(struct hub *hub)
{
	free(hub->channel_keys);
	hub->channel_keys = NULL;
}

bool channel_was_found(struct channel *ch, uint64_t entry)
{
	bool was_found = ch->found_for == entry;

	ch->found_for = entry;
	return was_found;
}

struct group *channel_at(const struct channel *ch, size_t i)
{
	return ch && i < ch->n ? ch->groups[i] : NULL;
}

void channel_join(struct hub *hub, struct group *g, const struct channel_name *name)
{
	struct channel *ch;
	struct key k;

	make_key(&k, name);
	ch = find(hub, &k);
	if (!ch) {
		ch = xcalloc(1, sizeof(*ch));
		ch->key = xmalloc(k.len);
		memcpy(ch->key, k.bytes, k.len);
		HASH_ADD_KEYPTR(hh, hub->channels, ch->key, k.len, ch);
		count(hub, name, 1);
	}
	if (ch->n == ch->cap) {
		ch->cap = ch->cap ? ch->cap * 2 : 4;
		ch->groups = xreallocarray(ch->groups, ch->cap, sizeof(struct group *));
	}
	ch->groups[ch->n++] = g;
}

void channel_leave(struct hub *hub, struct group *g, const struct channel_name *name)
{
	struct channel *ch = channel_find(hub, name);

	for (size_t i = 0; i < ch->n; i++) {
		if (ch->groups[i] == g) {
			ch->groups[i] = ch->groups[--ch->n];
			break;
		}
	}
	if (ch->n == 0) {
		HASH_DEL(hub->channels, ch);
		count(hub, name, -1);
		free(ch->groups);
		free(ch->key);
		free(ch);
	}
}
