/*
 * The table behind config.h, for config.c, which owns and prints it, and config_load.c.
 * A new key is a row here and a field of struct config.
 */
#ifndef CMDB_CONFIG_ROW_H
#define CMDB_CONFIG_ROW_H

#include "config.h"

enum config_type { TEXT, SECRET, CHOICE, INT, BOOL, ORIGINS };

/* One key. Texts have min to max bytes; of a CHOICE, unit names what is accepted. */
struct config_row {
	const char *section, *key;
	enum config_type type;
	size_t offset; /* of char *, int64_t, bool or struct strlist in struct config */
	const char *def;
	int64_t min, max;
	const char *unit;
	const char *help;
};

extern const struct config_row config_rows[];
extern const size_t config_rows_n;

/* Every key at its default. */
void config_defaults(struct config *c);

static inline char **text_at(const struct config *c, const struct config_row *r)
{
	return (char **)((char *)c + r->offset);
}

static inline int64_t *int_at(const struct config *c, const struct config_row *r)
{
	return (int64_t *)((char *)c + r->offset);
}

static inline bool *bool_at(const struct config *c, const struct config_row *r)
{
	return (bool *)((char *)c + r->offset);
}

static inline struct strlist *list_at(const struct config *c, const struct config_row *r)
{
	return (struct strlist *)((char *)c + r->offset);
}

#endif
