/*
 * cmdbctl's side of the poller's socket (lib/wire.h): one question, one answer. Blocks, up to the
 * timeout given when it was opened. That no poller runs is an ordinary answer, not a fault.
 */
#ifndef CMDB_CLI_POLLER_H
#define CMDB_CLI_POLLER_H

#include <stdbool.h>
#include <stdint.h>

#include "floors.h"
#include "str.h"
#include "wire.h"

struct poller;

enum poller_found {
	POLLER_OPEN,
	POLLER_ABSENT, /* nobody listens there */
	POLLER_BROKEN, /* someone may, but it cannot be talked to: rights, another version, no
			  answer */
};

/* What the poller said in WELCOME. */
struct poller_welcome {
	unsigned version, node_id;
	uint64_t tail;
	char epoch[33];
};

/* Connects and waits for WELCOME. *p is set for POLLER_OPEN; else NULL, and why has what is wrong.
 */
enum poller_found poller_open(
	const char *socket_path, unsigned timeout_ms, struct poller **p, struct str *why);
void poller_close(struct poller *p); /* takes NULL */
const struct poller_welcome *poller_welcome(const struct poller *p);

/* The calls below return false, with why set, when the connection failed or timed out, or the
 * poller refused. */
/* A question by its name (question.h): json is its answer. tenant_id 0: of all. */
bool poller_ask(struct poller *p, const char *question, uint32_t tenant_id,
	const struct str *arguments, struct str *json, struct str *why);
/* How the last question was answered, if it was: why it failed. */
enum wire_answer poller_said(const struct poller *p);
/* An event for the sockets of a tenant in a room ("": all), args as of CAST; json says how many. */
bool poller_cast(struct poller *p, uint32_t tenant_id, const char *room, const struct str *args,
	struct str *json, struct str *why);
/* Makes the poller read epoch and floors again; waits until it has. */
bool poller_refresh(struct poller *p, struct floors *floors, uint64_t *tail, struct str *why);
/* Tells the poller of that socket that something was committed; no error if there is none. */
void poller_ring(const char *socket_path);

#endif
