#include "tables.h"

#include "events.h"
#include "health.h"
#include "txn.h"

struct routes *tables_routes(void)
{
	struct routes *rs = routes_new();

	routes_add(rs, events_routes, events_routes_n);
	routes_add(rs, health_routes, health_routes_n);
	return rs;
}

const struct db_set *const *tables_sql(void)
{
	static const struct db_set *const sets[] = {&event_sql, &txn_sql, &health_sql, NULL};

	return sets;
}
