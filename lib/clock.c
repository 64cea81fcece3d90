#include "clock.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* 9999-12-31T23:59:59.999Z: four digits are all that fit, and all that RFC 3339 knows. */
#define WALL_MAX_MS 253402300799999

static int64_t now_us(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_ms(void)
{
	return now_us(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_us(void)
{
	return now_us(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void)
{
	return now_us(CLOCK_REALTIME) / 1000;
}

void clock_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

struct timespec clock_at(int64_t ms)
{
	return (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
}

uint64_t clock_boot(void)
{
	static const char path[] = "/proc/sys/kernel/random/boot_id";
	FILE *f = fopen(path, "re");
	uint64_t boot = 0;
	int c;

	if (!f)
		return 0;
	while ((c = getc(f)) != EOF)
		if (isxdigit(c))
			boot = boot * 31 + (uint64_t)c;
	fclose(f);
	return boot;
}

void clock_rfc3339(int64_t wall_ms, char out[CLOCK_RFC3339_SIZE])
{
	if (wall_ms < 0)
		wall_ms = 0;
	if (wall_ms > WALL_MAX_MS)
		wall_ms = WALL_MAX_MS;
	time_t s = (time_t)(wall_ms / 1000);
	struct tm tm;
	char ms[8];

	gmtime_r(&s, &tm);
	strftime(out, CLOCK_RFC3339_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(ms, sizeof(ms), ".%03uZ", (unsigned)(wall_ms % 1000));
	memcpy(out + 19, ms, 6);
}

void clock_from_sql(const char *sql, char out[CLOCK_RFC3339_SIZE])
{
	out[0] = '\0';
	if (!sql || strnlen(sql, 23) < 23)
		return;
	memcpy(out, sql, 23);
	out[10] = 'T';
	out[23] = 'Z';
	out[24] = '\0';
}
