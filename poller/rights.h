/*
 * What people may, as sessions were told it last: roles, departments and permissions. Kept once for
 * all who have the same, however many sessions that are. Loop thread.
 */
#ifndef CMDB_RIGHTS_H
#define CMDB_RIGHTS_H

#include "ops.h"
#include "perm.h"

struct rights;
struct rights_set {
	struct rights *all;
};

/* From perm_rights_put(), counted. NULL: these are none. */
struct rights *rights_get(struct rights_set *set, struct slice bytes);
void rights_put(struct rights_set *set, struct rights *r); /* takes NULL */
struct slice rights_bytes(const struct rights *r);         /* NULL: none */
/* Who the caller is with them. Its lists are borrowed from r, the rest is not filled in but for the
 * numbers. */
struct principal rights_of(const struct rights *r, const struct caller_view *c);

#endif
