/*
 * Finding tenants, users and roles by the names people give them, and what such a name may be.
 */
#ifndef CMDB_CLI_PEOPLE_H
#define CMDB_CLI_PEOPLE_H

#include "change.h"

extern const struct db_set people_sql;

/* The calls below return ERR_NOT_FOUND with ch->problem saying how to see what there is. */
enum err people_tenant(struct change *ch, const char *name, uint32_t *id);
enum err people_role(struct change *ch, const char *name, uint32_t *id);

struct person {
	uint64_t id;
	uint32_t tenant_id;
	bool is_active;
};
enum err people_user(struct change *ch, const char *name, struct person *p);
/* Gives a user a role; ERR_NOT_FOUND as above. Having it already is no error. */
enum err people_grant_role(struct change *ch, uint64_t user_id, const char *role);
/* Puts a user into a department of its tenant, which is made if there is none. Being in it already
 * is no error. */
enum err people_join_department(struct change *ch, const struct person *p, const char *department);

/* Is text fit to name a tenant, user, role, department or key? Says so if not ("a role's name
 * ..."). */
bool people_name_is_valid(const char *what, const char *text);
/* Is text UTF-8 without control characters, at most max characters? Says so if not. */
bool people_text_is_valid(const char *what, const char *text, size_t max);
/* Is it a permission, `<resource>:<verb>`, `<resource>:*` or `*`? Says so if not. */
bool people_perm_is_valid(const char *text);

#endif
