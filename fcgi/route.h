/*
 * One request as its handler sees it, and the table that finds the handler. A handler runs on a
 * worker thread and may block on the database; it knows nothing of FastCGI.
 *
 * What dispatch does before a handler: finds the route (404, 405 with Allow), answers HEAD and
 * OPTIONS, reads the body up to fcgi.max_body (413), authenticates unless ROUTE_OPEN (401), checks
 * `perm` (403), makes of the body what the route takes (415, 413, 400; intake.h). For ROUTE_TXN it
 * opens the database and a transaction; after a handler that leaves a status below 400 it stores
 * the Idempotency-Key response, writes the audit row, inserts the events the handler emitted (last,
 * so that they wait least for COMMIT), commits, raises the shared generations and rings the poller;
 * on anything else it rolls back. One that leaves a park as well is answered by that, once it is
 * committed; what it has in ctx->res then is for who comes again with the same key. A transaction
 * lost to a deadlock is run again, so a ROUTE_TXN handler changes nothing but the database and
 * *ctx. For ROUTE_DB it only makes sure there is a connection (503); a GET whose connection turns
 * out to be lost is run again once. ROUTE_CACHED (GET alone) keeps the rendered answer for all
 * callers of the tenant that have `perm`, as long as nothing of `topic` changes; such answers carry
 * ETag, and X-Last-Event-Id: a cursor from which /events goes on without a gap.
 */
#ifndef CMDB_ROUTE_H
#define CMDB_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "config.h"
#include "db.h"
#include "err.h"
#include "event.h"
#include "json.h"
#include "perm.h"
#include "shm.h"
#include "str.h"
#include "task.h"

enum http_method { HTTP_GET = 1, HTTP_POST = 2, HTTP_PUT = 4, HTTP_DELETE = 8, HTTP_OPTIONS = 16 };

/* The request line and headers; all texts borrowed from the gateway, "" when absent, never NULL. */
struct http_req {
	enum http_method method; /* HEAD arrives as GET with is_head */
	bool is_head;
	const char *path;  /* percent-decoded, no NUL, "/api/v1/websites/7" */
	const char *query; /* raw */
	const char *body;
	size_t body_len;
	const char *content_type, *content_encoding;
	const char *authorization, *api_key, *origin, *accept, *if_none_match, *last_event_id,
		*idempotency_key, *upgrade, *cors_method, *cors_headers;
	const char *remote_addr, *server_software;
	char request_id[33];
};

struct http_res {
	int status;               /* 0 until answered */
	const char *content_type; /* static text */
	struct str headers;       /* further "Name: value\r\n" lines */
	struct str body;
};

#define ROUTE_PARAMS_MAX 3
#define ROUTE_TEXT_MAX 64

/* What the {..} of a pattern matched, in their order. */
struct route_params {
	struct {
		struct slice text; /* borrowed from the path */
		uint64_t id;       /* of a decimal one, else 0 */
	} v[ROUTE_PARAMS_MAX];
	size_t n;
};

struct txn;
struct worker; /* what one worker thread owns: database, caches; see worker.h */
struct jobs;
struct park;
struct cached;
struct log_lines;

struct ctx {
	struct task task;
	struct http_req req;
	struct http_res res;
	struct json_object *body;   /* of a route that takes JSON; NULL when another type came */
	struct route_params params; /* what the pattern's {..} matched */
	const struct route *route;
	struct txn *txn;     /* of ROUTE_TXN, while it runs */
	struct str problems; /* ctx_problem()'s */
	size_t problems_n;
	struct str audit_target;
	struct log_lines *lines; /* of ROUTE_TXN: what log_file.h gets once it is committed */
	enum err failed;         /* what ctx_fail() or ctx_fail_db() was last told */
	struct jobs *pass_to;    /* not answered: it is for these threads */
	/* The handler wants the request parked, with a place that it has reserved (loop.h): taken
	 * over by the worker, unless the request fails. */
	struct park *park;
	const char *cors_origin; /* allowed one, or NULL */
	struct cached *cached;   /* answers instead of res.body */
};

