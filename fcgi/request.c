#define _GNU_SOURCE /* memmem() */
#include "request.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mem.h"

#define ROLE_RESPONDER 1
#define KEEP_CONN 1

enum { COMPLETE = 0, CANT_MPX_CONN = 1, UNKNOWN_ROLE = 3 };

struct request *request_new(size_t body_max)
{
	struct request *r = xcalloc(1, sizeof(*r));

	r->fd = -1;
	r->body_max = body_max;
	return r;
}

void request_free(struct request *r)
{
	if (!r)
		return;
	if (r->fd >= 0)
		close(r->fd);
	if (r->charged_to)
		atomic_fetch_sub(r->charged_to, r->charged);
	str_fini(&r->params);
	str_fini(&r->body);
	free(r);
}

bool request_is_empty(const struct request *r)
{
	return !r->is_begun && r->header_n == 0;
}

/* ---- what is answered at once ---- */

static void put_end(struct str *reply, uint16_t id, unsigned char status)
{
	unsigned char end[RECORD_HEADER_SIZE + 8] = {0};

	record_header(end, RECORD_END_REQUEST, id, 8);
	end[RECORD_HEADER_SIZE + 4] = status;
	str_add(reply, end, sizeof(end));
}

static void put_unknown(struct str *reply, unsigned char type)
{
	unsigned char out[RECORD_HEADER_SIZE + 8] = {0};

	record_header(out, RECORD_UNKNOWN_TYPE, 0, 8);
	out[RECORD_HEADER_SIZE] = type;
	str_add(reply, out, sizeof(out));
}

/* Of the variables there are, one says something of this server whatever its configuration. */
static void put_values(struct str *reply, const unsigned char *asked, size_t len)
{
	static const char name[] = "FCGI_MPXS_CONNS";
	const size_t name_len = sizeof(name) - 1;
	unsigned char header[RECORD_HEADER_SIZE];
	size_t size = memmem(asked, len, name, name_len) ? 2 + name_len + 1 : 0;

	record_header(header, RECORD_GET_VALUES_RESULT, 0, size);
	str_add(reply, header, sizeof(header));
	if (size == 0)
		return;
	str_addc(reply, (char)name_len);
	str_addc(reply, 1);
	str_adds(reply, name);
	str_addc(reply, '0');
}

/* ---- records ---- */

static unsigned char type_of(const struct request *r)
{
	return r->header[1];
}

static uint16_t id_of(const struct request *r)
{
	return (uint16_t)(r->header[2] << 8 | r->header[3]);
}

static bool is_own(const struct request *r)
{
	return r->is_begun && id_of(r) == r->id;
}

/* A header is complete. */
static enum request_got begin_record(struct request *r)
{
	if (r->header[0] != 1)
		return REQUEST_BAD;
	r->content_left = (size_t)(r->header[4] << 8 | r->header[5]);
	r->padding_left = r->header[6];
	r->small_n = 0;
	return REQUEST_MORE;
}

static enum request_got add_body(struct request *r, const unsigned char *p, size_t len)
{
	size_t room = r->body_max + 1 - r->body.len;

	str_add(&r->body, p, len < room ? len : room);
	if (r->body.len <= r->body_max)
		return REQUEST_MORE;
	r->is_cut = true;
	return REQUEST_WHOLE;
}

/* A piece of the record's content. */
static enum request_got add_content(struct request *r, const unsigned char *p, size_t len)
{
	size_t room = sizeof(r->small) - r->small_n;

	if (is_own(r) && type_of(r) == RECORD_PARAMS && !r->has_params) {
		if (r->params.len + len > REQUEST_PARAMS_MAX)
			return REQUEST_BIG;
		str_add(&r->params, p, len);
	} else if (is_own(r) && type_of(r) == RECORD_STDIN && r->has_params) {
		return add_body(r, p, len);
	} else {
		room = room < len ? room : len;
		memcpy(r->small + r->small_n, p, room);
		r->small_n += room;
	}
	return REQUEST_MORE;
}

