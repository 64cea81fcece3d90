/*
 * The file of JSON lines that log entries are written to besides the database (logs.file): an entry
 * a line, as it is shown everywhere, with "tenant" before the rest. Any number of processes write
 * to it.
 *
 * Only whole lines are ever left in it. The lines of a request are one write(2) at the end of the
 * file, under flock(2), so that what a full disk cuts short is taken back before anybody else has
 * written behind it; who finds a torn line at the end, which a process left that was killed in
 * its write, cuts it off. (Of the locks of Linux this one goes with the open file, not with the
 * process, as threads need it, and ends with it.)
 *
 * It comes after COMMIT: what cannot be written is said once in the log and counted, and fails no
 * request. It goes by the day (UTC) that entries were received on, and is opened anew when the
 * name becomes another one, when it was removed, and after log_file_reopen(). Any thread; blocks as
 * the disk does, and for the lock a second at most, and seldom in vain.
 */
#ifndef CMDB_LOG_FILE_H
#define CMDB_LOG_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "log_entry.h"
#include "str.h"

struct log_file;

/* What a request has stored, once it is committed. */
struct log_lines {
	size_t n;        /* entries */
	struct str text; /* of each a line; empty: they are written to no file */
	int64_t received_ms;
};

struct log_lines *log_lines_new(size_t n, int64_t received_ms);
void log_lines_free(struct log_lines *l); /* takes NULL */
/* entry: what log_entry_put() has rendered. */
void log_lines_add(struct log_lines *l, uint32_t tenant_id, struct slice entry);

/* stats is borrowed: STAT_N figures. */
struct log_file *log_file_new(_Atomic uint64_t *stats);
void log_file_free(struct log_file *f); /* what was written is on the disk; takes NULL */
/* Counts the entries, and writes their lines. */
void log_file_write(struct log_file *f, const struct config *cfg, const struct log_lines *l);
/* The next lines go into the file that has the name then. */
void log_file_reopen(struct log_file *f);

#endif
