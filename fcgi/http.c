#include "http.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "json.h"

/* ---- the request ---- */

struct variable {
	const char *name;
	unsigned char len;
	bool is_meta;
	unsigned short offset; /* of the const char * in http_req or http_meta */
};
#define REQ(name, field)                                                        \
	{                                                                       \
		name, sizeof(name) - 1, false, offsetof(struct http_req, field) \
	}
#define META(name, field)                                                       \
	{                                                                       \
		name, sizeof(name) - 1, true, offsetof(struct http_meta, field) \
	}

static const struct variable variables[] = {
	META("PATH_INFO", path_info),
	META("REQUEST_URI", uri),
	META("SCRIPT_NAME", script_name),
	META("CONTENT_LENGTH", content_length),
	META("REQUEST_METHOD", method),
	META("REDIRECT_STATUS", redirect_status),
	META("HTTP_CONTENT_LENGTH", sent_length),
	META("HTTP_TRANSFER_ENCODING", transfer_encoding),
	META("HTTP_SEC_WEBSOCKET_VERSION", websocket_version),
	REQ("REMOTE_ADDR", remote_addr),
	REQ("SERVER_SOFTWARE", server_software),
	REQ("HTTP_ACCEPT", accept),
	REQ("HTTP_ORIGIN", origin),
	REQ("CONTENT_TYPE", content_type),
	REQ("HTTP_CONTENT_ENCODING", content_encoding),
	REQ("QUERY_STRING", query),
	REQ("HTTP_UPGRADE", upgrade),
	REQ("HTTP_X_API_KEY", api_key),
	REQ("HTTP_AUTHORIZATION", authorization),
	REQ("HTTP_IF_NONE_MATCH", if_none_match),
	REQ("HTTP_LAST_EVENT_ID", last_event_id),
	REQ("HTTP_IDEMPOTENCY_KEY", idempotency_key),
	REQ("HTTP_ACCESS_CONTROL_REQUEST_METHOD", cors_method),
	REQ("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", cors_headers),
};
#define VARIABLES_N (sizeof(variables) / sizeof(variables[0]))

static const char **field(const struct variable *v, struct http_req *req, struct http_meta *meta)
{
	return (const char **)(void *)((v->is_meta ? (char *)meta : (char *)req) + v->offset);
}

void http_read_env(char *const *env, struct http_req *req, struct http_meta *meta)
{
	for (size_t i = 0; i < VARIABLES_N; i++)
		*field(&variables[i], req, meta) = "";
	for (; *env; env++) {
		const char *equals = strchr(*env, '=');
		size_t len = equals ? (size_t)(equals - *env) : 0;

		for (size_t i = 0; i < VARIABLES_N; i++) {
			const struct variable *v = &variables[i];

			if (v->len == len && memcmp(v->name, *env, len) == 0) {
				*field(v, req, meta) = equals + 1;
				break;
			}
		}
	}
	/* lighttpd 1.4 drops the Upgrade header of a WebSocket handshake, but not the others. */
	if (!req->upgrade[0] && meta->websocket_version[0])
		req->upgrade = "websocket";
}

bool http_read_method(struct http_req *req, const char *text)
{
	static const struct {
		const char *name;
		enum http_method method;
		bool is_head;
	} methods[] = {{"GET", HTTP_GET, false}, {"POST", HTTP_POST, false},
		{"PUT", HTTP_PUT, false}, {"DELETE", HTTP_DELETE, false}, {"HEAD", HTTP_GET, true},
		{"OPTIONS", HTTP_OPTIONS, false}};

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (strcmp(text, methods[i].name) == 0) {
			req->method = methods[i].method;
			req->is_head = methods[i].is_head;
			return true;
		}
	}
	return false;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool http_decode(struct str *out, const char *text, size_t len, bool is_form)
{
	size_t start = out->len;

	str_reserve(out, len);
	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c == '%') {
			int high = i + 2 < len ? hex(text[i + 1]) : -1;
			int low = high >= 0 ? hex(text[i + 2]) : -1;

			if (low < 0 || (high == 0 && low == 0))
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		} else if (c == '+' && is_form) {
			c = ' ';
		}
		str_addc(out, c);
	}
	return json_is_utf8(str_c(out) + start, out->len - start);
}

/* Where cmdb's own paths begin, also if it is mounted below another path (plain CGI:
 * /cgi-bin/cmdb-fcgi/api/...). */
