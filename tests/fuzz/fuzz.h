/*
 * What must hold of a decoder whatever the bytes: one function each, which ends the process when
 * it does not hold and returns whether the bytes were accepted. `make fuzz` has libFuzzer look for
 * bytes, the unit tests give them mutations of good ones.
 */
#ifndef CMDB_FUZZ_H
#define CMDB_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Unlike assert() also there in a release build, and unlike cmocka's also without it. */
#define MUST(what)                                                                                \
	do {                                                                                      \
		if (!(what)) {                                                                    \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #what); \
			abort();                                                                  \
		}                                                                                 \
	} while (0)

bool fuzz_packet(const uint8_t *p, size_t len);
bool fuzz_payload(const uint8_t *p, size_t len);
bool fuzz_request(const uint8_t *p, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

#endif
