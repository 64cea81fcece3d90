/*
 * What is asked by name (ASK, wire.h), and who answers it: a table with a row for each of
 * lib/question.c. An answer is given at once, or by an errand (errand.h) if it takes a look at all
 * sessions. The loop thread's.
 */
#ifndef CMDB_ASK_H
#define CMDB_ASK_H

#include <stdint.h>

#include "json.h"
#include "str.h"
#include "wire.h"

struct conn;
struct errand;
struct hub;

/* A question as whoever answers it sees it. */
struct ask {
	struct hub *hub;
	uint32_t tenant_id;       /* of whose things it may be told; 0: all */
	struct json_object *args; /* an object, or NULL; its numbers may be texts: http query */
	struct str json;          /* the answer, if it is given at once */
	struct str problems;      /* ask_problem()'s: then it is not answered */
	struct errand *errand;    /* that is to answer it */
	enum wire_answer what;
};

/* Notes what is wrong with an argument. */
void ask_problem(struct ask *a, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void ask_number(struct ask *a, const char *field, const char *value, uint64_t min, uint64_t max,
	uint64_t *out);

/* An ASK frame. */
void ask_begin(struct conn *c, const struct wire_frame *f);
/* Answers it by what is in it, or has its errand do so; frees what is in it. c NULL: nobody is
 * answered. */
void ask_end(struct ask *a, struct conn *c, uint64_t ticket);

/* ---- of connections (connection.h) ---- */
void ask_connections(struct ask *a);      /* connections.c */
void ask_connection(struct ask *a);       /* connection_one.c */
void ask_disconnect(struct ask *a);       /* connection_one.c */
void ask_connection_stats(struct ask *a); /* connection_stats.c */
/* The same as "disconnect", with nobody to be answered; too many errands at a time are said in the
 * log. */
void connection_end(struct hub *hub, uint32_t tenant_id, const char *id); /* connection_one.c */

#endif
