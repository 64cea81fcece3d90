/*
 * Packets for one client, in order: pieces of text of its own, and shared bodies (shared.h) with
 * what makes a packet of them. {0} is empty. The loop thread's.
 */
#ifndef CMDB_PACKETS_H
#define CMDB_PACKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/buffer.h>

#include "bytes.h"
#include "shared.h"
#include "str.h"

#define PACKETS_SEPARATOR '\x1e' /* Engine.IO protocol, "Packet encoding" */

/* Whole packets: `text` with no body, or one of `text`, body, `after`. */
struct piece {
	struct str text, after;
	struct shared *body;
	char *topic; /* whose rows the body is; NULL: it is none */
};

struct packets {
	struct piece *v;
	size_t n, cap;
	size_t own;  /* bytes of text */
	size_t lent; /* of shared bodies that are no rows */
	size_t rows; /* of those that are */
};

void packets_fini(struct packets *p);
bool packets_is_empty(const struct packets *p);
/* Packets joined by the separator. */
void packets_add(struct packets *p, struct slice packets);
/* Takes a reference to body. */
void packets_add_shared(struct packets *p, struct shared *body, struct slice text,
	struct slice after, struct slice topic);
/* Takes the rows of the topic out. false: there were none. */
bool packets_drop_rows(struct packets *p, struct slice topic);
/* How many they are: looks at all of them. */
uint32_t packets_count(const struct packets *p);
/* The first `most` of `from` behind what `to` has. ALL: without a look at them. */
#define PACKETS_ALL UINT32_MAX
void packets_move(struct packets *to, struct packets *from, uint32_t most);
/* The same with events of namespace "/" alone; the rest is gone. */
void packets_move_events(struct packets *to, struct packets *from);
/* Bodies go by reference. */
void packets_render(const struct packets *p, struct evbuffer *out);

#endif
