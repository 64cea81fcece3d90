/*
 * Log lines on standard error: a time, a level, the program, an event word that scripts can match,
 * and a message. Text or JSON, one line each, one write(2) each, so that threads and processes do
 * not mix them. Any thread; blocks only as standard error does. The level is the one global here.
 *
 * Never log a password, token, key or Cookie/Authorization header.
 */
#ifndef CMDB_LOG_H
#define CMDB_LOG_H

#include <stdbool.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

void log_init(const char *program, enum log_level level, enum log_format format);
bool log_is_on(enum log_level level);
void log_at(enum log_level level, const char *event, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define log_debug(event, ...)                                    \
	do {                                                     \
		if (log_is_on(LOG_DEBUG))                        \
			log_at(LOG_DEBUG, (event), __VA_ARGS__); \
	} while (0)
#define log_info(event, ...) log_at(LOG_INFO, (event), __VA_ARGS__)
#define log_warn(event, ...) log_at(LOG_WARN, (event), __VA_ARGS__)
#define log_error(event, ...) log_at(LOG_ERROR, (event), __VA_ARGS__)

/* What stops a start: says what is wrong and the cure, a line of the log for each line of it, and
 * exits with status: 1, or 78 (EX_CONFIG) for configuration. */
void log_fatal(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));

#endif
