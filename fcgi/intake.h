/*
 * From the bytes of a request to the body that its route takes: content type, content encoding,
 * inflating within a bound, JSON. No I/O, no globals; any thread.
 */
#ifndef CMDB_INTAKE_H
#define CMDB_INTAKE_H

#include "route.h"

/* Leaves in *json what came as JSON (a new reference, NULL for other media types), and in req->body
 * the bytes, inflated into `inflated` where they came compressed; max bounds these too. A route
 * that takes no body has it ignored. ERR_MEDIA_TYPE, ERR_TOO_LARGE, ERR_BAD_JSON, ERR_BAD_REQUEST:
 * *why tells the client what is wrong and how to mend it. */
enum err intake_body(const struct route *route, struct http_req *req, size_t max,
	struct str *inflated, struct json_object **json, struct str *why)
	__attribute__((warn_unused_result));
/* Has the body a Content-Encoding? */
bool intake_is_encoded(const struct http_req *req);

#endif
