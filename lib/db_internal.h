/*
 * What the parts of lib/db share, and nobody else sees: db.c has the connection and transactions,
 * db_session.c what a session is set to, db_stmt.c prepared statements and their rows, db_error.c
 * what MariaDB's error numbers mean.
 */
#ifndef CMDB_DB_INTERNAL_H
#define CMDB_DB_INTERNAL_H

#include <mysql.h>

#include "db.h"

#define DB_KEY_SIZE 65 /* MariaDB's identifiers have up to 64 characters */

struct db_prepared;

struct db {
	struct db_login login;
	const struct db_set *const *sets;
	MYSQL *conn; /* NULL: not connected, or lost */
	unsigned generation;
	bool is_in_txn;
	struct db_prepared *prepared; /* uthash, by the struct db_stmt's address; of this conn */
	struct db_prepared *active;   /* the one whose rows the client holds */
	unsigned script_n;
	size_t packet_max; /* the server's max_allowed_packet, as this session has it */
	unsigned code;
	char message[768];
	char key[DB_KEY_SIZE];
};

/* ---- db.c ---- */
/* Notes an error and what it means for the connection: one that is lost is dropped, a transaction
 * that is to be run again is rolled back. `what` is put before the message; it may be "". */
enum err db_fail(struct db *db, unsigned code, const char *message, const char *what);

/* Would the server take so much at a time? It hangs up on more without a word, which looks like a
 * lost connection and would be tried again for ever. Else ERR_DB_TOO_LARGE, noted. */
enum err db_check_size(struct db *db, size_t size, const char *what);

/* ---- db_session.c ---- */
struct db_setting {
	const char *name, *value; /* value as SQL */
};
extern const struct db_setting db_settings[]; /* ends with {0} */
/* The one statement that sets them all. */
void db_session_sql(struct str *out);

/* ---- db_stmt.c ---- */
enum err db_prepare_sets(struct db *db) __attribute__((warn_unused_result));
void db_prepared_drop_all(struct db *db);

/* ---- db_error.c ---- */
enum err db_error_map(unsigned code);
/* The key's name in the message of a 1062, without its table; "" if there is none. */
void db_error_key(const char *message, char out[DB_KEY_SIZE]);
/* The statement's handle is of no use any more, but preparing it again mends that. */
bool db_error_is_stale_stmt(unsigned code);

#endif
