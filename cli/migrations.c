#include "migrations.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "mem.h"
#include "secret.h"

#define DIGITS "0123456789"
#define NAME_CHARS "abcdefghijklmnopqrstuvwxyz_" DIGITS

const char *migration_state_name(enum migration_state s)
{
	static const char *const names[] = {[MIGRATION_PENDING] = "pending",
		[MIGRATION_DONE] = "applied",
		[MIGRATION_STARTED] = "unfinished",
		[MIGRATION_CHANGED] = "changed",
		[MIGRATION_UNKNOWN] = "unknown"};

	return names[s];
}

void migration_checksum(const struct str *sql, char out[MIGRATION_CHECKSUM_SIZE])
{
	uint8_t hash[SECRET_HASH_SIZE];

	secret_hash(hash, str_c(sql), sql->len);
	secret_hex(out, hash, sizeof(hash));
}

bool migration_read_file(const char *path, struct str *sql, struct str *why)
{
	char buf[8192];
	FILE *f = fopen(path, "re");
	bool is_read = f;
	size_t n;

	while (is_read && sql->len <= MIGRATION_FILE_MAX && (n = fread(buf, 1, sizeof(buf), f)) > 0)
		str_add(sql, buf, n);
	if (!f || ferror(f)) {
		str_addf(why, "%s: %s", path, strerror(errno));
		is_read = false;
	} else if (sql->len > MIGRATION_FILE_MAX) {
		str_addf(why, "%s: larger than %u MiB", path, MIGRATION_FILE_MAX >> 20);
		is_read = false;
	} else if (!json_is_utf8(str_c(sql), sql->len)) {
		str_addf(why, "%s: not UTF-8 text", path);
		is_read = false;
	}
	if (f)
		fclose(f);
	if (!is_read)
		str_fini(sql);
	return is_read;
}

/* Files that begin with a digit and end in ".sql" are meant as migrations; what else lies there
 * (notes, seeds) is not looked at. */
static int is_meant(const struct dirent *d)
{
	size_t len = strlen(d->d_name);

	return strchr(DIGITS, d->d_name[0]) && len > 4 && !strcmp(d->d_name + len - 4, ".sql");
}

/* "NNNN_name.sql" into version and name. */
static bool parse_name(const char *file, struct migration *f)
{
	size_t len = strlen(file) - 4; /* is_meant() saw ".sql" */

	if (len < 6 || len > 5 + MIGRATION_NAME_MAX || strspn(file, DIGITS) != 4 ||
		file[4] != '_' || strspn(file + 5, NAME_CHARS) != len - 5)
		return false;
	f->version = (unsigned)strtoul(file, NULL, 10);
	memcpy(f->name, file + 5, len - 5);
	return true;
}

static bool read_one(struct migrations *m, const char *dir, const char *file, struct str *why)
{
	struct migration f = {0};
	struct str path = STR_INIT;
	bool is_read = false;

	if (!parse_name(file, &f)) {
		str_addf(why, "%s/%s: a migration is called NNNN_name.sql, in small letters", dir,
			file);
		return false;
	}
	if (f.version != m->n + 1) {
		str_addf(why, "%s/%s: number %04zu is to come here, without gap or double", dir,
			file, m->n + 1);
		return false;
	}
	str_addf(&path, "%s/%s", dir, file);
	if (migration_read_file(str_c(&path), &f.sql, why)) {
		migration_checksum(&f.sql, f.checksum);
		m->v = xreallocarray(m->v, m->n + 1, sizeof(*m->v));
		m->v[m->n++] = f;
		is_read = true;
	}
	str_fini(&path);
	return is_read;
}

bool migrations_read(struct migrations *m, const char *dir, struct str *why)
{
	struct dirent **files = NULL;
	int n = scandir(dir, &files, is_meant, alphasort);
	bool is_read = n > 0;

	*m = (struct migrations){0};
	if (n < 0)
		str_addf(why, "%s: %s; --schema says where the migrations are", dir,
			strerror(errno));
	else if (n == 0)
		str_addf(why, "%s: no migrations there; --schema says where they are", dir);
	for (int i = 0; i < n; i++) {
		is_read = is_read && read_one(m, dir, files[i]->d_name, why);
		free(files[i]);
	}
	free(files);
	if (!is_read)
		migrations_fini(m);
	return is_read;
}

void migrations_fini(struct migrations *m)
{
	for (size_t i = 0; i < m->n; i++)
		str_fini(&m->v[i].sql);
	free(m->v);
	*m = (struct migrations){0};
}

enum migration_state migration_state(const struct migration *f, const struct migrated *had)
{
	assert(f || had);
	if (!had)
		return MIGRATION_PENDING;
	if (!had->is_done)
		return MIGRATION_STARTED;
	if (!f)
		return MIGRATION_UNKNOWN;
	return strcmp(f->checksum, had->checksum) || strcmp(f->name, had->name) ? MIGRATION_CHANGED
										: MIGRATION_DONE;
}

static void explain(enum migration_state state, const struct migrated *h, struct str *why)
{
	str_addf(why, "migration %04u_%s ", h->version, h->name);
	if (state == MIGRATION_STARTED)
		str_addf(why,
			"was begun at %s and did not finish, so a part of it may be there. Look "
			"what of it is in the database; then either undo that and run \"cmdbctl "
			"migrate --redo %u\", or complete it by hand and run \"cmdbctl migrate "
			"--mark-done %u\"",
			h->when, h->version, h->version);
	else if (state == MIGRATION_CHANGED)
		str_addf(why,
			"was applied at %s, and its file is another now; restore that, and put "
			"what is to change into a new migration",
			h->when);
	else if (state == MIGRATION_UNKNOWN)
		str_adds(why,
			"was applied, but is not among these files: it belongs to a newer cmdb; "
			"use the cmdbctl of that");
	else
		str_adds(why,
			"was applied, but one before it was not: the table schema_migrations has "
			"been tampered with; restore it");
}

bool migrations_check(
	const struct migrations *m, const struct migrated *had, size_t had_n, struct str *why)
{
	for (size_t i = 0; i < had_n; i++) {
		const struct migrated *h = &had[i];
		bool is_file = h->version >= 1 && h->version <= m->n;
		enum migration_state state =
			migration_state(is_file ? &m->v[h->version - 1] : NULL, h);

		if (state != MIGRATION_DONE || h->version != i + 1) {
			explain(state, h, why);
			return false;
		}
	}
	return true;
}
