#include "day_file.h"

#include <string.h>
#include <time.h>

bool day_file_name(struct str *out, const char *pattern, int64_t wall_ms)
{
	time_t s = (time_t)(wall_ms / 1000);
	struct tm tm;

	gmtime_r(&s, &tm);
	for (const char *p = pattern; *p; p++) {
		if (*p != '%') {
			str_addc(out, *p);
			continue;
		}
		switch (*++p) {
		case 'Y':
			str_addf(out, "%04d", tm.tm_year + 1900);
			break;
		case 'm':
			str_addf(out, "%02d", tm.tm_mon + 1);
			break;
		case 'd':
			str_addf(out, "%02d", tm.tm_mday);
			break;
		case 'H':
			str_addf(out, "%02d", tm.tm_hour);
			break;
		case '%':
			str_addc(out, '%');
			break;
		default:
			return false;
		}
	}
	return true;
}
