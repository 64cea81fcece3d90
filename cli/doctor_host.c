/* doctor: files and limits of this machine. */
#include "doctor.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "secret.h"
#include "token.h"

#define CONFIG_DEFAULT "/etc/cmdb/cmdb.conf"
#define JOURNAL_ROOM (64u * 1024 * 1024)

void check_config(struct doctor *d, struct finding *f)
{
	if (d->cfg)
		finding_ok(f, "it can be read");
	else
		finding_bad(f, VERDICT_FAIL,
			"mend what is named; cmdbctl config default shows every key", "%s",
			str_c(&d->call->config_errors));
}

void check_config_file(struct doctor *d, struct finding *f)
{
	const char *path = d->call->config_file, *env = getenv("CMDB_CONFIG");
	struct stat st;

	if (!path)
		path = env && *env ? env : CONFIG_DEFAULT;
	if (stat(path, &st) < 0)
		finding_bad(f, VERDICT_WARN,
			"cmdbctl config default > " CONFIG_DEFAULT ", and edit it",
			"%s: %s; all settings are the defaults", path, strerror(errno));
	else if (st.st_mode & (S_IROTH | S_IWOTH | S_IWGRP))
		finding_bad(f, VERDICT_FAIL,
			"chmod 0640 the file; its group is the one cmdb runs as",
			"%s has passwords and mode %04o", path, (unsigned)st.st_mode & 07777);
	else
		finding_ok(f, "%s, mode %04o", path, (unsigned)st.st_mode & 07777);
}

void check_token_key(struct doctor *d, struct finding *f)
{
	struct str why = STR_INIT;
	struct token_key *key = token_key_load(d->cfg, &why);
	/* The cure of one that is there must not be to write over it. */
	bool is_missing = access(d->cfg->auth.key_file, F_OK) < 0 && errno == ENOENT;

	if (key)
		finding_ok(f, "%s, %s", d->cfg->auth.algorithm, d->cfg->auth.key_file);
	else
		finding_bad(f, VERDICT_FAIL,
			is_missing ? "for HS256: (umask 077; openssl rand -hex 32 > the file that "
				     "auth.key_file names)"
				   : "mend what is there, or run this as one who may read it: "
				     "a new key ends all logins",
			"%s", str_c(&why));
	token_key_free(key);
	str_fini(&why);
}

void check_api_key(struct doctor *d, struct finding *f)
{
	static const char cure[] = "(umask 077; cmdbctl apikey add NAME --scope PERMISSION --json "
				   "| jq -r .key > FILE), and name FILE in [cli] api_key_file";
	const char *file = d->cfg->cli.api_key_file, *why = NULL;
	struct rest_answer a;
	struct str error = STR_INIT;
	size_t len = 0;
	char *key;

	if (!*file) {
		finding_skip(f, "[cli] api_key_file is not set: cmdbctl websites and events tail "
				"want --api-key-file");
		return;
	}
	key = secret_read_file(file, &len, &why);
	if (!key) {
		finding_bad(f, VERDICT_FAIL, cure, "%s: %s", file, why);
		return;
	}
	key[strcspn(key, " \r\n")] = '\0';
	d->rest = rest_new(d->cfg->cli.url, key, NULL);
	secret_wipe(key, len);
	free(key);
	if (!rest_call(d->rest, "GET", "/api/v1/websites?page_size=1", NULL, REST_TIMEOUT_MS, &a,
		    &error)) {
		finding_skip(f, "%s cannot be tried: %s", file, str_c(&error));
	} else {
		if (a.status == 401)
			finding_bad(f, VERDICT_FAIL, cure, "the key in %s is not accepted", file);
		else
			finding_ok(f, "the key in %s is accepted", file);
		rest_answer_fini(&a);
	}
	str_fini(&error);
}

/* The soft limit "Max open files" of a process; 0 if it cannot be read. */
static unsigned long files_of(const char *pid)
{
	struct str path = STR_INIT;
	unsigned long limit = 0;
	char line[256];
	FILE *in;

	str_addf(&path, "/proc/%s/limits", pid);
	in = fopen(str_c(&path), "re");
	str_fini(&path);
	while (in && fgets(line, sizeof(line), in))
		if (!strncmp(line, "Max open files", 14))
			limit = strtoul(line + 14, NULL, 10);
	if (in)
		fclose(in);
	return limit;
}

