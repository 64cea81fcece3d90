/*
 * Who asks, and what that identity may do. Permissions are `<resource>:<verb>`; `*` grants all,
 * `<resource>:*` all verbs of a resource. A principal is immutable once made and counted, so
 * threads may share one.
 */
#ifndef CMDB_PERM_H
#define CMDB_PERM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes;
struct str;

struct strlist {
	char **v;
	size_t n;
};
void strlist_add(struct strlist *l, const char *s, size_t len); /* copies */
bool strlist_has(const struct strlist *l, const char *s);
/* The same texts in the same order? */
bool strlist_same(const struct strlist *a, const struct strlist *b);
void strlist_normalize(struct strlist *l); /* sorts it, and drops doubles */
void strlist_fini(struct strlist *l);
void strlist_put(struct str *out, const struct strlist *l); /* as bytes (bytes.h) */
void strlist_get(struct bytes *b, struct strlist *l);       /* adds them */

struct principal {
	atomic_uint refs;
	uint64_t user_id; /* 0 for an API key */
	uint64_t apikey_id;
	uint32_t tenant_id;
	char *username;
	char *display_name;
	char *tenant; /* its name */
	struct strlist roles, departments, perms;
	char *jti;            /* of the access token; NULL for an API key */
	int64_t expires_at_s; /* wall clock, seconds since 1970; 0: never */
};

#define PERM_MAX 64 /* bytes */

/* Syntax: two lower-case words with ':' between, '*' as said. */
bool perm_is_valid(const char *perm);
bool perm_has(const struct principal *p, const char *perm);
/* "<resource>:<verb>" without building the text. */
bool perm_has2(const struct principal *p, const char *resource, const char *verb);
bool perm_is_all(const struct principal *p); /* has "*" */

/* Roles, departments and permissions as bytes. */
void perm_rights_put(struct str *out, const struct principal *p);
/* Into p, which has none; its owner frees them with perm_rights_fini(). false: these are none, and
 * nothing is there. */
bool perm_rights_get(struct bytes *b, struct principal *p);
void perm_rights_fini(struct principal *p);

struct principal *principal_new(void); /* empty, one reference */
const struct principal *principal_ref(const struct principal *p);
void principal_unref(const struct principal *p); /* takes NULL */

#endif
