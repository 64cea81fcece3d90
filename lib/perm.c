#include "perm.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "mem.h"

void strlist_add(struct strlist *l, const char *s, size_t len)
{
	l->v = xreallocarray(l->v, l->n + 1, sizeof(*l->v));
	l->v[l->n++] = xstrndup(s, len);
}

bool strlist_has(const struct strlist *l, const char *s)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i], s) == 0)
			return true;
	return false;
}

static int perm_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void strlist_normalize(struct strlist *l)
{
	size_t kept = 0;

	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), perm_compare);
	for (size_t i = 0; i < l->n; i++) {
		if (kept && !strcmp(l->v[kept - 1], l->v[i]))
			free(l->v[i]);
		else
			l->v[kept++] = l->v[i];
	}
	l->n = kept;
}

bool strlist_same(const struct strlist *a, const struct strlist *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->v[i], b->v[i]) != 0)
			return false;
	return true;
}

void strlist_fini(struct strlist *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct strlist){0};
}

void strlist_put(struct str *out, const struct strlist *l)
{
	bytes_put(out, l->n, 2);
	for (size_t i = 0; i < l->n; i++)
		bytes_put_text(out, l->v[i]);
}

void strlist_get(struct bytes *b, struct strlist *l)
{
	size_t n = bytes_u16(b);

	for (size_t i = 0; i < n && !b->is_bad; i++) {
		struct slice t = bytes_text(b);

		if (!b->is_bad)
			strlist_add(l, t.p, t.len);
	}
}

/* The length of the word s begins with: a letter, then letters, digits, '_', '-', '.'. */
static size_t perm_word_len(const char *s)
{
	if (*s < 'a' || *s > 'z')
		return 0;
	return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-.");
}

bool perm_is_valid(const char *perm)
{
	if (strcmp(perm, "*") == 0)
		return true;
	size_t n = perm_word_len(perm);
	if (n == 0 || perm[n] != ':' || strlen(perm) > PERM_MAX)
		return false;
	const char *verb = perm + n + 1;
	if (strcmp(verb, "*") == 0)
		return true;
	n = perm_word_len(verb);
	return n > 0 && verb[n] == '\0';
}

static bool grants(const char *granted, const char *resource, size_t len, const char *verb)
{
	if (strcmp(granted, "*") == 0)
		return true;
	if (strncmp(granted, resource, len) != 0 || granted[len] != ':')
		return false;
	const char *v = granted + len + 1;
	return strcmp(v, "*") == 0 || strcmp(v, verb) == 0;
}

static bool any_grants(
	const struct principal *p, const char *resource, size_t len, const char *verb)
{
	for (size_t i = 0; i < p->perms.n; i++)
		if (grants(p->perms.v[i], resource, len, verb))
			return true;
	return false;
}

bool perm_has(const struct principal *p, const char *perm)
{
	const char *colon = strchr(perm, ':');
	if (!colon)
		return perm_is_all(p);
	return any_grants(p, perm, (size_t)(colon - perm), colon + 1);
}

bool perm_has2(const struct principal *p, const char *resource, const char *verb)
{
	return any_grants(p, resource, strlen(resource), verb);
}

bool perm_is_all(const struct principal *p)
{
	return strlist_has(&p->perms, "*");
}

/* ---- references ---- */

struct principal *principal_new(void)
{
	struct principal *p = xcalloc(1, sizeof(*p));

	atomic_init(&p->refs, 1);
	return p;
}

const struct principal *principal_ref(const struct principal *p)
{
	atomic_fetch_add_explicit(&((struct principal *)p)->refs, 1, memory_order_relaxed);
	return p;
}

void principal_unref(const struct principal *shared)
{
	struct principal *p = (struct principal *)shared; /* immutable, but for the count */

	if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) > 1)
		return;
	free(p->username);
	free(p->display_name);
	free(p->tenant);
	free(p->jti);
	perm_rights_fini(p);
	free(p);
}

/* ---- rights as bytes ---- */

void perm_rights_put(struct str *out, const struct principal *p)
{
	strlist_put(out, &p->roles);
	strlist_put(out, &p->departments);
	strlist_put(out, &p->perms);
}

bool perm_rights_get(struct bytes *b, struct principal *p)
{
	strlist_get(b, &p->roles);
	strlist_get(b, &p->departments);
	strlist_get(b, &p->perms);
	if (b->is_bad)
		perm_rights_fini(p);
	return !b->is_bad;
}

void perm_rights_fini(struct principal *p)
{
	strlist_fini(&p->roles);
	strlist_fini(&p->departments);
	strlist_fini(&p->perms);
}
