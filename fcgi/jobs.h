/*
 * Threads that do what may block, one job at a time: first come, first served, but who has fewest
 * at work goes first, so that one caller's requests, however many, keep nobody else waiting for
 * longer than one of them takes; and of the pools whose work may take long (JOBS_SLOW) one caller
 * leaves a thread to others. There are several such pools, so that none of these waits for another
 * kind (app.h): requests that came whole, those of them that read rows, those that change some,
 * those that search among many, the database work of parked requests (Socket.IO events), that of
 * those that ask for rows, and whatever hashes a password. A row or table that somebody has locked
 * stops those that want it, and nothing else: neither health nor polls nor who can be answered from
 * memory. Each thread is a struct worker with a database connection of its own, which it gives back
 * when it has had nothing to do for fcgi.db_idle_s; a job goes to the thread that was busy last, so
 * that a quiet process has one connection of each pool at most. In CGI mode there are no threads:
 * main() runs the jobs.
 */
#ifndef CMDB_JOBS_H
#define CMDB_JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/queue.h>

struct app;
struct worker;

/* To be embedded in what is worked on. run() may free it. */
struct job {
	void (*run)(struct job *j, struct worker *w);
	TAILQ_ENTRY(job) entry;
	int64_t added_ms;
	uint64_t owner; /* who it is for, caller_number(); 0: not known */
};

struct jobs;
struct jobs *jobs_new(struct app *app);
void jobs_free(struct jobs *j); /* takes NULL; when no thread uses it any more */
enum jobs_flag {
	JOBS_HASH = 1, /* of lower priority: they need all the processor there is */
	JOBS_SLOW = 2
};
void jobs_start(struct jobs *j, size_t threads_n, unsigned flags);
/* Lets the threads end once nothing is left to do. false: some still work at the deadline, and what
 * they use cannot be taken from them. */
bool jobs_stop(struct jobs *j, int64_t deadline_ms);

/* Any thread. false: `most` are waiting already. */
bool jobs_add(struct jobs *j, struct job *job, size_t most);
/* How many wait for a thread. */
size_t jobs_waiting_n(struct jobs *j);
/* CGI: does what there is to do. */
void jobs_run(struct jobs *j, struct worker *w);

#endif
