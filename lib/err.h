/*
 * Every way a call can fail that its caller must handle, and the one table that says what a client
 * is told about it: HTTP status, the `code` of docs/http.md, section 1, and a public text that
 * names no secret. A bug asserts; what stops a start is log_fatal(); all else returns one of these.
 */
#ifndef CMDB_ERR_H
#define CMDB_ERR_H

enum err {
	ERR_OK = 0,
	/* what a request did wrong */
	ERR_BAD_REQUEST,     /* 400 bad_request */
	ERR_BAD_JSON,        /* 400 malformed_json */
	ERR_UNAUTHENTICATED, /* 401 unauthenticated */
	ERR_BAD_CREDENTIALS, /* 401 bad_credentials: login, refresh */
	ERR_TOKEN_INVALID,   /* 401 token_invalid */
	ERR_TOKEN_EXPIRED,   /* 401 token_expired */
	ERR_TOKEN_REVOKED,   /* 401 token_revoked */
	ERR_FORBIDDEN,       /* 403 forbidden */
	ERR_NOT_FOUND,       /* 404 not_found */
	ERR_METHOD,          /* 405 method_not_allowed */
	ERR_TIMEOUT,         /* 408 request_timeout: it did not come whole in time */
	ERR_CONFLICT,        /* 409 conflict */
	ERR_STALE,           /* 409 stale_version */
	ERR_IN_USE,          /* 409 in_use */
	ERR_DUPLICATE,       /* 409 duplicate */
	ERR_IDEMPOTENCY,     /* 409 idempotency_key_reused */
	ERR_NO_LENGTH,       /* 411 length_required */
	ERR_TOO_LARGE,       /* 413 payload_too_large */
	ERR_MEDIA_TYPE,      /* 415 unsupported_media_type */
	ERR_VALIDATION,      /* 422 validation_failed */
	ERR_UPGRADE,         /* 426 upgrade_not_supported */
	ERR_RATE_LIMITED,    /* 429 rate_limited */
	ERR_TOO_MANY_HELD,   /* 429 too_many_held */
	ERR_HEAD_TOO_LARGE,  /* 431 headers_too_large */
	/* what failed on our side */
	ERR_INTERNAL,    /* 500 internal_error */
	ERR_UNAVAILABLE, /* 503 unavailable: database or poller is not there, try again */
	ERR_BUSY,        /* 503 busy: a bound of this server is reached, try again */
	/* what db calls return besides; a handler turns them into one of the above */
	ERR_DB_DUP,       /* unique key violated (1062); db_errkey() names it. 409 duplicate */
	ERR_DB_REF_USED,  /* row is referenced (1451). 409 in_use */
	ERR_DB_REF_NONE,  /* referenced row does not exist (1452). 422 */
	ERR_DB_RETRY,     /* deadlock, lock wait timeout (1213, 1205): transaction is gone. 503 */
	ERR_DB_FULL,      /* disk, table or binlog full (1021, 1114, 28, 1026...). 503 */
	ERR_DB_READONLY,  /* read_only, binlog_format and the like (1290, 1792, 1665...). 503 */
	ERR_DB_STOPPED,   /* too long, or no room to begin (1969, 1317, 1206...). 503 */
	ERR_DB_TOO_LARGE, /* over the server's max_allowed_packet (1153, 2020). 413 */
	ERR_DB_DENIED,    /* an account or a right is missing (1044, 1045, 1142, 1227). 503 */
	ERR_DB_LOST,      /* connection gone (2006, 2013, 2002, 2003, 1927, 1053...). 503 */
	ERR_DB,           /* anything else. 500 */
	ERR_N
};

int err_status(enum err e);       /* HTTP status, 200 for ERR_OK */
int err_retry_s(enum err e);      /* when to try again, where nobody knows better; 0: never */
const char *err_code(enum err e); /* snake_case */
const char *err_text(enum err e); /* one public sentence that says how to mend it */

#endif
