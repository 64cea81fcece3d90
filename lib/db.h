/*
 * One connection to MariaDB: prepared statements, one result at a time, transactions. A struct db
 * belongs to one thread. All calls but db_new() and db_free() may block up to the timeouts of the
 * configuration. The connection runs in UTC, utf8mb4, READ COMMITTED, autocommit on, strict mode,
 * whatever the server's defaults are (db_session.c).
 *
 * A module keeps its SQL as `static const struct db_stmt`s in a db_set at the top of its file.
 * Sets given to db_new() are prepared and checked (number of parameters and columns) each time the
 * connection opens, so a wrong statement shows at the start and not at the first request; sets
 * marked lazy are prepared on first use. A statement is named by its address.
 *
 * Invariant: automatic reconnect is off (Connector/C loses prepared statements by it). After
 * ERR_DB_LOST everything but db_ensure() fails with ERR_DB_LOST, and an open transaction is gone.
 */
#ifndef CMDB_DB_H
#define CMDB_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "err.h"
#include "str.h"

struct db;

struct db_stmt {
	const char *name; /* for the log */
	const char *sql;
	int params_n; /* checked against the server */
	int cols_n;   /* 0: no result */
};

struct db_set {
	const char *name;
	const struct db_stmt *const *stmts; /* ends with NULL */
	bool is_lazy;
};

enum db_type { DB_NULL, DB_INT, DB_UINT, DB_DOUBLE, DB_TEXT };

struct db_val {
	enum db_type type;
	union {
		int64_t i;
		uint64_t u;
		double d;
		struct {
			const char *p; /* NUL-terminated when it comes from a row */
			size_t len;
		} s;
	};
};

/* In SQL: a DATETIME as milliseconds since 1970. (UNIX_TIMESTAMP() ends in 2038.) */
#define DB_MS_OF(time) "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', " time ") DIV 1000"

/* Values for parameters; texts are borrowed for the call. */
#define DBV_I(x) ((struct db_val){.type = DB_INT, .i = (x)})
#define DBV_U(x) ((struct db_val){.type = DB_UINT, .u = (x)})
#define DBV_NULL ((struct db_val){.type = DB_NULL})
struct db_val dbv_s(const char *text); /* NULL gives SQL NULL */
struct db_val dbv_b(const void *p, size_t len);

/* Who connects where. Texts are borrowed as long as the struct db lives. */
struct db_login {
	const char *socket; /* used when not empty, else host and port */
	const char *host;
	unsigned port;
	const char *name;
	const char *user;     /* empty: the user of the operating system (unix_socket) */
	const char *password; /* may be empty */
	const char *tls_ca;   /* not empty: TLS, the server's certificate is verified with it */
	unsigned connect_timeout_ms;
	unsigned io_timeout_ms; /* read and write; 0: no limit */
};

/* Do both lead to the same account of the same database, in the same time? */
bool db_login_is_same(const struct db_login *a, const struct db_login *b);

/* Does not connect yet. sets ends with NULL, is borrowed. Never NULL. */
struct db *db_new(const struct db_login *login, const struct db_set *const *sets);
void db_free(struct db *db);
/* Connects if there is no connection, it was lost, or the server has hung up; else costs one
 * poll(2), in a transaction nothing. ERR_DB_LOST if the server cannot be reached (try again),
 * ERR_DB_DENIED, ERR_DB if a statement does not fit the schema (db_errmsg() says which). */
enum err db_ensure(struct db *db) __attribute__((warn_unused_result));
/* Drops the connection; db_ensure() makes a new one. */
void db_close(struct db *db);
bool db_is_open(const struct db *db);
/* Connections opened so far: a change means that session state is gone. */
unsigned db_generation(const struct db *db);
/* What the last failure was, "" and 0 if there was none since db_ensure() was last called. For the
 * log, not for clients; borrowed until the next call. */
const char *db_errmsg(const struct db *db);
unsigned db_errno(const struct db *db);
/* After ERR_DB_DUP: the name of the violated key, without its table ("uq_users_name"); else "". */
const char *db_errkey(const struct db *db);

enum err db_begin(struct db *db) __attribute__((warn_unused_result));
/* All reads up to the commit or rollback see what was committed when it began, and lock nothing. */
enum err db_begin_snapshot(struct db *db) __attribute__((warn_unused_result));
/* ERR_DB_LOST here: whether it was committed is not known. */
enum err db_commit(struct db *db) __attribute__((warn_unused_result));
/* Harmless without a transaction; never fails as far as the caller is concerned. */
void db_rollback(struct db *db);

/* A statement without a result. *affected (rows changed) and *insert_id may be NULL. */
enum err db_exec(struct db *db, const struct db_stmt *st, const struct db_val *in, size_t in_n,
	uint64_t *affected, uint64_t *insert_id) __attribute__((warn_unused_result));
/* An INSERT for many rows: in has params_n values for each, of one type in a column, or NULL. The
 * server gets as many at a time as its max_allowed_packet takes and inserts these by one statement,
 * in their order; in a transaction, so that it is all of them or none. rows_n may be 0. */
enum err db_exec_rows(struct db *db, const struct db_stmt *st, const struct db_val *in,
	size_t rows_n) __attribute__((warn_unused_result));
/* A statement with a result: its rows are held by the client until db_done(), db_close() or the
 * next db_query() or db_exec() of this db. */
enum err db_query(struct db *db, const struct db_stmt *st, const struct db_val *in, size_t in_n)
	__attribute__((warn_unused_result));
/* The next row, cols_n values, or NULL at the end; borrowed until the next call. */
const struct db_val *db_fetch(struct db *db);
/* Rows in the result. */
uint64_t db_rows_n(const struct db *db);
void db_done(struct db *db);
/* The first row of a query in one call: *row borrowed until the next call of this db, NULL if there
 * is none. */
enum err db_one(struct db *db, const struct db_stmt *st, const struct db_val *in, size_t in_n,
	const struct db_val **row) __attribute__((warn_unused_result));

/* Text protocol, for DDL and session settings out of constant text or migration files; never with
 * input of a client in it. May hold several statements: the server takes them apart, and the first
 * that fails ends it (db_errmsg() counts them). Results are read and thrown away. */
enum err db_script(struct db *db, const char *sql) __attribute__((warn_unused_result));
/* How many statements of the last script were carried out. */
unsigned db_script_n(const struct db *db);
/* Adds text as an SQL literal with its quotes, for the few statements that cannot be prepared with
 * parameters (CREATE USER). db must be open. */
void db_quote(struct db *db, struct str *out, const char *text);

/* The Connector/C handle of an open connection, borrowed until it is lost or closed: for the binlog
 * reader, which speaks the replication protocol on it. */
struct st_mysql *db_handle(struct db *db);

/* Value readers: NULL gives 0 or NULL. */
uint64_t dbv_u(const struct db_val *v);
int64_t dbv_i(const struct db_val *v);
const char *dbv_text(const struct db_val *v);   /* borrowed from the row */
struct slice dbv_slice(const struct db_val *v); /* likewise */

/* Once per program before threads, and per thread that uses a db. */
void db_library_init(void);
void db_library_fini(void);
void db_thread_init(void);
void db_thread_fini(void);

#endif
