/*
 * A MariaDB of a test's own: in a new directory under TMPDIR, on a UNIX socket only, binlog on, the
 * account that runs the test is its administrator. It ends with the test, also when that crashes.
 */
#ifndef CMDB_TEST_MARIADB_H
#define CMDB_TEST_MARIADB_H

#include <sys/types.h>

#include "db.h"

struct mariadb {
	char dir[64];
	char socket[80];
	pid_t pid;
};

#define TEST_SKIPPED 77 /* what automake takes for "cannot be tested here" */

/* Starts it and waits until it answers. Says why and exits TEST_SKIPPED where MariaDB is not
 * installed, and 1 when it does not start. */
void mariadb_start(struct mariadb *m);
void mariadb_stop(struct mariadb *m);
/* As the administrator, with name as the default database (NULL: none). */
struct db_login mariadb_login(const struct mariadb *m, const char *name);

#endif
