#define _GNU_SOURCE /* POLLRDHUP */
#include <assert.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <errmsg.h>
#include <mysqld_error.h>

#include "db_internal.h"
#include "mem.h"

void db_library_init(void)
{
	if (mysql_library_init(0, NULL, NULL))
		abort();
}

void db_library_fini(void)
{
	mysql_library_end();
}

void db_thread_init(void)
{
	mysql_thread_init();
}

void db_thread_fini(void)
{
	mysql_thread_end();
}

static bool is_set(const char *text)
{
	return text && *text;
}

static bool is_same_text(const char *a, const char *b)
{
	return !strcmp(a ? a : "", b ? b : "");
}

bool db_login_is_same(const struct db_login *a, const struct db_login *b)
{
	return is_same_text(a->socket, b->socket) && is_same_text(a->host, b->host) &&
	       a->port == b->port && is_same_text(a->name, b->name) &&
	       is_same_text(a->user, b->user) && is_same_text(a->password, b->password) &&
	       is_same_text(a->tls_ca, b->tls_ca) &&
	       a->connect_timeout_ms == b->connect_timeout_ms &&
	       a->io_timeout_ms == b->io_timeout_ms;
}

struct db *db_new(const struct db_login *login, const struct db_set *const *sets)
{
	struct db *db = xcalloc(1, sizeof(*db));

	db->login = *login;
	db->sets = sets;
	return db;
}

void db_free(struct db *db)
{
	if (!db)
		return;
	db_close(db);
	free(db);
}

void db_close(struct db *db)
{
	db->is_in_txn = false;
	db_prepared_drop_all(db);
	if (db->conn)
		mysql_close(db->conn);
	db->conn = NULL;
}

bool db_is_open(const struct db *db)
{
	return db->conn;
}

struct st_mysql *db_handle(struct db *db)
{
	return db->conn;
}

unsigned db_generation(const struct db *db)
{
	return db->generation;
}

const char *db_errmsg(const struct db *db)
{
	return db->message;
}

unsigned db_errno(const struct db *db)
{
	return db->code;
}

const char *db_errkey(const struct db *db)
{
	return db->key;
}

enum err db_fail(struct db *db, unsigned code, const char *message, const char *what)
{
	enum err e = db_error_map(code);

	assert(e != ERR_OK);
	db->code = code;
	db->key[0] = '\0';
	snprintf(db->message, sizeof(db->message), "%s%s%s (%u)", what, *what ? ": " : "", message,
		code);
	if (e == ERR_DB_DUP)
		db_error_key(message, db->key);
	if (e == ERR_DB_LOST || code == ER_NET_PACKET_TOO_LARGE)
		db_close(db);
	/* The server undoes the whole transaction for a deadlock, but only the statement for a lock
	 * wait timeout: callers are promised the former. */
	else if (e == ERR_DB_RETRY && code == ER_LOCK_DEADLOCK)
		db->is_in_txn = false;
	else if (e == ERR_DB_RETRY)
		db_rollback(db);
	return e;
}

static enum err fail_conn(struct db *db, const char *what)
{
	char message[512];
	unsigned code = mysql_errno(db->conn);

	/* The message lives in the connection, which db_fail() may close. */
	snprintf(message, sizeof(message), "%s", mysql_error(db->conn));
	return db_fail(db, code ? code : CR_UNKNOWN_ERROR, message, what);
}

enum err db_check_size(struct db *db, size_t size, const char *what)
{
	char message[96];

	if (!db->packet_max || size <= db->packet_max)
		return ERR_OK;
	snprintf(message, sizeof(message), "%zu bytes are over the server's max_allowed_packet",
		size);
	return db_fail(db, CR_NET_PACKET_TOO_LARGE, message, what);
}

static enum err query(struct db *db, const char *sql, const char *what)
{
	enum err e;

