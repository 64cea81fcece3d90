/*
 * The configuration of all three programs: one file, one table of keys (config.c) by which it
 * is parsed, checked, printed and documented. Read once at the start and again on SIGHUP; a struct
 * config is immutable while threads share it.
 *
 * File: INI (inih), `[section]` and `key = value`, lines that begin with `#` or `;` are
 * comments, as is what follows a blank and `;`. --config FILE names it, else CMDB_CONFIG does,
 * else /etc/cmdb/cmdb.conf. `--set section.key=value` goes over the file.
 */
#ifndef CMDB_CONFIG_H
#define CMDB_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db.h"
#include "perm.h"
#include "str.h"

struct config {
	struct {
		char *socket, *host, *name, *tls_ca;
		int64_t port, connect_timeout_ms, io_timeout_ms;
	} database;
	struct {
		char *db_user, *db_password;
		int64_t workers, event_workers, max_parked, max_body, memory_bytes, stop_timeout_ms;
		int64_t request_timeout_ms, max_receiving, receive_bytes, keep_idle_s, db_idle_s;
		char *process_per_request; /* auto, on or off */
		int64_t short_hold_ms;
		bool cache;
	} fcgi;
	struct {
		char *db_user, *db_password;
		char *socket; /* UNIX socket; the shared page is this path with ".page" added */
		int64_t node_id, server_id, timer_ms, safety_ms, grace_ms, hold_limit_ms;
		int64_t ring_events, ring_bytes, max_clients, expire_s, stats_s;
		bool binlog, doorbell; /* sources that may be used; the timer always is */
	} poller;
	struct {
		int64_t timeout_s, timeout_max_s, limit, sse_heartbeat_s;
		int64_t max_per_user, max_per_address;
		int64_t retention_days, retention_rows;
		int64_t brief_retention_s, brief_retention_rows;
		char *db_socket, *db_host, *db_user, *db_password, *db_tls_ca;
		int64_t db_port; /* where cmdb-poller works, if that is not [database] */
	} events;
	struct {
		char *algorithm, *key_file, *public_key_file, *issuer, *audience;
		int64_t access_ttl_s, refresh_ttl_s, leeway_s;
		int64_t login_failures, login_window_s; /* failed logins per account, then 429 */
		int64_t address_failures; /* failed logins or bad tokens per address and window */
		int64_t argon2_parallel, argon2_memory_kib, argon2_passes, password_queue;
		bool require_at_handshake;
	} auth;
	struct {
		char *path, *cookie;
		int64_t ping_interval_ms, ping_timeout_ms, connect_timeout_ms, recovery_ms;
		int64_t max_payload, queue_bytes, memory_bytes, limit, answer_packets;
		int64_t list_wait_ms, max_replay;
		int64_t max_sessions, max_pending, max_per_user, max_per_address, events_per_s;
		char *admin; /* off, readonly or on */
		bool admin_events;
		int64_t admin_ttl_s;
	} socketio;
	struct {
		int64_t max_per_s, max_keyword_views, replay, offline_s;
		char *file, *fsync; /* fsync: never, second or write */
		int64_t retention_days, retention_rows, index_settle_s;
		bool index;
	} logs;
	struct {
		char *app; /* off, echo-engineio or echo-socketio */
	} conformance;
	struct {
		struct strlist cors_origins;
		int64_t idempotency_ttl_s;
	} http;
	struct {
		char *level, *format;
	} log;
	struct {
		char *db_user, *db_password, *url, *api_key_file;
	} cli;
};

/* Reads file (NULL: the default place; a missing file is an error only when it was named) and then
 * sets ("section.key=value", n of them). On failure *errors has one line per problem, each naming
 * file, line, key, what is wrong and what is accepted, and nothing is left to free. */
bool config_load(struct config *c, const char *file, const char *const *sets, size_t n,
	struct str *errors) __attribute__((warn_unused_result));
void config_fini(struct config *c);
/* The whole configuration as a commented file; defaults when c is NULL. Passwords show as
 * ******** unless with_secrets. */
void config_print(struct str *out, const struct config *c, bool with_secrets);
void config_print_json(struct str *out, const struct config *c); /* NULL: the defaults */
/* Visits every key, for docs and tests. */
void config_each(void (*visit)(const char *section, const char *key, const char *unit,
			 const char *def, const char *help, void *arg),
	void *arg);

enum config_account { CONFIG_FCGI, CONFIG_POLLER, CONFIG_CLI };
/* How that program logs in to the database; texts borrowed from c. */
struct db_login config_login(const struct config *c, enum config_account who);
/* Does [events] name the server through which events are written? */
bool config_names_writer(const struct config *c);
/* log_init() with the configured level and format. */
void config_log_init(const struct config *c, const char *program);
/* ---- SIGHUP: config_reload.c ---- */
/* Names of keys, joined by ", ". */
struct config_changes {
	struct str taken, waiting;
};
/* Does the program look at it only when it starts? */
bool config_is_at_start(enum config_account who, const char *section, const char *key);
/* now was just read and is to take the place of before: what counts from a start only keeps its
 * value of before. changes says what is another now, and what will be after a restart. */
void config_carry_over(struct config *now, const struct config *before, enum config_account who,
	struct config_changes *changes);
/* Says so in the log, and releases the names. */
void config_log_changes(struct config_changes *changes);

/* "<poller.socket>.page" */
void config_page_path(const struct config *c, struct str *out);

#endif