static bool is_served(const char *path, const char *engine_path)
{
	static const char *const prefixes[] = {"/api/", "/events", "/ws/", "/metrics", "/healthz"};

	if (http_is_path(path, engine_path))
		return true;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (strncmp(path, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

bool http_is_path(const char *path, const char *configured)
{
	size_t len = strlen(configured);

	return strcmp(path, configured) == 0 ||
	       (strlen(path) == len - 1 && memcmp(path, configured, len - 1) == 0);
}

bool http_is_again(const struct http_meta *meta)
{
	uint64_t status;

	return parse_u64(meta->redirect_status, 500, 599, &status);
}

int http_own_error(const struct http_meta *meta)
{
	uint64_t status;

	if (!parse_u64(meta->redirect_status, 400, 499, &status) || status == 403 || status == 404)
		return 0;
	return (int)status;
}

bool http_read_target(struct http_req *req, const struct http_meta *meta, const char *engine_path,
	struct str *buf)
{
	const char *path = meta->uri, *scheme = strstr(path, "://");
	size_t len;

	/* The absolute form (RFC 9112 section 3.2.2), as a web server may pass it on. */
	if (path[0] != '/' && scheme && strcspn(path, "/?") == (size_t)(scheme - path) + 1)
		path = scheme + 3 + strcspn(scheme + 3, "/?");
	len = strcspn(path, "?#");
	if (http_is_again(meta))
		req->query = path[len] == '?' ? path + len + 1 : "";
	str_clear(buf);
	req->path = "";
	if (strlen(req->query) > HTTP_QUERY_MAX || len > 3 * HTTP_PATH_MAX)
		return false;
	if (len > 0) {
		if (!http_decode(buf, path, len, false))
			return false;
	} else {
		/* No REQUEST_URI: it is not in RFC 3875. These come decoded. */
		str_adds(buf, meta->script_name);
		str_adds(buf, meta->path_info);
		if (!json_is_utf8(str_c(buf), buf->len))
			return false;
	}
	req->path = str_c(buf);
	if (!is_served(req->path, engine_path) && is_served(meta->path_info, engine_path))
		req->path = meta->path_info;
	return req->path[0] == '/' && strlen(req->path) <= HTTP_PATH_MAX;
}

const char *http_cors_origin(const struct config *cfg, const char *origin)
{
	return origin[0] && strlist_has(&cfg->http.cors_origins, origin) ? origin : NULL;
}

bool http_is_json(const char *media)
{
	static const char type[] = "application/json", charset[] = "charset=";
	const char *p = media + sizeof(type) - 1;

	if (strncasecmp(media, type, sizeof(type) - 1) != 0)
		return false;
	p += strspn(p, " \t");
	if (*p == '\0')
		return true;
	if (*p++ != ';')
		return false;
	p += strspn(p, " \t");
	if (strncasecmp(p, charset, sizeof(charset) - 1) != 0)
		return false;
	p += sizeof(charset) - 1;
	return strcasecmp(p, "utf-8") == 0 || strcasecmp(p, "\"utf-8\"") == 0;
}

/* Is the quoted text from tag to its last quote, end, etag, perhaps compressed on its way? Both
 * without W/, for the comparison is a weak one. */
static bool is_same_etag(const char *tag, const char *end, const char *etag)
{
	static const char *const ends[] = {"\"", "-gzip\"", "-br\""};
	size_t len = strlen(etag) - 1, left = (size_t)(end + 1 - tag);

	if (left <= len || memcmp(tag, etag, len) != 0)
		return false;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (left - len == strlen(ends[i]) && memcmp(tag + len, ends[i], left - len) == 0)
			return true;
	return false;
}

bool http_etag_matches(const char *list, const char *etag)
{
	const char *opaque = strncmp(etag, "W/", 2) == 0 ? etag + 2 : etag;

	list += strspn(list, " \t");
	if (strcmp(list, "*") == 0)
		return true;
	while (*list) {
		const char *end;

		list += strspn(list, " \t,");
		if (strncmp(list, "W/", 2) == 0)
			list += 2;
		if (*list != '"')
			return false;
		end = strchr(list + 1, '"');
		if (!end)
			return false;
		if (is_same_etag(list, end, opaque))
			return true;
		list = end + 1;
	}
	return false;
}

bool http_is_loopback(const char *address)
{
	return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 ||
	       strncmp(address, "::ffff:127.", 11) == 0;
}

/* ---- query strings ---- */

/* The next `key=value` of *at, raw; false at the end. */
static bool next_pair(
	const char **at, const char **key, size_t *key_len, const char **value, size_t *value_len)
{
	size_t len, k;

	*at += strspn(*at, "&");
	if (!**at)
		return false;
	len = strcspn(*at, "&");
	k = strcspn(*at, "=&");
	*key = *at;
	*key_len = k;
	*value = *at + (k < len ? k + 1 : k);
	*value_len = k < len ? len - k - 1 : 0;
	*at += len;
	return true;
}

bool query_get(const char *query, const char *key, struct str *out, bool *bad)
{
	const char *k, *v;
	size_t k_len, v_len, key_len = strlen(key);
	struct str name = STR_INIT;
	bool found = false;

	str_clear(out);
	while (next_pair(&query, &k, &k_len, &v, &v_len)) {
		bool is_it;

		if (memchr(k, '%', k_len)) {
			str_clear(&name);
			is_it = http_decode(&name, k, k_len, true) &&
				strcmp(str_c(&name), key) == 0;
		} else {
			is_it = k_len == key_len && memcmp(k, key, key_len) == 0;
		}
		if (!is_it)
			continue;
		found = true;
		str_clear(out);
		if (!http_decode(out, v, v_len, true))
			*bad = true;
	}
	str_fini(&name);
	return found;
}

bool query_each(
	const char *query, void (*visit)(const char *key, const char *value, void *arg), void *arg)
{
	const char *k, *v;
	size_t k_len, v_len;
	struct str key = STR_INIT, value = STR_INIT;
	bool is_good = true;

	while (is_good && next_pair(&query, &k, &k_len, &v, &v_len)) {
		str_clear(&key);
		str_clear(&value);
		is_good = http_decode(&key, k, k_len, true) && http_decode(&value, v, v_len, true);
		if (is_good)
			visit(str_c(&key), str_c(&value), arg);
	}
	str_fini(&key);
	str_fini(&value);
	return is_good;
}

/* ---- the answer ---- */

static const char *reason(int status)
{
	static const struct {
		int status;
		const char *text;
	} reasons[] = {{200, "OK"}, {201, "Created"}, {204, "No Content"}, {304, "Not Modified"},
		{400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"},
		{405, "Method Not Allowed"}, {408, "Request Timeout"}, {409, "Conflict"},
		{411, "Length Required"}, {413, "Content Too Large"},
		{415, "Unsupported Media Type"}, {422, "Unprocessable Content"},
		{426, "Upgrade Required"}, {429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"}, {500, "Internal Server Error"},
		{503, "Service Unavailable"}};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].text;
	return "Unknown";
}

static void put_header(struct str *out, const char *name, const char *value)
{
	str_adds(out, name);
	str_adds(out, ": ");
	str_adds(out, value);
	str_add(out, "\r\n", 2);
}

void http_put_head(struct str *out, const struct http_head *h)
{
	str_reserve(out, 768);
	str_adds(out, "Status: ");
	str_addu(out, (uint64_t)h->status);
	str_addc(out, ' ');
	str_adds(out, reason(h->status));
	str_adds(out, "\r\n");
	if (h->content_type)
		put_header(out, "Content-Type", h->content_type);
	if (h->content_type && h->content_length >= 0) {
		str_adds(out, "Content-Length: ");
		str_addu(out, (uint64_t)h->content_length);
		str_adds(out, "\r\n");
	}
	put_header(out, "X-Request-Id", h->request_id);
	str_adds(out, "X-Content-Type-Options: nosniff\r\n"
		      "Referrer-Policy: no-referrer\r\n"
		      "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"
		      "X-Frame-Options: DENY\r\n");
	if (!h->headers || !strstr(h->headers, "Cache-Control: "))
		str_adds(out, "Cache-Control: no-store\r\n");
	if (h->origin) {
		put_header(out, "Access-Control-Allow-Origin", h->origin);
		str_adds(out, "Access-Control-Allow-Credentials: true\r\n"
			      "Access-Control-Expose-Headers: X-Request-Id, X-Last-Event-Id, ETag, "
			      "Retry-After, Idempotency-Replayed\r\n"
			      "Vary: Origin\r\n");
	}
	if (h->headers)
		str_adds(out, h->headers);
	str_add(out, "\r\n", 2);
}

void http_put_error(struct str *out, enum err e, const char *message, const char *details)
{
	str_adds(out, "{\"success\":false,\"error\":{\"code\":");
	str_add_json(out, err_code(e));
	str_adds(out, ",\"message\":");
	str_add_json(out, message ? message : err_text(e));
	str_adds(out, ",\"details\":[");
	str_adds(out, details);
	str_adds(out, "]}}");
}

void http_put_error_headers(struct str *out, enum err e)
{
	switch (err_status(e)) {
	case 401:
		str_adds(out, "WWW-Authenticate: Bearer realm=\"cmdb\"");
		if (e == ERR_TOKEN_INVALID || e == ERR_TOKEN_EXPIRED || e == ERR_TOKEN_REVOKED)
			str_adds(out, ", error=\"invalid_token\"");
		str_adds(out, "\r\n");
		break;
	case 426: /* RFC 9110, section 15.5.22. Connection is the web server's. */
		str_adds(out, "Upgrade: HTTP/1.1\r\n");
		break;
	default:
		break;
	}
	if (err_retry_s(e))
		str_addf(out, "Retry-After: %d\r\n", err_retry_s(e));
}
