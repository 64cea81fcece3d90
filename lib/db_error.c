#include <errmsg.h>
#include <mysqld_error.h>
#include <string.h>

#include "db_internal.h"

/* Numbers that have no name in the client's headers. */
#define INNODB_DISK_FULL 28   /* errno ENOSPC, passed through */
#define GALERA_NOT_READY 1047 /* ER_UNKNOWN_COM_ERROR: "WSREP has not yet prepared node" */
#define INNODB_FORCED_RECOVERY 1881
#define MYSQL_QUERY_TIMEOUT 3024 /* as a proxy passes it on, from another server */

struct row {
	unsigned code;
	enum err err;
};

/*
 * A full server (too many connections, or prepared statements) counts as lost: nothing can be done
 * on it now, and trying again is the cure; what this connection holds there is given back
 * meanwhile. So do errors after which client and server no longer agree on where in the protocol
 * they are: a new connection is the only way on.
 *
 * READONLY is whatever keeps the server as it is from being written to, FULL what there is no room
 * for, STOPPED a statement that the server ended or could not begin for want of time, memory or
 * locks. They are not tried again here: that would add to the load.
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
	{ER_TABLE_DEF_CHANGED, ERR_DB_RETRY},
	{INNODB_DISK_FULL, ERR_DB_FULL},
	{ER_DISK_FULL, ERR_DB_FULL},
	{ER_RECORD_FILE_FULL, ERR_DB_FULL},
	{ER_ERROR_ON_WRITE, ERR_DB_FULL},
	{ER_AUTOINC_READ_FAILED, ERR_DB_FULL}, /* no id is left */
	{ER_TRANS_CACHE_FULL, ERR_DB_FULL},
	{ER_STMT_CACHE_FULL, ERR_DB_FULL},
	{ER_OPTION_PREVENTS_STATEMENT, ERR_DB_READONLY},
	{ER_READ_ONLY_MODE, ERR_DB_READONLY},
	{ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION, ERR_DB_READONLY},
	{ER_OPEN_AS_READONLY, ERR_DB_READONLY},
	{ER_INNODB_READ_ONLY, ERR_DB_READONLY},
	{INNODB_FORCED_RECOVERY, ERR_DB_READONLY},
	{ER_CANT_UPDATE_WITH_READLOCK, ERR_DB_READONLY},
	{ER_BINLOG_LOGGING_IMPOSSIBLE, ERR_DB_READONLY},
	{ER_BINLOG_ROW_ENGINE_AND_STMT_ENGINE, ERR_DB_READONLY},
	{ER_BINLOG_ROW_MODE_AND_STMT_ENGINE, ERR_DB_READONLY},
	{ER_BINLOG_UNSAFE_AND_STMT_ENGINE, ERR_DB_READONLY},
	{ER_BINLOG_ROW_INJECTION_AND_STMT_ENGINE, ERR_DB_READONLY},
	{ER_BINLOG_STMT_MODE_AND_ROW_ENGINE, ERR_DB_READONLY},
	{ER_STATEMENT_TIMEOUT, ERR_DB_STOPPED},
	{MYSQL_QUERY_TIMEOUT, ERR_DB_STOPPED},
	{ER_QUERY_INTERRUPTED, ERR_DB_STOPPED},
	{ER_FILSORT_ABORT, ERR_DB_STOPPED},
	{ER_LOCK_TABLE_FULL, ERR_DB_STOPPED},
	{ER_TOO_MANY_CONCURRENT_TRXS, ERR_DB_STOPPED},
	{ER_OUTOFMEMORY, ERR_DB_STOPPED},
	{ER_OUT_OF_SORTMEMORY, ERR_DB_STOPPED},
	{ER_OUT_OF_RESOURCES, ERR_DB_STOPPED},
	{ER_ERROR_DURING_COMMIT, ERR_DB_STOPPED},
	{ER_DBACCESS_DENIED_ERROR, ERR_DB_DENIED},
	{ER_ACCESS_DENIED_ERROR, ERR_DB_DENIED},
	{ER_ACCESS_DENIED_NO_PASSWORD_ERROR, ERR_DB_DENIED},
	{ER_HOST_IS_BLOCKED, ERR_DB_DENIED},
	{ER_HOST_NOT_PRIVILEGED, ERR_DB_DENIED},
	{ER_MUST_CHANGE_PASSWORD, ERR_DB_DENIED},
	{ER_MUST_CHANGE_PASSWORD_LOGIN, ERR_DB_DENIED},
	{ER_USER_IS_BLOCKED, ERR_DB_DENIED},
	{ER_ACCOUNT_HAS_BEEN_LOCKED, ERR_DB_DENIED},
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
	{CR_SOCKET_CREATE_ERROR, ERR_DB_LOST}, /* no descriptor is free */
	{CR_NET_PACKET_TOO_LARGE, ERR_DB_TOO_LARGE},
	{ER_NET_PACKET_TOO_LARGE, ERR_DB_TOO_LARGE},
	{ER_NET_PACKETS_OUT_OF_ORDER, ERR_DB_LOST},
	{ER_NET_UNCOMPRESS_ERROR, ERR_DB_LOST},
	{ER_CON_COUNT_ERROR, ERR_DB_LOST},
	{ER_CANT_CREATE_THREAD, ERR_DB_LOST},
	{ER_MAX_PREPARED_STMT_COUNT_REACHED, ERR_DB_LOST},
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
