#include <errmsg.h>
#include <mysqld_error.h>
#include <string.h>

#include "db_internal.h"

/* Numbers that have no name in the client's headers. */
#define INNODB_DISK_FULL 28   /* errno ENOSPC, passed through */
#define GALERA_NOT_READY 1047 /* ER_UNKNOWN_COM_ERROR: "WSREP has not yet prepared node" */

struct row {
	unsigned code;
	enum err err;
};

/*
 * A full server (too many connections) counts as lost: nothing can be done on it now, and trying
 * again is the cure. So do errors after which client and server no longer agree on where in the
 * protocol they are: a new connection is the only way on.
 */
static const struct row rows[] = {
	{ER_DUP_ENTRY, ERR_DB_DUP},
	{ER_DUP_ENTRY_WITH_KEY_NAME, ERR_DB_DUP},
	{ER_ROW_IS_REFERENCED, ERR_DB_REF_USED},
	{ER_ROW_IS_REFERENCED_2, ERR_DB_REF_USED},
	{ER_NO_REFERENCED_ROW, ERR_DB_REF_NONE},
	{ER_NO_REFERENCED_ROW_2, ERR_DB_REF_NONE},
	{ER_LOCK_DEADLOCK, ERR_DB_RETRY},
	{ER_LOCK_WAIT_TIMEOUT, ERR_DB_RETRY},
	{ER_CHECKREAD, ERR_DB_RETRY}, /* innodb_snapshot_isolation: the row has changed since */
	{INNODB_DISK_FULL, ERR_DB_FULL},
	{ER_DISK_FULL, ERR_DB_FULL},
	{ER_RECORD_FILE_FULL, ERR_DB_FULL},
	{ER_OPTION_PREVENTS_STATEMENT, ERR_DB_READONLY},
	{ER_READ_ONLY_MODE, ERR_DB_READONLY},
	{ER_DBACCESS_DENIED_ERROR, ERR_DB_DENIED},
	{ER_ACCESS_DENIED_ERROR, ERR_DB_DENIED},
	{ER_ACCESS_DENIED_NO_PASSWORD_ERROR, ERR_DB_DENIED},
	{ER_HOST_IS_BLOCKED, ERR_DB_DENIED},
	{ER_HOST_NOT_PRIVILEGED, ERR_DB_DENIED},
	{ER_TABLEACCESS_DENIED_ERROR, ERR_DB_DENIED},
	{ER_COLUMNACCESS_DENIED_ERROR, ERR_DB_DENIED},
	{ER_PROCACCESS_DENIED_ERROR, ERR_DB_DENIED},
	{ER_SPECIFIC_ACCESS_DENIED_ERROR, ERR_DB_DENIED},
	{CR_CONNECTION_ERROR, ERR_DB_LOST},
	{CR_CONN_HOST_ERROR, ERR_DB_LOST},
	{CR_IPSOCK_ERROR, ERR_DB_LOST},
	{CR_UNKNOWN_HOST, ERR_DB_LOST},
	{CR_SERVER_GONE_ERROR, ERR_DB_LOST},
	{CR_SERVER_HANDSHAKE_ERR, ERR_DB_LOST},
	{CR_SERVER_LOST, ERR_DB_LOST},
	{CR_SERVER_LOST_EXTENDED, ERR_DB_LOST},
	{CR_COMMANDS_OUT_OF_SYNC, ERR_DB_LOST},
	{CR_SSL_CONNECTION_ERROR, ERR_DB_LOST},
	{CR_MALFORMED_PACKET, ERR_DB_LOST},
	{CR_NEW_STMT_METADATA, ERR_DB_LOST},
	{ER_CON_COUNT_ERROR, ERR_DB_LOST},
	{ER_TOO_MANY_USER_CONNECTIONS, ERR_DB_LOST},
	{ER_USER_LIMIT_REACHED, ERR_DB_LOST},
	{ER_SERVER_SHUTDOWN, ERR_DB_LOST},
	{ER_NORMAL_SHUTDOWN, ERR_DB_LOST},
	{ER_ABORTING_CONNECTION, ERR_DB_LOST},
	{ER_NEW_ABORTING_CONNECTION, ERR_DB_LOST},
	{ER_NET_READ_ERROR, ERR_DB_LOST},
	{ER_NET_READ_INTERRUPTED, ERR_DB_LOST},
	{ER_NET_ERROR_ON_WRITE, ERR_DB_LOST},
	{ER_NET_WRITE_INTERRUPTED, ERR_DB_LOST},
	{ER_CONNECTION_KILLED, ERR_DB_LOST},
	{GALERA_NOT_READY, ERR_DB_LOST},
};

enum err db_error_map(unsigned code)
{
	if (!code)
		return ERR_OK;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].code == code)
			return rows[i].err;
	return ERR_DB;
}

/* "Duplicate entry 'x' for key 'uq_users_username'", or 'users.uq_users_username'. The entry itself
 * may hold anything, quotes too, so the name is read from the end. */
void db_error_key(const char *message, char out[DB_KEY_SIZE])
{
	size_t end = strlen(message), from;

	out[0] = '\0';
	if (!end || message[--end] != '\'')
		return;
	for (from = end; from && message[from - 1] != '\'' && message[from - 1] != '.'; from--)
		;
	if (!from || end - from >= DB_KEY_SIZE)
		return;
	memcpy(out, message + from, end - from);
	out[end - from] = '\0';
}

bool db_error_is_stale_stmt(unsigned code)
{
	return code == ER_UNKNOWN_STMT_HANDLER || code == ER_NEED_REPREPARE;
}
