/*
 * An event in the poller's memory: what routing needs to know, and its JSON, rendered once by the
 * thread that read it. Immutable once it is posted; owned by one list, ring or page at a time.
 */
#ifndef CMDB_RECORD_H
#define CMDB_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "db.h"
#include "event.h"
#include "order.h"

struct stream;

/* One of the things that a payload is made of (stream.h). */
struct entry {
	uint32_t at, len;               /* in json */
	uint32_t digest_at, digest_len; /* in digests */
};

struct record {
	struct order_item item; /* first; item.id is the event's id */
	uint32_t tenant_id;
	uint32_t json_len;
	uint32_t payload_at, payload_len; /* in json */
	enum event_type type;
	uint64_t stamp;  /* when it was created, as the digits of its date: with the id it tells
			    events apart */
	bool is_told;    /* a control event whose effect came ahead of its turn (tail.h) */
	bool is_renamed; /* sockets get it under EVENT_NAME_SAFE */
	bool is_again;   /* a late one that comes once more (late.h); sessions have had it */
	const char *topic, *room, *name; /* room, name: "" for none; all point into text */
	const struct stream *stream;     /* NULL: the topic has no row */
	/* Of a stream with filters, or an array; else NULL: the payload is the one entry. */
	struct entry *entries;
	uint32_t entries_n;
	char *digests;
	uint32_t digests_len;
	char *json; /* as a client gets it; for an internal topic the bare payload */
	char text[];
};

#define RECORD_COLUMNS "id, tenant_id, topic, event_type, payload, room, name, created_at"
#define RECORD_COLUMNS_N 8

/* From a row of RECORD_COLUMNS, which is only borrowed. */
struct record *record_new(const struct db_val *row);
/* The digits of a date as MariaDB prints it, as a number. */
uint64_t record_stamp(const struct db_val *date);
struct record *record_dup(const struct record *r);
/* Is it about a row of its topic's table? One to a room, or with a name, is a message by itself. */
bool record_is_row(const struct record *r);
struct slice record_entry(const struct record *r, uint32_t i);  /* i < entries_n */
struct slice record_digest(const struct record *r, uint32_t i); /* of a stream with filters */
#define RECORD_DATE_SIZE 32
/* As shapes take it; without its payload. Borrows r's texts and date. */
struct event_row record_row(const struct record *r, char date[RECORD_DATE_SIZE]);
/* Appends the inside of the array of its Socket.IO packet. */
void record_socket_args(const struct record *r, struct str *out);
void record_free(struct record *r);              /* takes NULL */
size_t record_size(const struct record *r);      /* bytes of memory, about */
bool record_is_internal(const struct record *r); /* topic begins with '_': never goes to a client */

#endif
