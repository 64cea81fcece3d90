/*
 * What whoever is at work on a worker has, whether for a request (struct ctx, route.h) or for the
 * events of a socket (struct socket_work, socket.h): the worker with its database and
 * configuration, and whom it is for. That thread's only.
 */
#ifndef CMDB_TASK_H
#define CMDB_TASK_H

#include <stdint.h>

struct config;
struct db;
struct principal;
struct shm;
struct worker;

struct task {
	struct worker *worker;
	const struct config *cfg;
	struct db *db;               /* the worker's */
	const struct shm *shm;       /* NULL when there is no poller */
	const struct principal *who; /* NULL: nobody, or not known */
	const char *address;         /* of the client */
	const char *request_id;
	int64_t arrived_ms; /* clock_ms() before anything was asked */
	int64_t retry_s;    /* when to try again after ERR_RATE_LIMITED; 0: err_retry_s() */
};

#endif
