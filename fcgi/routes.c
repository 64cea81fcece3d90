#include "route.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "mem.h"
#include "text.h"

#define SAME_PATTERN_MAX 8

/* All routes of one pattern. */
struct pattern {
	const char *text;
	const struct route *routes[SAME_PATTERN_MAX];
	size_t n;
	unsigned methods;
	struct pattern *next; /* of those with {..} */
	UT_hash_handle hh;
};

struct routes {
	struct pattern *patterns;
	struct pattern *templates;
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

/* ---- segments ---- */

/* The next segment of *at, which moves on; false at the end. */
static bool next_segment(const char **at, struct slice *segment)
{
	if (**at != '/')
		return false;
	segment->p = ++*at;
	segment->len = strcspn(*at, "/");
	*at += segment->len;
	return true;
}

static bool is_param(struct slice s)
{
	return s.len > 2 && s.p[0] == '{' && s.p[s.len - 1] == '}';
}

static bool routes_is_decimal(struct slice s)
{
	return slice_is(s, "{id}") || (s.len > 5 && memcmp(s.p + s.len - 4, "_id}", 4) == 0);
}

static bool take_decimal(struct slice s, uint64_t *id)
{
	char digits[24];

	if (s.len < 1 || s.len >= sizeof(digits) || s.p[0] == '0')
		return false;
	memcpy(digits, s.p, s.len);
	digits[s.len] = '\0';
	return parse_u64(digits, 1, INT64_MAX, id);
}

static bool routes_is_text(struct slice s)
{
	return s.len <= ROUTE_TEXT_MAX && text_is_segment(s.p, s.len);
}

/* Does the segment of a pattern match that of a path? */
static bool take_segment(struct slice pattern, struct slice segment, struct route_params *params)
{
	uint64_t id = 0;

	if (!is_param(pattern))
		return pattern.len == segment.len && memcmp(pattern.p, segment.p, segment.len) == 0;
	if (routes_is_decimal(pattern) ? !take_decimal(segment, &id) : !routes_is_text(segment))
		return false;
	params->v[params->n].text = segment;
	params->v[params->n++].id = id;
	return true;
}

static bool matches(const char *pattern, const char *path, struct route_params *params)
{
	struct slice want, is;

	params->n = 0;
	while (next_segment(&pattern, &want))
		if (!next_segment(&path, &is) || !take_segment(want, is, params))
			return false;
	return *path == '\0';
}

/* ---- the table ---- */

/* Is there a path that both match? */
static bool overlap(const char *a, const char *b)
{
	struct slice in_a, in_b;
	struct route_params unused = {0};
	bool has_a = next_segment(&a, &in_a), has_b = next_segment(&b, &in_b);

	for (; has_a && has_b; has_a = next_segment(&a, &in_a), has_b = next_segment(&b, &in_b)) {
		unused.n = 0;
		if (is_param(in_a) && is_param(in_b))
			continue;
		if (is_param(in_b) ? !take_segment(in_b, in_a, &unused)
				   : !take_segment(in_a, in_b, &unused))
			return false;
	}
	return has_a == has_b;
}

static struct pattern *add_pattern(struct routes *rs, const char *text)
{
	struct pattern *p = xcalloc(1, sizeof(*p));
	const char *at = text;
	struct slice segment;
	size_t params_n = 0;

	while (next_segment(&at, &segment))
		params_n += is_param(segment);
	assert(*at == '\0' && params_n <= ROUTE_PARAMS_MAX);
	p->text = text;
	HASH_ADD_KEYPTR(hh, rs->patterns, p->text, strlen(p->text), p);
	if (params_n == 0)
		return p;
	for (const struct pattern *other = rs->templates; other; other = other->next)
		assert(!overlap(text, other->text));
	p->next = rs->templates;
	rs->templates = p;
	return p;
}

void routes_add(struct routes *rs, const struct route *table, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct pattern *p;

		HASH_FIND_STR(rs->patterns, table[i].pattern, p);
		if (!p)
			p = add_pattern(rs, table[i].pattern);
		assert(!(p->methods & table[i].methods) && p->n < SAME_PATTERN_MAX);
		p->routes[p->n++] = &table[i];
		p->methods |= table[i].methods;
	}
}

static const struct pattern *find_template(
	const struct routes *rs, const char *path, struct route_params *params)
{
	const struct pattern *p = rs->templates;

	while (p && !matches(p->text, path, params))
		p = p->next;
	return p;
}

const struct route *routes_find(const struct routes *rs, enum http_method method, const char *path,
	struct route_params *params, unsigned *allowed)
{
	const struct pattern *p;
	struct pattern *exact;

	*params = (struct route_params){0};
	*allowed = 0;
	HASH_FIND_STR(rs->patterns, path, exact);
	/* No path has the braces of a pattern: they are no text that a {..} takes. */
	p = exact && !strchr(path, '{') ? exact : find_template(rs, path, params);
	if (!p)
		return NULL;
	*allowed = p->methods;
	for (size_t i = 0; i < p->n; i++)
		if (p->routes[i]->methods & method)
			return p->routes[i];
	return NULL;
}
