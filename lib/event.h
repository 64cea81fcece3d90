/*
 * A row of ws_events: how it is published and how a client sees it. Publishing is an INSERT in the
 * transaction that made the change, and the last statement of it (ids are given at INSERT, so the
 * shorter the time from there to COMMIT, the shorter others wait for it).
 */
#ifndef CMDB_EVENT_H
#define CMDB_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db.h"
#include "str.h"

#define EVENT_TOPIC_MAX 64
#define EVENT_ROOM_MAX 128  /* bytes of one name */
#define EVENT_ROOMS_MAX 512 /* characters of all, with the commas */
#define EVENT_NAME_MAX 64
/* Of a payload that is delivered: an answer with it must still be one that all take (wire.h). */
#define EVENT_PAYLOAD_MAX (16u * 1024 * 1024)
#define EVENT_PAYLOAD_TOO_LARGE "{\"error\":\"payload_too_large\"}"
/* Topics that begin with '_' are cmdb's own and never reach a client: _auth tells of tokens, users,
 * roles; _hosts what pollers have each other do (hosts.h). */
#define EVENT_TOPIC_AUTH "_auth"
#define EVENT_TOPIC_HOSTS "_hosts"

enum event_type { EVENT_ADD, EVENT_UPDATE, EVENT_DELETE, EVENT_TYPE_N };

const char *event_type_name(enum event_type t); /* "add", ... */
int event_type_find(const char *name);          /* -1 when unknown */

/* An event to publish; all texts borrowed. */
struct event_out {
	uint32_t tenant_id;
	const char *topic;
	enum event_type type;
	const char *payload; /* JSON text */
	const char *room;    /* names joined by commas (room.h); NULL: none */
	const char *name;    /* NULL: none; what Socket.IO clients get in place of the topic's */
};

extern const struct db_set event_sql;

/* Inserts it on db's open transaction. *id may be NULL. Blocks. ERR_VALIDATION: no event may have
 * its name; who takes names from somebody asks event_name_fault() first. */
enum err event_insert(struct db *db, const struct event_out *e, uint64_t *id)
	__attribute__((warn_unused_result));

/* The same of n of them: in that order, by one statement. n may be 0. */
enum err event_insert_all(struct db *db, const struct event_out *events, size_t n)
	__attribute__((warn_unused_result));

/* What a client gets for one event (docs/http.md, section 3):
 * {"id","topic","type","data","room","name","created_at"}; room and name are null when empty. */
struct event_row {
	uint64_t id;
	uint32_t tenant_id;
	enum event_type type;
	const char *topic, *room,
		*name;   /* room, name: "" for none; as event_add_text() makes them */
	bool is_renamed; /* no event may have this name (event_name.h) */
	const char *payload;
	size_t payload_len;
	const char *created_at; /* as MariaDB prints DATETIME(3), UTC */
};
/* Whoever can INSERT chooses the columns of a row, and no row may harm what comes with it: these
 * two make of a column what every client can read, and stand wherever a row is read.
 * event_add_text() adds the text of topic, room or name: UTF-8 without NUL, U+FFFD for the rest.
 * event_is_named_badly() looks at the column as it was. */
void event_add_text(struct str *s, const struct db_val *column);
bool event_is_named_badly(const struct db_val *name);
/* The payload of a row, "null" where it has none, EVENT_PAYLOAD_TOO_LARGE instead of one that is.
 */
void event_take_payload(struct event_row *e, const struct db_val *payload);
/* JSON as a client reads it, in one line, of what MariaDB took for such. */
void event_put_payload(struct str *s, struct slice text);

/* Where in the appended text the payload is. */
struct event_place {
	size_t at, len;
};
/* Appends its JSON on one line: line breaks, which valid JSON has only between tokens, become
 * blanks. A payload is given as it came, unless some client's parser would fall over it, and with
 * it over the answer with all the others (json_look()): half a surrogate pair becomes U+FFFD; of a
 * key that is there twice the last counts, as for JavaScript; what is no JSON (MariaDB's JSON
 * columns take "\x" and 1. for JSON), too deep or has a number beyond doubles is given as a string
 * of its text. place (may be NULL) is told where the payload is. */
void event_render(struct str *s, const struct event_row *e, struct event_place *place);

/* Appends the event as a Socket.IO client gets it, as the inside of the packet's array, in the
 * shape that its topic has (stream.h). */
void event_render_socket(struct str *s, const struct event_row *e);
/* The same of a payload that event_render() has rendered; e's own is not looked at. */
void event_put_socket(struct str *s, const struct event_row *e, const char *payload, size_t len);

#endif
