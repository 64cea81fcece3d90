/*
 * How the machine is: its load and memory, of the host and not of a tenant. Any thread; reads
 * /proc. What cannot be found out is 0.
 */
#ifndef CMDB_HOST_H
#define CMDB_HOST_H

#include <stdint.h>

struct host {
	double load[3]; /* of 1, 5 and 15 minutes */
	uint64_t processors_n;
	uint64_t memory_bytes, free_bytes; /* free: what programs could get without swapping */
};

void host_look(struct host *h);

#endif