	if (!db->conn)
		return ERR_DB_LOST;
	e = db_check_size(db, strlen(sql) + 1, what);
	if (e != ERR_OK)
		return e;
	db_done(db);
	if (mysql_real_query(db->conn, sql, strlen(sql)))
		return fail_conn(db, what);
	return ERR_OK;
}

/* ---- the connection ---- */

static unsigned seconds_up(unsigned ms)
{
	return ms / 1000 + (ms % 1000 != 0);
}

static void set_options(struct db *db, MYSQL *conn)
{
	const struct db_login *l = &db->login;
	unsigned connect_s = seconds_up(l->connect_timeout_ms), io_s = seconds_up(l->io_timeout_ms);
	unsigned is_local = is_set(l->socket), no = 0;
	enum mysql_protocol_type protocol = is_local ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
	my_bool off = 0, on = 1;

	mysql_optionsv(conn, MYSQL_OPT_RECONNECT, &off);
	mysql_optionsv(conn, MYSQL_OPT_LOCAL_INFILE, &no);
	mysql_optionsv(conn, MYSQL_OPT_PROTOCOL, &protocol);
	mysql_optionsv(conn, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	if (connect_s)
		mysql_optionsv(conn, MYSQL_OPT_CONNECT_TIMEOUT, &connect_s);
	if (io_s) {
		mysql_optionsv(conn, MYSQL_OPT_READ_TIMEOUT, &io_s);
		mysql_optionsv(conn, MYSQL_OPT_WRITE_TIMEOUT, &io_s);
	}
	if (!is_local && is_set(l->tls_ca)) {
		mysql_optionsv(conn, MYSQL_OPT_SSL_CA, l->tls_ca);
		mysql_optionsv(conn, MYSQL_OPT_SSL_ENFORCE, &on);
		mysql_optionsv(conn, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &on);
	}
}

/* The user to log in as. Connector/C's own guess takes the name of the terminal's owner before that
 * of the process, which unix_socket authentication refuses. */
static const char *login_user(const struct db_login *l, char *buf, size_t size)
{
	struct passwd pw, *found = NULL;

	if (is_set(l->user))
		return l->user;
	if (getpwuid_r(geteuid(), &pw, buf, size, &found) || !found)
		return NULL;
	return found->pw_name;
}

static enum err read_packet_max(struct db *db)
{
	enum err e = query(db, "SELECT @@max_allowed_packet", "session");
	MYSQL_RES *res = e == ERR_OK ? mysql_store_result(db->conn) : NULL;
	MYSQL_ROW row = res ? mysql_fetch_row(res) : NULL;

	if (e != ERR_OK)
		return e;
	if (!row)
		e = fail_conn(db, "session");
	else
		db->packet_max = strtoul(row[0], NULL, 10);
	mysql_free_result(res);
	return e;
}

static enum err connect_server(struct db *db)
{
	const struct db_login *l = &db->login;
	const char *socket = is_set(l->socket) ? l->socket : NULL;
	const char *host = socket ? NULL : is_set(l->host) ? l->host : "127.0.0.1";
	const char *password = l->password ? l->password : "";
	const char *name = is_set(l->name) ? l->name : NULL;
	char buf[1024], what[256];
	struct str sql = STR_INIT;
	enum err e;

	db->conn = mysql_init(NULL);
	if (!db->conn)
		abort(); /* out of memory */
	set_options(db, db->conn);
	if (socket)
		snprintf(what, sizeof(what), "%s", socket);
	else
		snprintf(what, sizeof(what), "%s:%u", host, l->port);
	if (!mysql_real_connect(db->conn, host, login_user(l, buf, sizeof(buf)), password, name,
		    l->port, socket, 0))
		return fail_conn(db, what);
	db_session_sql(&sql);
	db->packet_max = 0;
	e = query(db, str_c(&sql), "session");
	str_fini(&sql);
	return e == ERR_OK ? read_packet_max(db) : e;
}

/* Has the server closed its end (stopped, killed us, timed us out)? Asking costs one poll(2), and
 * saves the request at hand from finding out. */
static bool is_hung_up(const struct db *db)
{
	struct pollfd pfd = {.fd = mysql_get_socket(db->conn), .events = POLLRDHUP};

	return poll(&pfd, 1, 0) > 0;
}

enum err db_ensure(struct db *db)
{
	enum err e;

	db->code = 0;
	db->message[0] = '\0';
	if (db->conn && (db->is_in_txn || !is_hung_up(db)))
		return ERR_OK;
	db_close(db);
	e = connect_server(db);
	if (e == ERR_OK)
		e = db_prepare_sets(db);
	if (e != ERR_OK) {
		db_close(db);
		return e;
	}
	db->generation++;
	return ERR_OK;
}

/* ---- transactions ---- */

enum err db_begin(struct db *db)
{
	enum err e;

	assert(!db->is_in_txn);
	e = query(db, "START TRANSACTION", "begin");
	db->is_in_txn = e == ERR_OK;
	return e;
}

/* Not READ ONLY: a proxy may send that to a replica, which is behind. */
enum err db_begin_snapshot(struct db *db)
{
	enum err e;

	assert(!db->is_in_txn);
	e = query(db, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "snapshot");
	if (e == ERR_OK)
		e = query(db, "START TRANSACTION WITH CONSISTENT SNAPSHOT", "snapshot");
	db->is_in_txn = e == ERR_OK;
	return e;
}

enum err db_commit(struct db *db)
{
	enum err e = query(db, "COMMIT", "commit");

	if (e == ERR_OK)
		db->is_in_txn = false;
	else
		db_rollback(db);
	return e;
}

void db_rollback(struct db *db)
{
	if (!db->is_in_txn)
		return;
	db_done(db);
	/* Closing the connection rolls back as well. */
	if (mysql_rollback(db->conn))
		db_close(db);
	db->is_in_txn = false;
}

/* ---- text protocol ---- */

unsigned db_script_n(const struct db *db)
{
	return db->script_n;
}

static enum err fail_script(struct db *db)
{
	char what[32];

	snprintf(what, sizeof(what), "statement %u", db->script_n + 1);
	return fail_conn(db, what);
}

/* Reads the results of a script that was sent, one after the other. */
static enum err drain(struct db *db)
{
	for (;;) {
		MYSQL_RES *res = mysql_store_result(db->conn);
		int more;

		mysql_free_result(res);
		if (!res && mysql_field_count(db->conn))
			return fail_script(db);
		db->script_n++;
		more = mysql_next_result(db->conn);
		if (more < 0)
			return ERR_OK;
		if (more > 0)
			return fail_script(db);
	}
}

/* Several statements in one text are allowed here alone: elsewhere that would let an injection end
 * one statement and begin its own. */
enum err db_script(struct db *db, const char *sql)
{
	unsigned status;
	enum err e;

	db->script_n = 0;
	if (!db->conn)
		return ERR_DB_LOST;
	db_done(db);
	if (mysql_set_server_option(db->conn, MYSQL_OPTION_MULTI_STATEMENTS_ON))
		return fail_conn(db, "script");
	e = query(db, sql, "statement 1");
	if (e == ERR_OK)
		e = drain(db);
	if (db->conn && mysql_set_server_option(db->conn, MYSQL_OPTION_MULTI_STATEMENTS_OFF)) {
		enum err off = fail_conn(db, "script");
		e = e == ERR_OK ? off : e;
	}
	/* The script may have begun or ended a transaction. */
	if (db->conn && !mariadb_get_info(db->conn, MARIADB_CONNECTION_SERVER_STATUS, &status))
		db->is_in_txn = status & SERVER_STATUS_IN_TRANS;
	return e;
}

void db_quote(struct db *db, struct str *out, const char *text)
{
	size_t len = strlen(text);

	assert(db->conn);
	str_addc(out, '\'');
	str_reserve(out, 2 * len + 1);
	out->len += mysql_real_escape_string(db->conn, out->p + out->len, text, len);
	str_addc(out, '\'');
}
