/*
 * FastCGI records as they are written to a parked connection, which libfcgi has let go of.
 * FastCGI 1.0: records section 3.3, streams 5.3, FCGI_END_REQUEST 5.5. No I/O.
 */
#ifndef CMDB_RECORD_H
#define CMDB_RECORD_H

#include <stddef.h>
#include <stdint.h>

#define RECORD_HEADER_SIZE 8
#define RECORD_CONTENT_MAX 65535u
#define RECORD_END_SIZE 24

enum record_type { RECORD_ABORT_REQUEST = 2, RECORD_END_REQUEST = 3, RECORD_STDOUT = 6 };

/* The header of a record with `len` bytes of content and no padding. */
void record_header(unsigned char out[RECORD_HEADER_SIZE], enum record_type type,
	uint16_t request_id, size_t len);
/* What ends an answer: an empty STDOUT record and END_REQUEST (status 0, complete). */
void record_end(unsigned char out[RECORD_END_SIZE], uint16_t request_id);

#endif
