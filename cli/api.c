#include "api.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "mem.h"
#include "secret.h"

#define PAGE_SIZE 200

struct rest *api_open(const struct call *call, enum ctl_exit *status)
{
	const char *url = opt_text(call, "url"), *file = opt_text(call, "api-key-file");
	const char *token = opt_text(call, "token"), *why = NULL;
	struct rest *r = NULL;
	char *key = NULL;
	size_t len = 0;

	*status = CTL_FAILED;
	if (!token && !file)
		token = getenv("CMDB_TOKEN");
	if (!token && !file && getenv("CMDB_API_KEY"))
		key = xstrdup(getenv("CMDB_API_KEY"));
	if (!file)
		file = call->cfg->cli.api_key_file;
	if (!token && !key && !*file) {
		cmd_fail(CTL_FAILED, "the web server wants to know who asks: make a key with "
				     "cmdbctl apikey add, put it into a file of mode 0600 and name "
				     "that in [cli] api_key_file or --api-key-file");
		return NULL;
	}
	if (!token && !key) {
		key = secret_read_file(file, &len, &why);
		if (!key) {
			cmd_fail(CTL_FAILED, "%s: %s", file, why);
			return NULL;
		}
	}
	if (key)
		key[strcspn(key, " \r\n")] = '\0';
	r = rest_new(url ? url : call->cfg->cli.url, key, token);
	if (key)
		secret_wipe(key, len ? len : strlen(key));
	free(key);
	*status = CTL_OK;
	return r;
}

enum ctl_exit api_fail(const struct rest_answer *a, const char *what)
{
	struct str text = STR_INIT;
	enum ctl_exit status = CTL_FAILED;

	rest_problem(a, &text);
	if (a->status == 502 || a->status == 503 || a->status == 504)
		status = CTL_UNREACHABLE;
	else if (!json_get(a->json, "error"))
		status = CTL_FAILED;
	else if (a->status == 404 || a->status == 409)
		status = CTL_NOT_FOUND;
	else if (a->status == 400 || a->status == 422)
		status = CTL_USAGE;
	cmd_fail(status, "%s: %s", what, str_c(&text));
	str_fini(&text);
	return status;
}

enum ctl_exit api_call(struct rest *r, const char *method, const char *path, const char *body,
	struct rest_answer *a)
{
	struct str why = STR_INIT;
	enum ctl_exit status = CTL_OK;

	if (!rest_call(r, method, path, body, REST_TIMEOUT_MS, a, &why)) {
		status = cmd_fail(
			CTL_UNREACHABLE, "the web server cannot be reached: %s", str_c(&why));
	} else if (a->status >= 400 || !rest_data(a)) {
		status = api_fail(a, path);
		rest_answer_fini(a);
	}
	str_fini(&why);
	return status;
}

enum ctl_exit api_list(struct rest *r, const char *path, struct json_object *all)
{
	enum ctl_exit status = CTL_OK;
	bool is_last = false;

	for (unsigned page = 1; status == CTL_OK && !is_last; page++) {
		struct str one = STR_INIT;
		struct json_object *items;
		struct rest_answer a;

		str_addf(&one, "%s%cpage=%u&page_size=%d", path, strchr(path, '?') ? '&' : '?',
			page, PAGE_SIZE);
		status = api_call(r, "GET", str_c(&one), NULL, &a);
		str_fini(&one);
		if (status != CTL_OK)
			break;
		items = json_get(rest_data(&a), "items");
		is_last = !json_object_is_type(items, json_type_array) ||
			  json_object_array_length(items) < PAGE_SIZE;
		for (size_t i = 0; items && i < json_object_array_length(items); i++)
			json_object_array_add(
				all, json_object_get(json_object_array_get_idx(items, i)));
		rest_answer_fini(&a);
	}
	return status;
}
