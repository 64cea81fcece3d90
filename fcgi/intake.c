#include "intake.h"

#include <string.h>
#include <strings.h>

#define ZLIB_CONST
#include <zlib.h>

#include "http.h"

#define JSON_TYPES (ROUTE_JSON | ROUTE_ARRAY)
#define GZIP_WINDOW                                                                  \
	(15 + 16) /* zlib's: the largest window, and gzip's header and trailer alone \
		   */
#define PIECE_MIN 4096

bool intake_is_encoded(const struct http_req *req)
{
	return req->content_encoding[0] && strcasecmp(req->content_encoding, "identity") != 0;
}

/* Is media of that type, whatever its parameters? */
static bool is_type(const char *media, const char *type)
{
	size_t len = strlen(type);

	return strncasecmp(media, type, len) == 0 && strchr("; \t", media[len]);
}

static bool takes_raw(const struct route *route, const char *media)
{
	for (size_t i = 0; route->media && route->media[i]; i++)
		if (is_type(media, route->media[i]))
			return true;
	return false;
}

static enum err refuse_type(const struct route *route, struct str *why)
{
	const char *between = "";

	str_adds(why, "This address takes ");
	if (route->flags & JSON_TYPES) {
		str_adds(why, "JSON");
		between = ", ";
	}
	for (size_t i = 0; route->media && route->media[i]; i++) {
		str_addf(why, "%s%s", between, route->media[i]);
		between = ", ";
	}
	str_addf(why, "; send Content-Type: %s.",
		route->flags & JSON_TYPES ? "application/json" : route->media[0]);
	return ERR_MEDIA_TYPE;
}

/* ---- Content-Encoding ---- */

/* Inflates all members (RFC 1952 section 2.2) of the body; Z_STREAM_END when all went well,
 * Z_MEM_ERROR past max bytes. */
static int inflate_all(z_stream *z, size_t max, struct str *out)
{
	int rc = Z_OK;

	while (rc == Z_OK) {
		size_t room = max + 1 - out->len,
		       piece = out->len > PIECE_MIN ? out->len : PIECE_MIN;

		if (piece > room)
			piece = room;
		str_reserve(out, piece);
		z->next_out = (Bytef *)out->p + out->len;
		z->avail_out = (uInt)piece;
		rc = inflate(z, Z_NO_FLUSH);
		out->len += piece - z->avail_out;
		out->p[out->len] = '\0';
		if (out->len > max)
			return Z_MEM_ERROR;
		if (rc == Z_STREAM_END && z->avail_in > 0)
			rc = inflateReset(z);
	}
	return rc;
}

static enum err take_gzip(struct http_req *req, size_t max, struct str *inflated, struct str *why)
{
	z_stream z = {.next_in = (const Bytef *)req->body, .avail_in = (uInt)req->body_len};
	int rc;

	str_clear(inflated);
	if (inflateInit2(&z, GZIP_WINDOW) != Z_OK) {
		str_adds(why, "There is no memory to inflate the body with; try again.");
		return ERR_BUSY;
	}
	rc = inflate_all(&z, max, inflated);
	inflateEnd(&z);
	if (rc == Z_MEM_ERROR) {
		str_addf(
			why, "The body may have at most %zu bytes, also when it is inflated.", max);
		return ERR_TOO_LARGE;
	}
	if (rc != Z_STREAM_END) {
		str_adds(why, "The body is no whole gzip, as its Content-Encoding says; send it "
			      "anew, or as it is without Content-Encoding.");
		return ERR_BAD_REQUEST;
	}
	req->body = str_c(inflated);
	req->body_len = inflated->len;
	return ERR_OK;
}

static enum err intake_decode(const struct route *route, struct http_req *req, size_t max,
	struct str *inflated, struct str *why)
{
	if (!intake_is_encoded(req))
		return ERR_OK;
	if (route->flags & ROUTE_GZIP && (strcasecmp(req->content_encoding, "gzip") == 0 ||
						 strcasecmp(req->content_encoding, "x-gzip") == 0))
		return take_gzip(req, max, inflated, why);
	str_addf(why, "This address takes no such Content-Encoding; %s.",
		route->flags & ROUTE_GZIP ? "send gzip, or the body as it is"
					  : "send the body as it is, without it");
	return ERR_MEDIA_TYPE;
}

/* ---- JSON ---- */

static enum err intake_parse(const struct route *route, const struct http_req *req,
	struct json_object **json, struct str *why)
{
	const char *problem = NULL;
	size_t offset = 0;
	struct json_object *o = json_parse(req->body, req->body_len, &problem, &offset);
	unsigned is;

	if (!o && problem) {
		str_addf(why, "The body is no JSON: %s (at byte %zu).", problem, offset);
		return ERR_BAD_JSON;
	}
	is = json_object_is_type(o, json_type_object)  ? ROUTE_JSON
	     : json_object_is_type(o, json_type_array) ? ROUTE_ARRAY
						       : 0;
	if (!(route->flags & is)) {
		json_object_put(o);
		str_addf(why, "The body must be a JSON %s.",
			!(route->flags & ROUTE_ARRAY)  ? "object"
			: !(route->flags & ROUTE_JSON) ? "array"
						       : "object or array");
		return ERR_BAD_REQUEST;
	}
	*json = o;
	return ERR_OK;
}

enum err intake_body(const struct route *route, struct http_req *req, size_t max,
	struct str *inflated, struct json_object **json, struct str *why)
{
	bool is_json = route->flags & JSON_TYPES && http_is_json(req->content_type);
	enum err e;

	*json = NULL;
	if (!(route->flags & JSON_TYPES) && !route->media)
		return ERR_OK;
	if ((route->flags & ROUTE_MAY_BE_EMPTY) && !req->body_len)
		return ERR_OK;
	if (!is_json && !takes_raw(route, req->content_type))
		return refuse_type(route, why);
	e = intake_decode(route, req, max, inflated, why);
	return e == ERR_OK && is_json ? intake_parse(route, req, json, why) : e;
}
