#include "tables.h"

#include <string.h>

#include "admin_connect.h"
#include "auth.h"
#include "devices.h"
#include "events.h"
#include "family.h"
#include "hosts.h"
#include "health.h"
#include "log_store.h"
#include "log_candidates.h"
#include "log_replay.h"
#include "log_search.h"
#include "login.h"
#include "logs.h"
#include "logs_query.h"
#include "on_admin.h"
#include "on_auth.h"
#include "on_log.h"
#include "on_subscribe.h"
#include "on_sync.h"
#include "principal.h"
#include "resources.h"
#include "seen.h"
#include "socket_connect.h"
#include "socket_echo.h"
#include "sync.h"
#include "throttle.h"
#include "txn.h"
#include "ws.h"

/* Events of a namespace, a table a subject. The second place is for the streams', which are made at
 * the start. */
static const struct socket_event *main_events[] = {
	on_auth_events, NULL, on_subscribe_events, on_log_events, NULL};
static const struct socket_event *const admin_events[] = {on_auth_events, on_admin_events, NULL};

struct routes *tables_routes(void)
{
	struct routes *rs = routes_new();
	size_t n;
	const struct route *resources = resource_routes(&n);

	main_events[1] = on_sync_events();
	routes_add(rs, auth_routes, auth_routes_n);
	routes_add(rs, events_routes, events_routes_n);
	routes_add(rs, health_routes, health_routes_n);
	routes_add(rs, ws_routes, ws_routes_n);
	routes_add(rs, logs_routes, logs_routes_n);
	routes_add(rs, devices_routes, devices_routes_n);
	routes_add(rs, logs_query_routes, logs_query_routes_n);
	routes_add(rs, resources, n);
	return rs;
}

#define MAIN                                                                       \
	{                                                                          \
		.name = "/", .connect = socket_connect_main, .events = main_events \
	}

const struct socket_namespace *tables_namespaces(const struct config *cfg)
{
	static const struct socket_namespace all[] = {
		MAIN,
		{.name = "/admin", .connect = admin_connect, .events = admin_events},
		{0},
	};
	static const struct socket_namespace without_admin[] = {MAIN, {0}};

	if (strcmp(cfg->conformance.app, "echo-socketio") == 0)
		return socket_echo_namespaces;
	return strcmp(cfg->socketio.admin, "off") == 0 ? without_admin : all;
}

const struct db_set *const *tables_sql(void)
{
	/* The first two places are for those that are made at the start. */
	static const struct db_set *sets[] = {NULL, NULL, &event_sql, &txn_sql, &principal_sql,
		&throttle_sql, &family_sql, &login_sql, &socket_connect_sql, &sync_sql, &seen_sql,
		&hosts_sql, &log_search_sql, &log_candidates_sql, &log_replay_sql, NULL};

	sets[0] = resource_sql();
	sets[1] = log_store_sql();
	return sets;
}
