#include "route.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "mem.h"

#define PATH_MAX_LEN 256 /* no pattern is longer, so a longer path is unknown */
#define SAME_PATTERN_MAX 8

/* All routes of one pattern. */
struct pattern {
	const char *text;
	const struct route *routes[SAME_PATTERN_MAX];
	size_t n;
	unsigned methods;
	UT_hash_handle hh;
};

struct routes {
	struct pattern *patterns;
};

struct routes *routes_new(void)
{
	return xcalloc(1, sizeof(struct routes));
}

void routes_free(struct routes *rs)
{
	struct pattern *p, *next;

	if (!rs)
		return;
	HASH_ITER (hh, rs->patterns, p, next) {
		HASH_DEL(rs->patterns, p);
		free(p);
	}
	free(rs);
}

void routes_add(struct routes *rs, const struct route *table, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct pattern *p;

		HASH_FIND_STR(rs->patterns, table[i].pattern, p);
		if (!p) {
			p = xcalloc(1, sizeof(*p));
			p->text = table[i].pattern;
			HASH_ADD_KEYPTR(hh, rs->patterns, p->text, strlen(p->text), p);
		}
		assert(!(p->methods & table[i].methods) && p->n < SAME_PATTERN_MAX);
		p->routes[p->n++] = &table[i];
		p->methods |= table[i].methods;
	}
}

static const struct pattern *find_pattern(const struct routes *rs, const char *path, size_t len)
{
	struct pattern *p;

	HASH_FIND(hh, rs->patterns, path, len, p);
	return p;
}

/* Tries path with each of its decimal segments as {id}, the last one first. */
static const struct pattern *find_template(
	const struct routes *rs, const char *path, size_t len, uint64_t *id)
{
	static const char mark[] = "{id}";
	char text[PATH_MAX_LEN + sizeof(mark)], digits[24];
	size_t end = len;

	while (end > 0) {
		size_t start = end;
		const struct pattern *p;

		while (start > 0 && path[start - 1] != '/')
			start--;
		if (end > start && end - start < sizeof(digits)) {
			memcpy(digits, path + start, end - start);
			digits[end - start] = '\0';
			if (digits[0] != '0' && parse_u64(digits, 1, INT64_MAX, id)) {
				size_t tail = len - end;

				memcpy(text, path, start);
				memcpy(text + start, mark, sizeof(mark) - 1);
				memcpy(text + start + sizeof(mark) - 1, path + end, tail);
				p = find_pattern(rs, text, start + sizeof(mark) - 1 + tail);
				if (p)
					return p;
			}
		}
		end = start > 0 ? start - 1 : 0;
	}
	return NULL;
}

const struct route *routes_find(const struct routes *rs, enum http_method method, const char *path,
	uint64_t *id, unsigned *allowed)
{
	size_t len = strlen(path);
	const struct pattern *p = NULL;

	*id = 0;
	*allowed = 0;
	if (len <= PATH_MAX_LEN) {
		p = find_pattern(rs, path, len);
		if (!p || strstr(p->text, "{id}"))
			p = find_template(rs, path, len, id);
	}
	if (!p)
		return NULL;
	*allowed = p->methods;
	for (size_t i = 0; i < p->n; i++)
		if (p->routes[i]->methods & method)
			return p->routes[i];
	return NULL;
}
