#include "clock.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

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
	if (wall_ms > CLOCK_WALL_MAX_MS)
		wall_ms = CLOCK_WALL_MAX_MS;
	time_t s = (time_t)(wall_ms / 1000);
	struct tm tm;
	char ms[8];

	gmtime_r(&s, &tm);
	strftime(out, CLOCK_RFC3339_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(ms, sizeof(ms), ".%03uZ", (unsigned)(wall_ms % 1000));
	memcpy(out + 19, ms, 6);
}

void clock_sql(int64_t wall_ms, char out[CLOCK_RFC3339_SIZE])
{
	clock_rfc3339(wall_ms, out);
	out[10] = ' ';
	out[23] = '\0';
}

/* ---- RFC 3339 ---- */

/* n digits at *p, which moves on; more than `max` is no number of that field. */
static bool clock_take_digits(const char **p, const char *end, int n, int max, int *out)
{
	*out = 0;
	for (; n > 0; n--, ++*p) {
		if (*p == end || **p < '0' || **p > '9')
			return false;
		*out = *out * 10 + (**p - '0');
	}
	return *out <= max;
}

static bool take_char(const char **p, const char *end, const char *any_of)
{
	if (*p == end || !**p || !strchr(any_of, **p))
		return false;
	++*p;
	return true;
}

static bool clock_is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

#define LEAP_DAYS_BEFORE(year) (((year)-1) / 4 - ((year)-1) / 100 + ((year)-1) / 400)

/* Days since 1970-01-01. false: there is no such day. */
static bool days_of(int year, int month, int day, int64_t *days)
{
	static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
	int in_month;

	if (month < 1)
		return false;
	in_month = before[month] - before[month - 1] + (month == 2 && clock_is_leap(year));
	*days = 365 * (int64_t)(year - 1970) + LEAP_DAYS_BEFORE(year) - LEAP_DAYS_BEFORE(1970) +
		before[month - 1] + (month > 2 && clock_is_leap(year)) + day - 1;
	return day >= 1 && day <= in_month;
}

static bool take_fraction(const char **p, const char *end, int *ms)
{
	int n = 0;

	*ms = 0;
	if (*p == end || **p != '.')
		return true;
	for (++*p; *p < end && **p >= '0' && **p <= '9'; n++, ++*p)
		if (n < 3)
			*ms = *ms * 10 + (**p - '0');
	for (int i = n; i < 3; i++)
		*ms *= 10;
	return n > 0;
}

static bool take_zone(const char **p, const char *end, int *minutes)
{
	bool is_behind;
	int hour, minute;

	*minutes = 0;
	if (take_char(p, end, "Zz"))
		return true;
	is_behind = take_char(p, end, "-");
	if ((!is_behind && !take_char(p, end, "+")) || !clock_take_digits(p, end, 2, 23, &hour) ||
		!take_char(p, end, ":") || !clock_take_digits(p, end, 2, 59, &minute))
		return false;
	*minutes = is_behind ? -(hour * 60 + minute) : hour * 60 + minute;
	return true;
}

bool clock_parse_rfc3339(const char *text, size_t len, int64_t *wall_ms)
{
	const char *p = text, *end = text + len;
	int year, month, day, hour, minute, second, ms, zone;
	int64_t days;

	if (!clock_take_digits(&p, end, 4, 9999, &year) || !take_char(&p, end, "-") ||
		!clock_take_digits(&p, end, 2, 12, &month) || !take_char(&p, end, "-") ||
		!clock_take_digits(&p, end, 2, 31, &day) || !take_char(&p, end, "Tt ") ||
		!clock_take_digits(&p, end, 2, 23, &hour) || !take_char(&p, end, ":") ||
		!clock_take_digits(&p, end, 2, 59, &minute) || !take_char(&p, end, ":") ||
		!clock_take_digits(&p, end, 2, 60, &second) || !take_fraction(&p, end, &ms) ||
		!take_zone(&p, end, &zone) || p != end)
		return false;
	if (!days_of(year, month, day, &days))
		return false;
	*wall_ms = ((days * 1440 + hour * 60 + minute - zone) * 60 + second) * 1000 + ms;
	return *wall_ms >= 0 && *wall_ms <= CLOCK_WALL_MAX_MS;
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
