/*
 * What one host has the pollers of others do, by events of the internal topic "_hosts": whoever
 * asks for it publishes one, and each poller does what concerns it as soon as it reads it. The
 * event's tenant is whose things it is about; 0: of all.
 *
 * Payloads: {"disconnect":"<id of the connection>","node":N}, for the poller of host N;
 * {"cast":[name,data],"room":"","node":N}, for the pollers of all hosts but N, where it is done.
 *
 * The calls with a db block; whichever thread owns that.
 */
#ifndef CMDB_HOSTS_H
#define CMDB_HOSTS_H

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "db.h"
#include "str.h"

#define HOSTS_SEEN_S 60 /* a poller that has not been seen for so long is not there */
/* ... by its row of ws_pollers. */
#define HOSTS_IS_THERE "seen_at > NOW(3) - INTERVAL 60 SECOND"

enum hosts_what { HOSTS_DISCONNECT = 1, HOSTS_CAST };

struct hosts_event {
	enum hosts_what what;
	int64_t node_id;
	char *id;        /* of the connection */
	char *room;      /* "": all */
	struct str args; /* as of CAST (wire.h) */
};

void hosts_put_disconnect(struct str *out, int64_t node_id, struct slice id);
void hosts_put_cast(struct str *out, int64_t node_id, const char *room, struct slice args);
/* false: it is none, and nothing is left to free. */
bool hosts_event_read(struct hosts_event *e, const char *json, size_t len);
void hosts_event_fini(struct hosts_event *e);

extern const struct db_set hosts_sql;

/* Are there hosts besides this one? */
enum err hosts_are_several(struct db *db, int64_t node_id, bool *are)
	__attribute__((warn_unused_result));
/* The other host on which a tenant's (0: anybody's) connection is, as its poller has written it
 * down; 0: it is on none. */
enum err hosts_find(struct db *db, int64_t node_id, uint32_t tenant_id, struct slice id,
	int64_t *where) __attribute__((warn_unused_result));

#endif
