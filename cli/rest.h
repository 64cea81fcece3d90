/*
 * cmdbctl as a client of the REST interface, over libcurl: one request at a time, blocks up to the
 * timeout of the call. A struct rest keeps its connection open between calls, and belongs to one
 * thread at a time.
 */
#ifndef CMDB_CLI_REST_H
#define CMDB_CLI_REST_H

#include <stdbool.h>
#include <json-c/json.h>

#include "str.h"

#define REST_TIMEOUT_MS 15000

struct rest;

/* url is the address that the paths are added to, e.g. "http://127.0.0.1:8080". api_key and token
 * may be NULL; texts are copied. Never NULL. */
struct rest *rest_new(const char *url, const char *api_key, const char *token);
void rest_free(struct rest *r); /* takes NULL */

struct rest_answer {
	int status;             /* 0: none came */
	bool is_timeout;        /* no answer came in time */
	unsigned retry_after_s; /* 0: the server did not say */
	struct str body;
	struct json_object *json; /* NULL when the body is no JSON */
};

struct rest_request {
	const char *method, *path;
	const char *body; /* body_len bytes; NULL: none */
	size_t body_len;
	const char *content_type;     /* NULL: JSON */
	const char *content_encoding; /* NULL: none */
	const char *idempotency_key;  /* NULL: none */
	unsigned timeout_ms;
	/* NULL, or asked about once a second: false gives the request up. */
	bool (*is_wanted)(void *arg);
	void *arg;
};

/* Returns false, with why set and nothing to release, when no HTTP answer came; else the caller
 * releases *a with rest_answer_fini(). */
bool rest_send(
	struct rest *r, const struct rest_request *q, struct rest_answer *a, struct str *why);
/* The same of a text that is JSON, or NULL: none. */
bool rest_call(struct rest *r, const char *method, const char *path, const char *body,
	unsigned timeout_ms, struct rest_answer *a, struct str *why);
void rest_answer_fini(struct rest_answer *a);
/* Asks for an event stream and gives it up as soon as its first bytes are there. false with why: no
 * bytes within the time, or *status is not 200. */
bool rest_stream_begins(
	struct rest *r, const char *path, unsigned timeout_ms, int *status, struct str *why);
/* `data` of a success body, borrowed, or NULL. */
struct json_object *rest_data(const struct rest_answer *a);
/* Adds [{"field","problem"}], each on a line of its own; of what is no array nothing. */
void rest_details(struct json_object *details, struct str *out);
/* What a failure body says, with its details, one line each. */
void rest_problem(const struct rest_answer *a, struct str *out);
/* Adds "key=value", percent-encoded, with the '?' or '&' that belongs before it. */
void rest_query(struct str *path, const char *key, const char *value);
/* Adds text percent-encoded, as a part of a path or a query. */
void rest_escape(struct str *out, const char *text);

#endif
