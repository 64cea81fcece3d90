/*
 * What a connection's session is set to when it opens. The server's global defaults are its
 * administrator's, and other programs' to rely on: whatever could change what our statements mean,
 * which rows they find or how long they may take is said here, so that they do the same everywhere.
 * What only makes them faster or slower is left alone.
 */
#include "db_internal.h"

/* In the order in which they are set. sql_big_selects stands behind max_join_size, which turns it
 * off. */
const struct db_setting db_settings[] = {
	/* how texts are read, compared and sorted, and in which language errors are told */
	{"character_set_client", "'utf8mb4'"},
	{"character_set_results", "'utf8mb4'"},
	{"collation_connection", "'utf8mb4_general_ci'"},
	{"lc_messages", "'en_US'"},
	{"lc_time_names", "'en_US'"},
	{"default_regex_flags", "''"},
	{"max_sort_length", "1024"},
	{"old_mode", "'UTF8_IS_UTF8MB3'"},
	/* times, numbers */
	{"time_zone", "'+00:00'"},
	{"default_week_format", "0"},
	{"div_precision_increment", "4"},
	/* what is an error */
	{"sql_mode", "'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,"
		     "NO_ENGINE_SUBSTITUTION'"},
	{"foreign_key_checks", "1"},
	{"unique_checks", "1"},
	{"check_constraint_checks", "1"},
	{"sql_safe_updates", "0"},
	{"sql_if_exists", "0"},
	/* which rows */
	{"sql_auto_is_null", "0"},
	{"sql_select_limit", "18446744073709551615"},
	{"max_join_size", "18446744073709551615"},
	{"sql_big_selects", "1"},
	/* JSON_ARRAYAGG keeps to it, and what it cuts off is no JSON */
	{"group_concat_max_len", "4194304"},
	{"max_recursive_iterations", "1000"},
	{"tmp_disk_table_size", "18446744073709551615"},
	/* transactions */
	{"autocommit", "1"},
	{"completion_type", "'NO_CHAIN'"},
	{"tx_isolation", "'READ-COMMITTED'"},
	{"tx_read_only", "0"},
	{"default_storage_engine", "'InnoDB'"},
	/* How long: our own limit is the one on reads and writes. A worker that slept over the
	 * weekend keeps its connection. */
	{"max_statement_time", "0"},
	{"lock_wait_timeout", "86400"},
	{"innodb_lock_wait_timeout", "50"},
	{"wait_timeout", "2147483"},
	{"idle_transaction_timeout", "0"},
	{"idle_readonly_transaction_timeout", "0"},
	{"idle_write_transaction_timeout", "0"},
	{"net_read_timeout", "30"},
	{"net_write_timeout", "60"},
	{0},
};

void db_session_sql(struct str *out)
{
	for (const struct db_setting *s = db_settings; s->name; s++)
		str_addf(out, "%s%s = %s", s == db_settings ? "SET SESSION " : ", SESSION ",
			s->name, s->value);
}
