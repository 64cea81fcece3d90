#include "shape.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

/* What cmdbctl keeps its own records in is made by itself, not by a migration. */
static const struct db_stmt list = {
	.name = "shape.list",
	.sql = "SELECT line FROM ("
	       "SELECT CONCAT(TABLE_NAME, ' column ', COLUMN_NAME, ' ', COLUMN_TYPE,"
	       " IF(IS_NULLABLE = 'YES', ' null', '')) line"
	       " FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()"
	       " UNION ALL "
	       "SELECT CONCAT(TABLE_NAME, IF(NON_UNIQUE, ' index ', ' unique '), INDEX_NAME, ' (',"
	       " GROUP_CONCAT(COLUMN_NAME ORDER BY SEQ_IN_INDEX), ')')"
	       " FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE()"
	       " GROUP BY TABLE_NAME, NON_UNIQUE, INDEX_NAME"
	       " UNION ALL "
	       "SELECT CONCAT(TABLE_NAME, ' foreign key ', CONSTRAINT_NAME)"
	       " FROM information_schema.TABLE_CONSTRAINTS"
	       " WHERE TABLE_SCHEMA = DATABASE() AND CONSTRAINT_TYPE = 'FOREIGN KEY') l"
	       " WHERE line NOT LIKE 'schema\\_%' ORDER BY BINARY line LIMIT 100000",
	.cols_n = 1,
};
const struct db_set shape_sql = {
	.name = "shape",
	.stmts = (const struct db_stmt *const[]){&list, NULL},
	.is_lazy = true,
};

enum err shape_read(struct db *db, struct str *out)
{
	enum err e = db_query(db, &list, NULL, 0);
	const struct db_val *row;

	if (e != ERR_OK)
		return e;
	while ((row = db_fetch(db)))
		str_addf(out, "%s\n", dbv_text(&row[0]));
	db_done(db);
	return ERR_OK;
}

/* Is the line, with its line end, among the lines? */
static bool has_line(const char *lines, const char *line)
{
	size_t len = strlen(line);

	for (const char *p = strstr(lines, line); p; p = strstr(p + len, line))
		if (p == lines || p[-1] == '\n')
			return true;
	return false;
}

size_t shape_missing(const char *want, const char *have, size_t max, struct str *out)
{
	size_t n = 0;

	for (size_t len; *want; want += len) {
		char *line;

		len = strcspn(want, "\n");
		len += want[len] == '\n';
		line = xstrndup(want, len);
		if (!has_line(have, line) && n++ < max)
			str_addf(out, "%s%.*s", out->len ? "; " : "", (int)len - 1, line);
		free(line);
	}
	return n;
}
