/*
 * A poller without threads or a database, whose log is what a test says, and peers that speak to it
 * as cmdb-fcgi does. Turned by whoever waits for something: no sleep, no clock of its own.
 */
#ifndef CMDB_WORLD_H
#define CMDB_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include <event2/buffer.h>

#include "config.h"
#include "hub.h"
#include "wire.h"

#define WORLD_TAIL 100 /* where the log begins */
#define WORLD_EPOCH "0123456789abcdef0123456789abcdef"

struct world {
	char dir[64];
	struct config cfg;
	struct event_base *base;
	struct hub *hub;
};

/* With these settings, "section.key=value", ending with NULL. */
void world_begin(struct world *w, const char *const *sets);
void world_end(struct world *w); /* its peers have ended */
/* One turn of the loop; waits for something to do, for at most a tick. */
void world_turn(struct world *w);
struct record *world_record(uint64_t id, uint32_t tenant_id, const char *topic, const char *room);
/* The log has released an event of the tenant; room "": of the topic's table. */
void world_release(
	struct world *w, uint64_t id, uint32_t tenant_id, const char *topic, const char *room);

struct peer {
	struct world *world;
	int fd;
	struct evbuffer *in, *out;
	struct wire_frame f; /* what peer_next() found */
	bool has_frame;
};

/* A process, let in. */
void peer_begin(struct peer *p, struct world *w, uint64_t process);
void peer_end(struct peer *p);
void peer_send(struct peer *p); /* what is in out */
/* The next frame it is sent, which has to be of this type; good until the next call. */
const struct wire_frame *peer_next(struct peer *p, enum wire_type type);
void peer_is_silent(struct peer *p); /* nothing is on its way to it */
void peer_hangs_up(struct peer *p);

#endif