static bool is_fcgi(const char *pid)
{
	struct str path = STR_INIT;
	char name[32] = "";
	FILE *in;

	str_addf(&path, "/proc/%s/comm", pid);
	in = fopen(str_c(&path), "re");
	str_fini(&path);
	if (!in)
		return false;
	if (!fgets(name, sizeof(name), in))
		*name = '\0';
	fclose(in);
	return !strcmp(name, "cmdb-fcgi\n");
}

uid_t doctor_fcgi_user(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	uid_t uid = geteuid();

	while (proc && (entry = readdir(proc))) {
		struct stat st;

		if (strspn(entry->d_name, "0123456789") != strlen(entry->d_name) ||
			!is_fcgi(entry->d_name) || fstatat(dirfd(proc), entry->d_name, &st, 0) < 0)
			continue;
		uid = st.st_uid;
		break;
	}
	if (proc)
		closedir(proc);
	return uid;
}

/* What lies beside the poller's socket: all of it has to be its own, the page for its group too,
 * and there has to be room for the journal. */
void check_runtime(struct doctor *d, struct finding *f)
{
	static const struct {
		const char *suffix;
		mode_t mode;
	} files[] = {{"", 0660}, {".page", 0660}, {".sessions", 0600}};
	const char *socket = d->cfg->poller.socket;
	struct str path = STR_INIT;
	struct stat st;
	struct statvfs vfs;
	uid_t owner = 0;

	for (size_t i = 0; i < 3; i++) {
		str_clear(&path);
		str_addf(&path, "%s%s", socket, files[i].suffix);
		if (lstat(str_c(&path), &st) < 0) {
			finding_bad(f, VERDICT_FAIL,
				"start cmdb-poller; its unit's RuntimeDirectory, or the directory "
				"of poller.socket, has to be its own",
				"%s: %s", str_c(&path), strerror(errno));
			goto out;
		}
		owner = i ? owner : st.st_uid;
		if (st.st_uid != owner || (st.st_mode & files[i].mode) != files[i].mode) {
			finding_bad(f, VERDICT_FAIL,
				"stop cmdb-poller, remove the file, start it again",
				"%s is of user %u with mode %04o: cmdb-poller or cmdb-fcgi cannot "
				"write it",
				str_c(&path), (unsigned)st.st_uid, (unsigned)st.st_mode & 07777);
			goto out;
		}
	}
	str_clear(&path);
	str_add(&path, socket,
		strlen(socket) - strlen(strrchr(socket, '/') ? strrchr(socket, '/') : socket));
	if (statvfs(path.len ? str_c(&path) : ".", &vfs) == 0 &&
		(uint64_t)vfs.f_bavail * vfs.f_frsize < JOURNAL_ROOM)
		finding_bad(f, VERDICT_WARN, "make room there: the journal of sessions grows in it",
			"%llu bytes are free in %s",
			(unsigned long long)vfs.f_bavail * vfs.f_frsize, str_c(&path));
	else
		finding_ok(f, "socket, page and journal are in place");
out:
	str_fini(&path);
}

/* A parked request is a descriptor; each worker and the poller's link take a few more. */
void check_descriptors(struct doctor *d, struct finding *f)
{
	unsigned long need =
		(unsigned long)(d->cfg->fcgi.max_parked + d->cfg->fcgi.workers * 6 + 32);
	unsigned long least = 0;
	unsigned found = 0;
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	while (proc && (entry = readdir(proc))) {
		unsigned long files;

		if (strspn(entry->d_name, "0123456789") != strlen(entry->d_name) ||
			!is_fcgi(entry->d_name))
			continue;
		files = files_of(entry->d_name);
		if (files == 0)
			continue;
		least = !found || files < least ? files : least;
		found++;
	}
	if (proc)
		closedir(proc);
	if (!found)
		finding_skip(f, "no cmdb-fcgi of which this user may see the limits runs here");
	else if (least < need)
		finding_bad(f, VERDICT_WARN,
			"LimitNOFILE= in the unit, or ulimit -n where it is started; "
			"or lower fcgi.max_parked",
			"a cmdb-fcgi may open %lu files, fcgi.max_parked = %lld wants %lu", least,
			(long long)d->cfg->fcgi.max_parked, need);
	else
		finding_ok(f, "%u cmdb-fcgi, each may open %lu files or more", found, least);
}
