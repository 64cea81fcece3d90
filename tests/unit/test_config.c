#include "unit.h"

#include <unistd.h>

#include "config.h"
#include "json.h"

static char path[] = "/tmp/cmdb-conf-XXXXXX";

static int make_file(void **state)
{
	int fd = mkstemp(path);
	unsetenv("CMDB_CONFIG");
	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	return unlink(path);
}

static void put_file(const char *text)
{
	size_t len = strlen(text);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static bool load(struct config *c, const char *text, struct str *errors)
{
	put_file(text);
	return config_load(c, path, NULL, 0, errors);
}

static void defaults(void **state)
{
	struct config c;
	struct str errors = STR_INIT;

	assert_true(load(&c, "", &errors));
	assert_string_equal(c.database.socket, "/run/mysqld/mysqld.sock");
	assert_string_equal(c.database.host, "");
	assert_int_equal(c.database.port, 3306);
	assert_string_equal(c.poller.socket, "/run/cmdb/poller.sock");
	assert_int_equal(c.poller.server_id, 0);
	assert_int_equal(c.poller.ring_bytes, 67108864);
	assert_true(c.poller.binlog && c.poller.doorbell && c.fcgi.cache);
	assert_int_equal(c.events.timeout_s, 25);
	assert_string_equal(c.auth.algorithm, "HS256");
	assert_int_equal(c.auth.refresh_ttl_s, 1209600);
	assert_int_equal(c.http.cors_origins.n, 0);
	assert_string_equal(c.log.level, "info");
	assert_string_equal(c.cli.url, "http://127.0.0.1:8080");
	config_fini(&c);
	str_fini(&errors);
}

static void what_people_write(void **state)
{
	static const char text[] = "\xef\xbb\xbf# a comment\r\n; another\r\n\r\n"
				   "[fcgi]\r\n"
				   "  workers=8\r\n"
				   "\tcache : No\r\n"
				   "db_password = p#a s=s;w ; a comment\r\n"
				   "[poller]\n"
				   "binlog = FALSE\n"
				   "doorbell = 1\n"
				   "[http]\n"
				   "cors_origins = https://a.example, http://b:8080\n"
				   "cors_origins = http://[::1]:3000\n"
				   "[database]\n"
				   "socket =\n"
				   "host = db.example";
	struct config c;
	struct str errors = STR_INIT;

	if (!load(&c, text, &errors))
		fail_msg("%s", str_c(&errors));
	assert_int_equal(c.fcgi.workers, 8);
	assert_false(c.fcgi.cache);
	assert_string_equal(c.fcgi.db_password, "p#a s=s;w");
	assert_false(c.poller.binlog);
	assert_true(c.poller.doorbell);
	assert_int_equal(c.http.cors_origins.n, 3);
	assert_string_equal(c.http.cors_origins.v[0], "https://a.example");
	assert_string_equal(c.http.cors_origins.v[2], "http://[::1]:3000");
	assert_string_equal(c.database.socket, "");
	assert_string_equal(c.database.host, "db.example");
	config_fini(&c);
	str_fini(&errors);
}

#define LONG_100                                                                                   \
	"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567" \
	"890123456789"

static void problems(void **state)
{
	/* the text, and what the message has after the file's name */
	static const char *const rows[][2] = {
		{"[database]\nport = 0", ":2: database.port: \"0\" is not a whole number from"},
		{"[database]\nport = 65536", ":2: database.port: "},
		{"[database]\nport =", ":2: database.port: \"\" is not"},
		{"[database]\nport = 3306x", ":2: database.port: "},
		{"[database]\nport = +1", ":2: database.port: "},
		{"[database]\nport = 1 2", ":2: database.port: "},
		{"[database]\nport = 0x10", ":2: database.port: "},
		{"[database]\nport = 99999999999999999999", ":2: database.port: "},
		{"[database]\nport = -", ":2: database.port: "},
		{"[database]\nio_timeout_ms = -1", "a whole number from 0 to 600000 ms"},
		{"[database]\nname =", ":2: database.name: must not be empty"},
		{"[database]\nname = \"cmdb\"", ":2: database.name: is in quotes"},
		{"[database]\nname = a\x01", ":2: database.name: has control characters"},
		{"[database]\nname = \xff", "not UTF-8"},
		{"[database]\nsocket = " LONG_100 "/1234567", ":2: database.socket: has 108 bytes"},
		{"[database]\nsocket =", ": database.socket: empty, and so is database.host"},
		{"\n[database]\nport = 1\nport = 1", ":4: database.port: was set in line 3"},
		{"# \xff\n" LONG_100 LONG_100 "\n[database]\nname = \xff", ":4: database.name: "},
		{"[database]\nname = " LONG_100 LONG_100, ":2: a line of 207 bytes, at most "},
		{"[database]\nprot = 1", ":2: database.prot: unknown key"},
		{"[fcgi]\nport = 1", ":2: fcgi.port: unknown key; there is one in section [data"},
		{"[nope]\nx = 1", ":2: nope.x: unknown section"},
		{"name = 1", ":1: .name: unknown key; there is one in section [database]"},
		{"\n\nfoo", ":3: neither [section] nor key = value"},
		{"[database", ":1: neither"},
		{"[fcgi]\ncache = maybe", ":2: fcgi.cache: \"maybe\" is neither on nor off"},
		{"[auth]\nalgorithm = none", "\"none\" is none of HS256|RS256|ES256"},
		{"[auth]\nalgorithm = hs256", "\"hs256\" is none of"},
		{"[auth]\nalgorithm = HS", "\"HS\" is none of"},
		{"[auth]\nalgorithm =", "\"\" is none of"},
		{"[auth]\nalgorithm = HS256|RS256", "is none of"},
		{"[events]\ntimeout_max_s = 56", "from 0 to 55 s"},
		{"[logs]\nfile = logs.jsonl", "file: \"logs.jsonl\" is no path that begins with /"},
		{"[logs]\nfile = /a/%Q.jsonl", "file: \"/a/%Q.jsonl\" is no path"},
		{"[logs]\nfile = /a/50%", "file: \"/a/50%\" is no path"},
		{"[events]\ntimeout_s = 30\ntimeout_max_s = 20", "timeout_s: 30 s is more than"},
		{"[http]\ncors_origins = *", ":2: http.cors_origins: \"*\" is not accepted: answ"},
		{"[http]\ncors_origins = https://a, *", ":2: http.cors_origins: \"*\" is not"},
		{"[http]\ncors_origins = null", "\"null\" is no origin"},
		{"[http]\ncors_origins = a.example", "is no origin"},
		{"[http]\ncors_origins = https://", "is no origin"},
		{"[http]\ncors_origins = ://a", "is no origin"},
		{"[http]\ncors_origins = https://a/", "is no origin"},
		{"[http]\ncors_origins = https://a:", "is no origin"},
		{"[http]\ncors_origins = https://a:0", "is no origin"},
		{"[http]\ncors_origins = https://a:65536", "is no origin"},
		{"[http]\ncors_origins = https://a:1/x", "is no origin"},
		{"[http]\ncors_origins = https://*.a", "is no origin"},
		{"[http]\ncors_origins = https://u@a", "is no origin"},
		{"[http]\ncors_origins = https://A", "is no origin"},
		{"[http]\ncors_origins = https://[::1", "is no origin"},
		{"[http]\ncors_origins = https://[]", "is no origin"},
	};
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct config c;
		struct str errors = STR_INIT;
		if (load(&c, rows[i][0], &errors))
			fail_msg("accepted: %s", rows[i][0]);
		if (strncmp(errors.p, path, strlen(path)) != 0 || !strstr(errors.p, rows[i][1]))
			fail_msg("%s\n%s", rows[i][0], errors.p);
		if (!strstr(rows[i][0], LONG_100 LONG_100 "\n"))
			assert_null(strchr(errors.p, '\n'));
		str_fini(&errors);
	}
}

