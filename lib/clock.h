/*
 * Time. Deadlines are absolute monotonic milliseconds; what people read is RFC 3339 UTC with
 * milliseconds. Any thread; never blocks.
 */
#ifndef CMDB_CLOCK_H
#define CMDB_CLOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* The year 9999, the last that DATETIME and RFC 3339 have: no time that comes from outside (a
 * token, a journal, a frame) may be later, so that sums with it, in milliseconds, too, stay
 * numbers. */
#define CLOCK_S_MAX 253370764800

/* The last that has four digits of a year: 9999-12-31T23:59:59.999Z. */
#define CLOCK_WALL_MAX_MS 253402300799999

#define CLOCK_RFC3339_SIZE 25 /* 2026-11-22T19:35:00.123Z and the NUL */

int64_t clock_ms(void);      /* CLOCK_MONOTONIC: the same in all processes of a host */
int64_t clock_us(void);      /* CLOCK_MONOTONIC */
int64_t clock_wall_ms(void); /* CLOCK_REALTIME, since 1970 */
/* A condition whose timed waits go by the monotonic clock, and a time of that for them. */
void clock_cond_init(pthread_cond_t *cond);
struct timespec clock_at(int64_t ms);
/* Which boot of the machine this is: monotonic times of another one mean nothing. 0: not known. */
uint64_t clock_boot(void);
void clock_rfc3339(int64_t wall_ms, char out[CLOCK_RFC3339_SIZE]);
/* The whole text by RFC 3339 section 5.6, with its zone, which may be any offset: a day that there
 * is, from 1970 to CLOCK_WALL_MAX_MS. What is below a millisecond is cut off; a leap second is the
 * one after it. */
bool clock_parse_rfc3339(const char *text, size_t len, int64_t *wall_ms);
/* "2026-11-22 19:35:00.123", UTC, as MariaDB takes and prints DATETIME(3). */
void clock_sql(int64_t wall_ms, char out[CLOCK_RFC3339_SIZE]);
/* "2026-11-22 19:35:00.123" as MariaDB prints DATETIME(3) in UTC -> RFC 3339. A shorter or NULL
 * text gives "". */
void clock_from_sql(const char *sql, char out[CLOCK_RFC3339_SIZE]);

#endif