enum route_flag {
	ROUTE_OPEN = 1,    /* no authentication */
	ROUTE_JSON = 2,    /* takes a JSON object as its body */
	ROUTE_DB = 4,      /* needs the database: done by threads of their own, see jobs.h */
	ROUTE_TXN = 8,     /* in a transaction; implies ROUTE_DB; takes Idempotency-Key; audited */
	ROUTE_PARKS = 16,  /* may park: the body is read to its end first, whatever it is */
	ROUTE_CACHED = 32, /* a GET answer is kept while (tenant, topic) has not changed */
	ROUTE_HASHES = 64, /* checks a password: likewise */
	ROUTE_ARRAY = 128, /* takes a JSON array; with ROUTE_JSON, either */
	ROUTE_GZIP = 256,  /* the body may come with Content-Encoding: gzip */
	ROUTE_UNAUDITED = 512,     /* no audit row: what it stores is a log itself */
	ROUTE_MAY_BE_EMPTY = 1024, /* the body may be left out: ctx->body is NULL then */
	ROUTE_SEARCH = 2048 /* a GET of ROUTE_DB that may take a second: others do not wait */
};

/* A pattern is exact, or has {..} as whole segments, ROUTE_PARAMS_MAX at most. {id} and {.._id} are
 * decimal, 1..2^63-1 without leading zeros; any other is a text of 1..ROUTE_TEXT_MAX letters,
 * digits and -._~@:+ (no slash, so no address is two), but for "." and "..". An exact pattern goes
 * before one with {..}; two of these that could match one path are a bug, as are a doubled method
 * and pattern. */

struct route {
	unsigned methods; /* enum http_method, or'ed */
	const char *pattern;
	unsigned flags;
	const char *perm; /* NULL: any authenticated caller */
	void (*handle)(struct ctx *ctx);
	const void *arg;   /* the handler's own: a resource descriptor */
	const char *topic; /* ROUTE_CACHED: what the answer depends on */
	/* Media types taken besides JSON, up to a NULL: the handler has the bytes, in req.body. */
	const char *const *media;
};

struct routes;
struct routes *routes_new(void);
void routes_free(struct routes *rs); /* takes NULL */
/* The table is borrowed for ever. */
void routes_add(struct routes *rs, const struct route *table, size_t n);
/* The route for path. NULL: *allowed has the methods that path does take, 0 if it is unknown. */
const struct route *routes_find(const struct routes *rs, enum http_method method, const char *path,
	struct route_params *params, unsigned *allowed);

/* ---- what handlers call ---- */

/* {"success":true,"data":<json text>}; data is copied. status 200 or 201. */
void ctx_ok(struct ctx *ctx, int status, const struct str *data);
/* The failure body for e, with its status. message NULL: err_text(e). Details are the problems
 * noted so far. Retry-After, WWW-Authenticate and the like are added by status. */
void ctx_fail(struct ctx *ctx, enum err e, const char *message);
void ctx_failf(struct ctx *ctx, enum err e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* For an error of a db call: logs it with db_errmsg and answers 503, 500, ... ERR_DB_RETRY is left
 * for dispatch to run again. */
void ctx_fail_db(struct ctx *ctx, enum err e, const char *what);
/* Notes a problem of a field for a 422; call ctx_fail(ctx, ERR_VALIDATION, NULL) when all are
 * collected. */
void ctx_problem(struct ctx *ctx, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Finds out who asks, for a ROUTE_OPEN handler: who and identity. false: answered. */
bool ctx_authenticate(struct ctx *ctx);
/* Has the caller perm? false: answered with 403. */
bool ctx_permit(struct ctx *ctx, const char *perm);
/* An event of this transaction (ROUTE_TXN), of the caller's tenant; texts are copied. */
void ctx_emit(struct ctx *ctx, const struct event_out *e);
/* What the audit row's target says, e.g. "websites/7"; several calls are joined by a blank. */
void ctx_audit(struct ctx *ctx, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Query string: the decoded value of a parameter into out (cleared first); false if absent. The
 * last of several wins. *bad is set if its percent-encoding or UTF-8 is broken. */
bool query_get(const char *query, const char *key, struct str *out, bool *bad);
/* Visits each pair, decoded. Returns false at broken encoding. */
bool query_each(
	const char *query, void (*visit)(const char *key, const char *value, void *arg), void *arg);

#endif
