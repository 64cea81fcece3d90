/*
 * Work for parked requests that may block on the database: Socket.IO events. The loop puts a park
 * in state PARK_WORKING here; a job thread, which has a database connection of its own, does its
 * kind's work() and gives it back to the loop (loop_worked()). First come, first served. In CGI
 * mode there are no such threads: main() does the work between two turns of the loop.
 */
#ifndef CMDB_JOBS_H
#define CMDB_JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct app;
struct jobs;
struct park;
struct worker;

struct jobs *jobs_new(struct app *app);
void jobs_free(struct jobs *j); /* takes NULL; when no thread uses it any more */
void jobs_start(struct jobs *j, size_t threads_n);
/* Lets the threads end once nothing is left to do. false: some still work at the deadline, and what
 * they use cannot be taken from them. */
bool jobs_stop(struct jobs *j, int64_t deadline_ms);
void jobs_add(struct jobs *j, struct park *p); /* the loop's thread */
/* CGI: does what there is to do. */
void jobs_run(struct jobs *j, struct worker *w);

#endif
