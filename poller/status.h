/*
 * What a poller tells of itself: its status, and the figures of /metrics in the shared page
 * (lib/shm.h). The loop thread's.
 */
#ifndef CMDB_STATUS_H
#define CMDB_STATUS_H

#include "str.h"

struct hub;

void status_render(struct hub *hub, struct str *json);
void status_publish(struct hub *hub); /* into the shared page, for /metrics */

#endif
