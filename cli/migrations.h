/*
 * The numbered files of schema/, "NNNN_name.sql" from 0001 on without a gap, and how they compare
 * with what a database has had. No database in here; blocks only on the files.
 */
#ifndef CMDB_CLI_MIGRATIONS_H
#define CMDB_CLI_MIGRATIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "str.h"

#define MIGRATION_NAME_MAX 64
#define MIGRATION_FILE_MAX (16u * 1024 * 1024)
#define MIGRATION_CHECKSUM_SIZE 65 /* BLAKE2b-256 in hex digits, and the NUL */

struct migration {
	unsigned version;
	char name[MIGRATION_NAME_MAX + 1]; /* "core" of 0001_core.sql */
	char checksum[MIGRATION_CHECKSUM_SIZE];
	struct str sql;
};

struct migrations {
	struct migration *v; /* v[i].version is i + 1 */
	size_t n;
};

/* What schema_migrations says of one. */
struct migrated {
	unsigned version;
	char name[MIGRATION_NAME_MAX + 1];
	char checksum[MIGRATION_CHECKSUM_SIZE];
	bool is_done; /* else it was begun and not finished */
	char when[32];
};

enum migration_state {
	MIGRATION_PENDING,
	MIGRATION_DONE,
	MIGRATION_STARTED, /* begun, not finished */
	MIGRATION_CHANGED, /* applied, but from another text */
	MIGRATION_UNKNOWN, /* applied, but there is no such file */
};
const char *migration_state_name(enum migration_state s);

/* Reads the directory. On failure why says what is wrong, and nothing is left to release. */
bool migrations_read(struct migrations *m, const char *dir, struct str *why);
void migrations_fini(struct migrations *m);

/* f, had: the file and the record of one version; either may be NULL, not both. */
enum migration_state migration_state(const struct migration *f, const struct migrated *had);
/* Is what the database has had a beginning of m, all of it done? Else why says what is not, and
 * the cure. had is ordered by version. */
bool migrations_check(
	const struct migrations *m, const struct migrated *had, size_t had_n, struct str *why);

/* Reads a file of SQL. False with why set: not there, too large, not UTF-8 text. */
bool migration_read_file(const char *path, struct str *sql, struct str *why);
void migration_checksum(const struct str *sql, char out[MIGRATION_CHECKSUM_SIZE]);

#endif