static void all_problems_at_once(void **state)
{
	struct config c;
	struct str errors = STR_INIT;
	int lines = 1;

	str_adds(&errors, "from before");
	const char *text = "[log]\nlevel=x\nformat=y\n[fcgi]\nworkers=99\nmax_body=1\n";
	assert_false(load(&c, text, &errors));
	for (const char *p = errors.p; *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, 4);
	assert_null(strstr(errors.p, "from before"));
	assert_null(c.log.level);
	str_fini(&errors);
}

static void sets_go_over_the_file(void **state)
{
	static const char *const good[] = {"database.port=1", "database.port=2",
		"http.cors_origins=https://b", "fcgi.db_password=a=b.c", "database.host="};
	static const char *const bad[][2] = {
		{"port=1", "--set: \"port=1\": write section.key=value"},
		{"database.port", "--set: \"database.port\": write"},
		{"", "write section.key=value"},
		{".=", "unknown section"},
		{"database.port=x", "--set: database.port: \"x\" is not"},
		{"database.ports=1", "--set: database.ports: unknown key"},
		{"fcgi.db_password=a ;b", "where a comment would begin"},
		{"fcgi.db_password= a", "begins or ends with a blank"},
		{"fcgi.db_password=a\nb", "control characters"},
		{"auth.key_file=/" LONG_100 LONG_100, "has 201 bytes, at most 170"},
		{"http.cors_origins=https://" LONG_100 LONG_100, "is no origin"},
	};
	struct config c;
	struct str errors = STR_INIT;

	put_file("[database]\nport = 7\nhost = h\n[http]\ncors_origins = https://a\n");
	if (!config_load(&c, path, good, ARRAY_N(good), &errors))
		fail_msg("%s", errors.p);
	assert_int_equal(c.database.port, 2);
	assert_string_equal(c.database.host, "");
	assert_string_equal(c.fcgi.db_password, "a=b.c");
	assert_int_equal(c.http.cors_origins.n, 1);
	assert_string_equal(c.http.cors_origins.v[0], "https://b");
	config_fini(&c);
	for (size_t i = 0; i < ARRAY_N(bad); i++) {
		if (config_load(&c, path, bad[i], 1, &errors))
			fail_msg("accepted: %s", bad[i][0]);
		if (!strstr(errors.p, bad[i][1]))
			fail_msg("%s\n%s", bad[i][0], errors.p);
	}
	str_fini(&errors);
}

