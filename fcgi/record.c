#include "record.h"

#include <assert.h>
#include <string.h>

void record_header(unsigned char out[RECORD_HEADER_SIZE], enum record_type type,
	uint16_t request_id, size_t len)
{
	assert(len <= RECORD_CONTENT_MAX);
	out[0] = 1; /* FCGI_VERSION_1 */
	out[1] = (unsigned char)type;
	out[2] = (unsigned char)(request_id >> 8);
	out[3] = (unsigned char)request_id;
	out[4] = (unsigned char)(len >> 8);
	out[5] = (unsigned char)len;
	out[6] = 0; /* padding */
	out[7] = 0;
}

void record_end(unsigned char out[RECORD_END_SIZE], uint16_t request_id)
{
	record_header(out, RECORD_STDOUT, request_id, 0);
	record_header(out + RECORD_HEADER_SIZE, RECORD_END_REQUEST, request_id, 8);
	memset(out + 2 * RECORD_HEADER_SIZE, 0, 8); /* appStatus 0, FCGI_REQUEST_COMPLETE */
}
