#include "err.h"

#include <assert.h>

struct row {
	int status;
	const char *code;
	const char *text;
};

#define UNAVAILABLE "The service is not available at the moment; try again in a few seconds."
#define INTERNAL \
	"Something failed on the server; try again, and give the request id if you report it."

static const struct row rows[ERR_N] = {
	[ERR_OK] = {200, "ok", "Done."},
	[ERR_BAD_REQUEST] = {400, "bad_request",
		"The request cannot be understood; check its address, parameters and headers."},
	[ERR_BAD_JSON] = {400, "malformed_json",
		"The body is not valid JSON; send one JSON object in UTF-8."},
	[ERR_UNAUTHENTICATED] = {401, "unauthenticated",
		"Log in first: send an Authorization: Bearer token or an X-API-Key."},
	[ERR_BAD_CREDENTIALS] = {401, "bad_credentials",
		"User name or password, or refresh token, is not valid; log in again."},
	[ERR_TOKEN_INVALID] = {401, "token_invalid", "The token is not valid; log in again."},
	[ERR_TOKEN_EXPIRED] = {401, "token_expired",
		"The token has expired; refresh it or log in again."},
	[ERR_TOKEN_REVOKED] = {401, "token_revoked", "The token has been revoked; log in again."},
	[ERR_FORBIDDEN] = {403, "forbidden",
		"You lack the permission for this; ask an administrator for a role that has it."},
	[ERR_NOT_FOUND] = {404, "not_found",
		"There is nothing here, or it has been deleted; check the address and the id."},
	[ERR_METHOD] = {405, "method_not_allowed",
		"This address does not take that method; the Allow header lists those it takes."},
	[ERR_TIMEOUT] = {408, "request_timeout",
		"The request did not arrive whole in time; send it faster, or less at a time."},
	[ERR_CONFLICT] = {409, "conflict",
		"The request conflicts with the present state; read it again and retry."},
	[ERR_STALE] = {409, "stale_version",
		"It was changed since you read it; read it again and apply your change to that."},
	[ERR_IN_USE] = {409, "in_use", "It is still in use; remove what refers to it first."},
	[ERR_DUPLICATE] = {409, "duplicate", "One like this exists already; choose another name."},
	[ERR_IDEMPOTENCY] = {409, "idempotency_key_reused",
		"This Idempotency-Key was used for another request; use a new one."},
	[ERR_NO_LENGTH] = {411, "length_required",
		"A body needs a Content-Length here: the web server runs this as a CGI program, "
		"which cannot tell the end of a chunked one."},
	[ERR_TOO_LARGE] = {413, "payload_too_large",
		"The body is larger than this server takes; send less at a time."},
	[ERR_MEDIA_TYPE] = {415, "unsupported_media_type",
		"This address takes JSON; send Content-Type: application/json."},
	[ERR_VALIDATION] = {422, "validation_failed",
		"Some fields are not valid; the details say which and why."},
	[ERR_UPGRADE] = {426, "upgrade_not_supported",
		"WebSocket is not spoken here; use Socket.IO with polling, or GET /events."},
	[ERR_RATE_LIMITED] = {429, "rate_limited",
		"Too many attempts; wait a while before the next."},
	[ERR_TOO_MANY_HELD] = {429, "too_many_held",
		"Too many of your requests are waiting already; let these end, or ask less often."},
	[ERR_HEAD_TOO_LARGE] = {431, "headers_too_large",
		"The address and headers are larger than this server takes; send less."},
	[ERR_INTERNAL] = {500, "internal_error", INTERNAL},
	[ERR_UNAVAILABLE] = {503, "unavailable", UNAVAILABLE},
	[ERR_BUSY] = {503, "busy", "The server is busy; try again in a moment."},
	[ERR_DB_DUP] = {409, "duplicate", "One like this exists already; choose another name."},
	[ERR_DB_REF_USED] = {409, "in_use", "It is still in use; remove what refers to it first."},
	[ERR_DB_REF_NONE] = {422, "validation_failed",
		"It refers to something that does not exist; create that first or correct the id."},
	[ERR_DB_RETRY] = {503, "unavailable", UNAVAILABLE},
	[ERR_DB_FULL] = {503, "unavailable", UNAVAILABLE},
	[ERR_DB_READONLY] = {503, "unavailable", UNAVAILABLE},
	[ERR_DB_STOPPED] = {503, "unavailable", UNAVAILABLE},
	[ERR_DB_TOO_LARGE] = {413, "payload_too_large",
		"The body is larger than this server takes; send less at a time."},
	[ERR_DB_DENIED] = {503, "unavailable", UNAVAILABLE},
	[ERR_DB_LOST] = {503, "unavailable", UNAVAILABLE},
	[ERR_DB] = {500, "internal_error", INTERNAL},
};

static const struct row *err_find(enum err e)
{
	assert((unsigned)e < ERR_N && rows[e].code);
	return &rows[e];
}

int err_status(enum err e)
{
	return err_find(e)->status;
}

int err_retry_s(enum err e)
{
	switch (err_status(e)) {
	case 429:
		return 10;
	case 503:
		return 1;
	default:
		return 0;
	}
}

const char *err_code(enum err e)
{
	return err_find(e)->code;
}

const char *err_text(enum err e)
{
	return err_find(e)->text;
}