static void which_file(void **state)
{
	struct config c;
	struct str errors = STR_INIT;

	put_file("[database]\nport = 7\n");
	setenv("CMDB_CONFIG", path, 1);
	assert_true(config_load(&c, NULL, NULL, 0, &errors));
	assert_int_equal(c.database.port, 7);
	config_fini(&c);
	assert_true(config_load(&c, "", NULL, 0, &errors));
	assert_int_equal(c.database.port, 7);
	config_fini(&c);
	assert_true(config_load(&c, "/dev/null", NULL, 0, &errors));
	assert_int_equal(c.database.port, 3306);
	config_fini(&c);
	setenv("CMDB_CONFIG", "/nonexistent/cmdb.conf", 1);
	assert_false(config_load(&c, NULL, NULL, 0, &errors));
	assert_string_equal(
		errors.p, "/nonexistent/cmdb.conf: cannot be read: No such file or directory");
	unsetenv("CMDB_CONFIG");
	assert_false(config_load(&c, "/tmp", NULL, 0, &errors));
	assert_non_null(strstr(errors.p, "Is a directory"));
	assert_false(config_load(&c, "/dev/zero", NULL, 0, &errors));
	assert_non_null(strstr(errors.p, "no configuration file"));
	str_fini(&errors);
}

/* The poller works where events are written, if that is said; the others where [database] is. */
static void where_events_are_written(void **state)
{
	static const char *const none[] = {"poller.db_user=p", "poller.db_password=pp"};
	static const char *const host[] = {"poller.db_user=p", "poller.db_password=pp",
		"events.db_host=writer", "events.db_port=4000", "database.tls_ca=/ca"};
	static const char *const account[] = {"poller.db_user=p", "poller.db_password=pp",
		"events.db_socket=/w.sock", "events.db_user=e", "events.db_tls_ca=/eca"};
	static const struct {
		const char *const *sets;
		size_t n;
		const char *socket, *host;
		unsigned port;
		const char *user, *password, *tls_ca;
	} cases[] = {
		{none, ARRAY_N(none), "/run/mysqld/mysqld.sock", "", 3306, "p", "pp", ""},
		{host, ARRAY_N(host), "", "writer", 4000, "p", "pp", "/ca"},
		{account, ARRAY_N(account), "/w.sock", "", 3306, "e", "", "/eca"},
	};

	for (size_t i = 0; i < ARRAY_N(cases); i++) {
		struct str errors = STR_INIT;
		struct config c;
		struct db_login l;

		assert_true(config_load(&c, "/dev/null", cases[i].sets, cases[i].n, &errors));
		assert_int_equal(config_names_writer(&c), i > 0);
		l = config_login(&c, CONFIG_POLLER);
		assert_string_equal(l.socket, cases[i].socket);
		assert_string_equal(l.host, cases[i].host);
		assert_int_equal(l.port, cases[i].port);
		assert_string_equal(l.user, cases[i].user);
		assert_string_equal(l.password, cases[i].password);
		assert_string_equal(l.tls_ca, cases[i].tls_ca);
		l = config_login(&c, CONFIG_FCGI);
		assert_string_equal(l.socket, "/run/mysqld/mysqld.sock");
		config_fini(&c);
		str_fini(&errors);
	}
}

