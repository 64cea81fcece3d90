#include "tables.h"

#include "auth.h"
#include "events.h"
#include "family.h"
#include "health.h"
#include "principal.h"
#include "resources.h"
#include "throttle.h"
#include "txn.h"

struct routes *tables_routes(void)
{
	struct routes *rs = routes_new();
	size_t n;
	const struct route *resources = resource_routes(&n);

	routes_add(rs, auth_routes, auth_routes_n);
	routes_add(rs, events_routes, events_routes_n);
	routes_add(rs, health_routes, health_routes_n);
	routes_add(rs, resources, n);
	return rs;
}

const struct db_set *const *tables_sql(void)
{
	/* The first place is for the resources', which are made at the start. */
	static const struct db_set *sets[] = {NULL, &event_sql, &txn_sql, &health_sql,
		&principal_sql, &throttle_sql, &family_sql, &auth_sql, NULL};

	sets[0] = resource_sql();
	return sets;
}
