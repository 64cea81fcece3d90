#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void host_look_at_memory(struct host *h)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long long kib;
	char line[128];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "MemTotal: %llu kB", &kib) == 1)
			h->memory_bytes = kib * 1024;
		else if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			h->free_bytes = kib * 1024;
	}
	if (f)
		fclose(f);
}

void host_look(struct host *h)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	*h = (struct host){.processors_n = n > 0 ? (uint64_t)n : 0};
	if (getloadavg(h->load, 3) < 0)
		h->load[0] = h->load[1] = h->load[2] = 0;
	host_look_at_memory(h);
}