/* Everything set to something else is printed, and read back as it was. */
static void print_and_read_back(void **state)
{
	static const char *const sets[] = {"database.socket=", "database.host=db",
		"fcgi.db_password=s#e \"c", "fcgi.cache=off", "events.limit=7", "log.level=debug",
		"auth.key_file=", "http.cors_origins=https://a https://b:1"};
	struct config c, again;
	struct str errors = STR_INIT, text = STR_INIT, a = STR_INIT, b = STR_INIT;

	assert_true(config_load(&c, "/dev/null", sets, ARRAY_N(sets), &errors));
	config_print(&text, &c, true);
	if (!load(&again, text.p, &errors))
		fail_msg("%s", errors.p);
	config_print_json(&a, &c);
	config_print_json(&b, &again);
	assert_string_equal(a.p, b.p);
	assert_string_equal(again.fcgi.db_password, "s#e \"c");

	str_clear(&text);
	config_print(&text, &c, false);
	assert_null(strstr(text.p, "s#e"));
	assert_non_null(strstr(text.p, "\ndb_password = ********\n"));
	assert_non_null(strstr(text.p, "\n#db_password =\n"));
	assert_null(strstr(a.p, "s#e"));
	config_fini(&c);
	config_fini(&again);
	str_fini(&errors);
	str_fini(&text);
	str_fini(&a);
	str_fini(&b);
}

static void json_has_the_types(void **state)
{
	struct config c;
	struct str errors = STR_INIT, text = STR_INIT;
	const char *why;
	size_t offset;

	assert_true(load(&c, "[http]\ncors_origins=https://a\n", &errors));
	config_print_json(&text, &c);
	struct json_object *o = json_parse(text.p, text.len, &why, &offset);
	assert_non_null(o);
	assert_int_equal(json_object_get_int64(json_get(json_get(o, "database"), "port")), 3306);
	assert_true(json_object_get_boolean(json_get(json_get(o, "fcgi"), "cache")));
	assert_string_equal(json_get_str(json_get(o, "log"), "level"), "info");
	struct json_object *origins = json_get(json_get(o, "http"), "cors_origins");
	assert_int_equal(json_object_array_length(origins), 1);
	json_object_put(o);
	config_fini(&c);
	str_fini(&text);
	str_fini(&errors);
}

static void logins(void **state)
{
	static const char *const sets[] = {"fcgi.db_user=f", "poller.db_user=p", "cli.db_user=c",
		"poller.db_password=secret", "database.port=1", "database.tls_ca=/ca"};
	struct config c;
	struct str errors = STR_INIT, page = STR_INIT;

	assert_true(config_load(&c, "/dev/null", sets, ARRAY_N(sets), &errors));
	struct db_login login = config_login(&c, CONFIG_POLLER);
	assert_string_equal(login.user, "p");
	assert_string_equal(login.password, "secret");
	assert_int_equal(login.port, 1);
	assert_string_equal(login.tls_ca, "/ca");
	assert_string_equal(login.name, "cmdb");
	assert_int_equal(login.connect_timeout_ms, 2000);
	assert_int_equal(login.io_timeout_ms, 30000);
	assert_string_equal(config_login(&c, CONFIG_FCGI).user, "f");
	assert_string_equal(config_login(&c, CONFIG_CLI).user, "c");
	assert_string_equal(config_login(&c, CONFIG_CLI).password, "");
	config_page_path(&c, &page);
	assert_string_equal(page.p, "/run/cmdb/poller.sock.page");
	config_fini(&c);
	str_fini(&page);
	str_fini(&errors);
}

