/*
 * Is this server the one that events are written through? The ordering rule stands on locks, and
 * they are seen only there: on a replica, or a Galera node that does not write, a transaction in
 * flight elsewhere looks like an id that nobody has. Blocks as long as a query takes.
 */
#ifndef CMDB_WRITER_H
#define CMDB_WRITER_H

#include <stdbool.h>

#include "db.h"
#include "err.h"

struct writer {
	char server[320]; /* names the server, whatever address led to it */
	bool is_replica, is_read_only, is_cluster;
};

extern const struct db_set writer_sql; /* of each db that is asked */

enum err writer_look(struct db *db, struct writer *w) __attribute__((warn_unused_result));
/* Only which server it is. */
enum err writer_server(struct db *db, struct writer *w) __attribute__((warn_unused_result));
/* What speaks against it; NULL: nothing. is_named: the configuration says that events are written
 * there, by [events]. */
const char *writer_problem(const struct writer *w, bool is_named);

#endif
