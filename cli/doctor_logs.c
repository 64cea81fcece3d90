/* doctor: the file that lines of devices' logs are written to. */
#include "doctor.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "day_file.h"

#define FILE_ROOM (64u * 1024 * 1024)
#define METRIC_TRIES 8 /* each is answered by some process */

static const char file_cure[] = "make its directory, for the user that cmdb-fcgi runs as, and let "
				"that one write the file; or empty logs.file";

/* May the user with that id write it, or if there is none yet, make it? 0, or why not. */
static int may_write(uid_t uid, const char *path, const char *dir)
{
	const struct passwd *user = getpwuid(uid);
	bool is_there = access(path, F_OK) == 0;
	int status = 0;
	pid_t child;

	if (geteuid() == 0 && uid != 0 && user) {
		child = fork();
		if (child == 0) {
			bool is_them = !setgid(user->pw_gid) &&
				       !initgroups(user->pw_name, user->pw_gid) && !setuid(uid);

			_exit(!is_them ? EPERM
				: access(is_there ? path : dir, R_OK | W_OK | (is_there ? 0 : X_OK))
					? errno
					: 0);
		}
		if (child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status))
			return WEXITSTATUS(status);
		return ECHILD;
	}
	return access(is_there ? path : dir, R_OK | W_OK | (is_there ? 0 : X_OK)) ? errno : 0;
}

/* Does a cmdb-fcgi say that it could not write? */
static bool says_failing(struct doctor *d)
{
	struct rest *rest = rest_new(d->cfg->cli.url, NULL, NULL);
	bool is_failing = false;

	for (int i = 0; i < METRIC_TRIES && !is_failing; i++) {
		struct rest_answer a;
		struct str error = STR_INIT;
		const char *at;

		if (!rest_call(rest, "GET", "/metrics", NULL, REST_TIMEOUT_MS, &a, &error)) {
			str_fini(&error);
			break;
		}
		at = a.status == 200 ? strstr(str_c(&a.body), "\ncmdb_fcgi_log_file_failing{")
				     : NULL;
		at = at ? strchr(at, ' ') : NULL;
		is_failing = at && at[1] == '1';
		rest_answer_fini(&a);
	}
	rest_free(rest);
	return is_failing;
}

static void check_day_file(struct doctor *d, struct finding *f, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash ? strndup(path, slash > path ? (size_t)(slash - path) : 1) : strdup(".");
	uid_t uid = doctor_fcgi_user();
	int error = dir ? may_write(uid, path, dir) : ENOMEM;
	bool is_failing = !error && says_failing(d);
	struct statvfs vfs;
	uint64_t room = FILE_ROOM;

	if (!error && statvfs(dir, &vfs) == 0)
		room = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	free(dir);
	if (error)
		finding_bad(f, VERDICT_FAIL, file_cure, "%s cannot be written by user %u: %s", path,
			(unsigned)uid, strerror(error));
	else if (room < FILE_ROOM)
		finding_bad(f, is_failing || !room ? VERDICT_FAIL : VERDICT_WARN,
			"make room there: what does not fit is in the database alone",
			"%llu bytes are free for %s", (unsigned long long)room, path);
	else if (is_failing)
		finding_bad(f, VERDICT_FAIL, "see the log of cmdb-fcgi, event log_file",
			"a cmdb-fcgi could not write %s the last time", path);
	else
		finding_ok(f, "%s can be written", path);
}

void check_log_file(struct doctor *d, struct finding *f)
{
	struct str path = STR_INIT;

	if (!*d->cfg->logs.file)
		finding_skip(f, "logs.file is not set: lines are in the database alone");
	else if (!day_file_name(&path, d->cfg->logs.file, clock_wall_ms()))
		finding_bad(f, VERDICT_FAIL, "write %Y, %m, %d, %H, or %% for the sign itself",
			"logs.file = %s has a %% that means nothing", d->cfg->logs.file);
	else
		check_day_file(d, f, str_c(&path));
	str_fini(&path);
}
