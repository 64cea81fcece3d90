/*
 * How a verb that asks the web server finds it and says who asks: [cli] url and api_key_file, or
 * the options API_OPTS that such a verb has, or CMDB_TOKEN or CMDB_API_KEY. A key itself is no
 * option: those of a process are for all to see.
 */
#ifndef CMDB_CLI_API_H
#define CMDB_CLI_API_H

#include "cmd.h"
#include "rest.h"

#define API_OPTS                                                                                 \
	{"url", OPT_TEXT, "URL", "the web server, not [cli] url", 0, 0},                         \
		{"api-key-file", OPT_TEXT, "FILE", "the API key, not [cli] api_key_file", 0, 0}, \
	{                                                                                        \
		"token", OPT_TEXT, "TOKEN",                                                      \
			"an access token, not an API key; also from CMDB_TOKEN", 0, 0            \
	}

/* NULL, with *status set and having said why, when the key cannot be read or there is none. */
struct rest *api_open(const struct call *call, enum ctl_exit *status);
/* Says what a failure answer says; returns the status that fits. */
enum ctl_exit api_fail(const struct rest_answer *a, const char *what);
/* A call that must succeed: CTL_OK with *a to be released, else the status after having said why.
 */
enum ctl_exit api_call(struct rest *r, const char *method, const char *path, const char *body,
	struct rest_answer *a);
/* All pages of a list, into the array `all`: path is its address, with what is asked for. */
enum ctl_exit api_list(struct rest *r, const char *path, struct json_object *all);

#endif