/* What counts from a start only keeps its value, and is named again at each reload. */
static void reload(void **state)
{
	static const char *const sets[] = {"socketio.events_per_s=7", "poller.timer_ms=77",
		"http.cors_origins=https://a.example", "log.level=debug", "fcgi.workers=9",
		"database.name=other"};
	static const struct {
		enum config_account who;
		const char *taken, *waiting;
	} rows[] = {
		{CONFIG_POLLER, "fcgi.workers, socketio.events_per_s, http.cors_origins, log.level",
			"database.name, poller.timer_ms"},
		{CONFIG_FCGI,
			"database.name, poller.timer_ms, socketio.events_per_s, "
			"http.cors_origins, log.level",
			"fcgi.workers"},
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct config before, now;
		struct config_changes changes = {0}, again = {0};
		struct str errors = STR_INIT;

		assert_true(config_load(&before, "/dev/null", NULL, 0, &errors));
		assert_true(config_load(&now, "/dev/null", sets, ARRAY_N(sets), &errors));
		config_carry_over(&now, &before, rows[i].who, &changes);
		assert_string_equal(str_c(&changes.taken), rows[i].taken);
		assert_string_equal(str_c(&changes.waiting), rows[i].waiting);
		assert_int_equal(now.socketio.events_per_s, 7);
		assert_string_equal(now.http.cors_origins.v[0], "https://a.example");
		assert_int_equal(now.poller.timer_ms, rows[i].who == CONFIG_POLLER ? 50 : 77);
		assert_string_equal(
			now.database.name, rows[i].who == CONFIG_POLLER ? "cmdb" : "other");
		assert_int_equal(now.fcgi.workers, rows[i].who == CONFIG_FCGI ? 4 : 9);
		config_log_changes(&changes);
		config_fini(&before);
		assert_true(config_load(&before, "/dev/null", sets, ARRAY_N(sets), &errors));
		config_carry_over(&before, &now, rows[i].who, &again);
		assert_string_equal(str_c(&again.taken), "");
		assert_string_equal(str_c(&again.waiting), rows[i].waiting);
		config_log_changes(&again);
		config_fini(&before);
		config_fini(&now);
		str_fini(&errors);
	}
}

static void find_row(const char *section, const char *key, const char *unit, const char *def,
	const char *help, void *arg)
{
	(void)unit, (void)def, (void)help;
	for (int who = CONFIG_FCGI; who <= CONFIG_POLLER; who++)
		*(int *)arg += config_is_at_start((enum config_account)who, section, key);
}

/* The list of config_reload.c names keys that there are. */
static void reload_list(void **state)
{
	int n = 0;

	config_each(find_row, &n);
	assert_true(n >= 20);
	assert_true(config_is_at_start(CONFIG_FCGI, "fcgi", "workers"));
	assert_false(config_is_at_start(CONFIG_FCGI, "fcgi", "max_body"));
	assert_true(config_is_at_start(CONFIG_POLLER, "poller", "grace_ms"));
	assert_false(config_is_at_start(CONFIG_POLLER, "socketio", "limit"));
}

static void the_sample_is_what_is_printed(void **state)
{
	struct str sample = STR_INIT, printed = STR_INIT;

	unit_read_source("deploy/cmdb.conf", &sample);
	config_print(&printed, NULL, false);
	assert_string_equal(sample.p, printed.p);
	str_fini(&sample);
	str_fini(&printed);
}

/* The page has, in the order of the table, `.Ss [section]` and for each key `.It Cm key` with the
 * default behind it. */
struct page {
	char *p;
	const char *section;
	int keys_n;
};

static void check_entry(const char *section, const char *key, const char *unit, const char *def,
	const char *help, void *arg)
{
	struct page *page = arg;
	struct str want = STR_INIT;

	if (!page->section || strcmp(page->section, section) != 0) {
		str_addf(&want, "\n.Ss [%s]\n", section);
		page->p = strstr(page->p, want.p);
		if (!page->p)
			fail_msg("cmdb.conf.5 lacks section [%s], or has it elsewhere", section);
		page->section = section;
		str_clear(&want);
	}
	str_addf(&want, "\n.It Cm %s", key);
	if (*def)
		str_addf(&want, " No = %s", def);
	str_addc(&want, '\n');
	page->p = strstr(page->p, want.p);
	if (!page->p)
		fail_msg("cmdb.conf.5 lacks %s.%s (%s), or has it elsewhere", section, key, def);
	page->keys_n++;
	str_fini(&want);
}

static void the_manual_has_every_key(void **state)
{
	struct str text = STR_INIT;
	int entries_n = 0;

	unit_read_source("docs/cmdb.conf.5", &text);
	struct page page = {.p = text.p};
	config_each(check_entry, &page);
	assert_true(page.keys_n > 50);
	for (const char *p = text.p; (p = strstr(p, "\n.It Cm ")); p++)
		entries_n++;
	assert_int_equal(entries_n, page.keys_n);
	str_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(what_people_write),
		cmocka_unit_test(problems),
		cmocka_unit_test(all_problems_at_once),
		cmocka_unit_test(sets_go_over_the_file),
		cmocka_unit_test(which_file),
		cmocka_unit_test(where_events_are_written),
		cmocka_unit_test(print_and_read_back),
		cmocka_unit_test(json_has_the_types),
		cmocka_unit_test(logins),
		cmocka_unit_test(reload),
		cmocka_unit_test(reload_list),
		cmocka_unit_test(the_sample_is_what_is_printed),
		cmocka_unit_test(the_manual_has_every_key),
	};
	return cmocka_run_group_tests(tests, make_file, remove_file);
}
