/*
 * What `cmdbctl doctor` examines. A check is a function that looks at one thing and leaves a
 * finding; cmd_doctor.c has them in a table, in the order in which a later one stands on an
 * earlier. What several checks need is opened once and kept here.
 */
#ifndef CMDB_CLI_DOCTOR_H
#define CMDB_CLI_DOCTOR_H

#include <json-c/json.h>
#include <sys/types.h>

#include "cmd.h"
#include "rest.h"

enum verdict { VERDICT_OK, VERDICT_SKIP, VERDICT_WARN, VERDICT_FAIL };

struct finding {
	enum verdict verdict;
	struct str text; /* what was seen */
	struct str cure; /* what to do; empty for OK */
};

struct doctor {
	struct call *call;
	const struct config *cfg; /* NULL: could not be read; then only check_config runs */
	/* of the accounts [cli], [poller] and [fcgi]; NULL until they could be opened */
	struct db *db, *poller_db, *fcgi_db;
	struct db_login fcgi_login, poller_login;
	struct json_object *poller; /* what it says of itself; NULL: not there */
	struct rest *rest;          /* with the API key; NULL: no key, or it cannot be read */
	struct rest *nobody;        /* without one */
};

typedef void (*check_fn)(struct doctor *d, struct finding *f);

/* Leave a finding; cure may be NULL. */
void finding_ok(struct finding *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void finding_skip(struct finding *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void finding_bad(struct finding *f, enum verdict verdict, const char *cure, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* cmdb-fcgi processes that the poller has; 0 if it was not reached. */
unsigned doctor_fcgi_processes(const struct doctor *d);
/* How many database connections our programs are going to have. */
uint64_t doctor_connections(const struct doctor *d);

/* Whom a cmdb-fcgi of this host runs as; who asks, if there is none. */
uid_t doctor_fcgi_user(void);

/* doctor_host.c */
void check_config(struct doctor *d, struct finding *f);
void check_config_file(struct doctor *d, struct finding *f);
void check_token_key(struct doctor *d, struct finding *f);
void check_api_key(struct doctor *d, struct finding *f);
void check_descriptors(struct doctor *d, struct finding *f);
void check_runtime(struct doctor *d, struct finding *f);
/* doctor_db.c */
void check_db_cli(struct doctor *d, struct finding *f);
void check_db_fcgi(struct doctor *d, struct finding *f);
void check_db_poller(struct doctor *d, struct finding *f);
void check_schema(struct doctor *d, struct finding *f);
void check_binlog(struct doctor *d, struct finding *f);
void check_binlog_rights(struct doctor *d, struct finding *f);
void check_connections(struct doctor *d, struct finding *f);
void check_wait_timeout(struct doctor *d, struct finding *f);
void check_event_ids(struct doctor *d, struct finding *f);
void check_retention(struct doctor *d, struct finding *f);
void check_disk(struct doctor *d, struct finding *f);
void check_clock(struct doctor *d, struct finding *f);
/* doctor_rights.c */
extern const struct db_set doctor_rights_sql; /* for all three */
void check_rights_fcgi(struct doctor *d, struct finding *f);
void check_rights_poller(struct doctor *d, struct finding *f);
/* doctor_server.c */
extern const struct db_set doctor_server_sql; /* for d->db */
void check_writable(struct doctor *d, struct finding *f);
void check_row_image(struct doctor *d, struct finding *f);
void check_durability(struct doctor *d, struct finding *f);
void check_packet(struct doctor *d, struct finding *f);
void check_sql_mode(struct doctor *d, struct finding *f);
void check_statements(struct doctor *d, struct finding *f);
/* doctor_web.c */
void check_authorization(struct doctor *d, struct finding *f);
void check_stream(struct doctor *d, struct finding *f);
void check_uploads(struct doctor *d, struct finding *f);
/* doctor_logs.c */
void check_log_file(struct doctor *d, struct finding *f);
/* doctor_live.c */
extern const struct db_set doctor_live_sql; /* for d->db */
void check_poller(struct doctor *d, struct finding *f);
void check_source(struct doctor *d, struct finding *f);
void check_writer(struct doctor *d, struct finding *f);
void check_log(struct doctor *d, struct finding *f);
void check_lag(struct doctor *d, struct finding *f);
void check_event_names(struct doctor *d, struct finding *f);
void check_web(struct doctor *d, struct finding *f);
void check_ready(struct doctor *d, struct finding *f);
void check_hangup(struct doctor *d, struct finding *f);

#endif
