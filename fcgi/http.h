/*
 * HTTP as the web server passes it on (RFC 3875) and as it goes back: request variables,
 * percent-encoding, the head of an answer. No I/O, no globals; any thread.
 */
#ifndef CMDB_HTTP_H
#define CMDB_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "err.h"
#include "route.h"
#include "str.h"

#define HTTP_PATH_MAX 1024 /* decoded */
#define HTTP_QUERY_MAX 16384

/* What is needed of the request besides struct http_req. */
struct http_meta {
	const char *method, *uri, *script_name, *path_info, *content_length, *websocket_version;
	const char *redirect_status, *sent_length; /* the client's Content-Length */
	const char *transfer_encoding;
};

/* Sorts the variables into req and meta (absent ones are ""); texts are borrowed from env. */
void http_read_env(char *const *env, struct http_req *req, struct http_meta *meta);
/* Finds req->method and is_head. false for a method that is served nowhere. */
bool http_read_method(struct http_req *req, const char *text);
/* Is it a request that the web server tries again because the process that had it broke down? Its
 * error handler (lighttpd: server.error-handler) gets it as a GET without a body, and with the
 * original target in REQUEST_URI alone. */
bool http_is_again(const struct http_meta *meta);
/* The status of an error of the web server's own (a body that it takes from nobody, say), which it
 * has its error handler say; 0: it is none. 403 and 404 are none: by these some web servers are
 * made to give a program what they have no file for. */
int http_own_error(const struct http_meta *meta);
/* Finds req->path, decoded into buf, which it borrows, and req->query. engine_path is where
 * Socket.IO is served (socketio.path). false if the target is malformed: bad escape, NUL, invalid
 * UTF-8, too long. */
bool http_read_target(struct http_req *req, const struct http_meta *meta, const char *engine_path,
	struct str *buf);
/* Is path the configured one, with or without its last slash? */
bool http_is_path(const char *path, const char *configured);
/* Appends the decoded text; false at a bad escape, %00, or invalid UTF-8. `+` is a blank if
 * is_form. */
bool http_decode(struct str *out, const char *text, size_t len, bool is_form);

/* The request's origin if the configuration allows it, else NULL. */
const char *http_cors_origin(const struct config *cfg, const char *origin);
/* Is media a JSON type: application/json, with charset=utf-8 at most? */
bool http_is_json(const char *media);
/* Does If-None-Match (RFC 9110 section 13.1.2, weak comparison) name etag? Also as a web server
 * passes it on that compresses: Apache's mod_deflate and mod_brotli put -gzip or -br to its end. */
bool http_etag_matches(const char *if_none_match, const char *etag);
bool http_is_loopback(const char *address);

struct http_head {
	int status;
	const char *content_type; /* NULL: no body */
	int64_t content_length;   /* -1: not known, a stream */
	const char *request_id;
	const char *origin; /* allowed one, or NULL */
	const char
		*headers; /* further lines; a Cache-Control here replaces no-store. May be NULL */
};
/* Appends Status (RFC 3875 section 6.3.3), all headers and the empty line. */
void http_put_head(struct str *out, const struct http_head *h);
/* {"success":false,"error":{...}}; details: the inside of the array, may be "". */
void http_put_error(struct str *out, enum err e, const char *message, const char *details);
/* The headers that belong to e's status: WWW-Authenticate, Retry-After. */
void http_put_error_headers(struct str *out, enum err e);

#endif