static enum request_got on_begin(struct request *r, struct str *reply)
{
	if (r->small_n < 8)
		return REQUEST_BAD;
	if (r->is_begun) {
		/* The same id again: nobody can say what of it belongs to which. */
		if (id_of(r) == r->id)
			return REQUEST_BAD;
		put_end(reply, id_of(r), CANT_MPX_CONN);
		return REQUEST_MORE;
	}
	r->id = id_of(r);
	r->is_begun = true;
	r->keeps = (r->small[2] & KEEP_CONN) != 0;
	if ((r->small[0] << 8 | r->small[1]) == ROLE_RESPONDER)
		return REQUEST_MORE;
	put_end(reply, r->id, UNKNOWN_ROLE);
	return REQUEST_ABORTED;
}

/* A record of id 0 concerns the connection. */
static enum request_got on_management(struct request *r, struct str *reply)
{
	if (type_of(r) == RECORD_GET_VALUES)
		put_values(reply, r->small, r->small_n);
	else
		put_unknown(reply, type_of(r));
	return REQUEST_MORE;
}

/* A record is complete. */
static enum request_got on_record(struct request *r, struct str *reply)
{
	bool is_end = r->header[4] == 0 && r->header[5] == 0;

	if (id_of(r) == 0)
		return on_management(r, reply);
	if (type_of(r) == RECORD_BEGIN_REQUEST)
		return on_begin(r, reply);
	if (!is_own(r))
		return REQUEST_MORE; /* of one that was refused, or is over */
	switch (type_of(r)) {
	case RECORD_ABORT_REQUEST:
		put_end(reply, r->id, COMPLETE);
		return REQUEST_ABORTED;
	case RECORD_PARAMS:
		r->has_params = r->has_params || is_end;
		return REQUEST_MORE;
	case RECORD_STDIN:
		if (!r->has_params)
			return REQUEST_BAD;
		return is_end ? REQUEST_WHOLE : REQUEST_MORE;
	default:
		return REQUEST_MORE;
	}
}

static size_t min(size_t a, size_t b)
{
	return a < b ? a : b;
}

enum request_got request_take(
	struct request *r, const unsigned char *p, size_t len, size_t *used, struct str *reply)
{
	enum request_got got = REQUEST_MORE;
	size_t at = 0;

	while (at < len && got == REQUEST_MORE) {
		size_t n;

		if (r->header_n < RECORD_HEADER_SIZE) {
			n = min(RECORD_HEADER_SIZE - r->header_n, len - at);
			memcpy(r->header + r->header_n, p + at, n);
			r->header_n += n;
			if (r->header_n == RECORD_HEADER_SIZE)
				got = begin_record(r);
		} else if (r->content_left > 0) {
			n = min(r->content_left, len - at);
			r->content_left -= n;
			got = add_content(r, p + at, n);
		} else {
			n = min(r->padding_left, len - at);
			r->padding_left -= n;
		}
		at += n;
		if (got == REQUEST_MORE && r->header_n == RECORD_HEADER_SIZE &&
			r->content_left == 0 && r->padding_left == 0) {
			got = on_record(r, reply);
			r->header_n = 0;
		}
	}
	*used = at;
	return got;
}

/* ---- for libfcgi ---- */

void request_put_head(const struct request *r, struct str *out)
{
	unsigned char begin[RECORD_HEADER_SIZE + 8] = {0}, header[RECORD_HEADER_SIZE];

	record_header(begin, RECORD_BEGIN_REQUEST, r->id, 8);
	begin[RECORD_HEADER_SIZE + 1] = ROLE_RESPONDER;
	str_add(out, begin, sizeof(begin));
	for (size_t at = 0; at < r->params.len;) {
		size_t n = min(r->params.len - at, RECORD_CONTENT_MAX);

		record_header(header, RECORD_PARAMS, r->id, n);
		str_add(out, header, sizeof(header));
		str_add(out, r->params.p + at, n);
		at += n;
	}
	record_header(header, RECORD_PARAMS, r->id, 0);
	str_add(out, header, sizeof(header));
	record_header(header, RECORD_STDIN, r->id, 0);
	str_add(out, header, sizeof(header));
}
