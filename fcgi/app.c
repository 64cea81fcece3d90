#include "app.h"

#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "clock.h"
#include "identity.h"
#include "jobs.h"
#include "log.h"
#include "log_file.h"
#include "loop.h"
#include "mem.h"
#include "probe.h"
#include "route.h"
#include "tables.h"

static struct settings *settings_load(const struct settings_source *source, struct str *errors)
{
	struct settings *s = xcalloc(1, sizeof(*s));

	atomic_init(&s->refs, 1);
	if (!config_load(&s->cfg, source->file, source->sets, source->sets_n, errors)) {
		free(s);
		return NULL;
	}
	s->key = token_key_load(&s->cfg, errors);
	if (!s->key) {
		config_fini(&s->cfg);
		free(s);
		return NULL;
	}
	return s;
}

void app_settings_put(struct settings *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) > 1)
		return;
	token_key_free(s->key);
	config_fini(&s->cfg);
	free(s);
}

struct settings *app_settings_get(struct app *app)
{
	struct settings *s;

	pthread_mutex_lock(&app->settings_lock);
	s = app->settings;
	atomic_fetch_add(&s->refs, 1);
	pthread_mutex_unlock(&app->settings_lock);
	return s;
}

bool app_is_alone(struct app *app)
{
	struct settings *s = app_settings_get(app);
	const char *word = s->cfg.fcgi.process_per_request;
	bool is_alone = strcmp(word, "on") == 0 || (strcmp(word, "auto") == 0 && app->is_mod_fcgid);

	app_settings_put(s);
	return is_alone;
}

bool app_init(struct app *app, const struct settings_source *source, struct str *errors)
{
	struct str page = STR_INIT;

	app->source = *source;
	app->settings = settings_load(source, errors);
	if (!app->settings)
		return false;
	config_log_init(&app->settings->cfg, "cmdb-fcgi");
	pthread_mutex_init(&app->settings_lock, NULL);
	app->started_ms = clock_ms();
	config_page_path(&app->settings->cfg, &page);
	atomic_init(&app->shm, shm_attach(str_c(&page)));
	str_fini(&page);
	app->cache = cache_new();
	app->identities = identities_new();
	app->log_file = log_file_new(app->stats);
	app->routes = tables_routes();
	app->sql = tables_sql();
	app->requests = jobs_new(app);
	app->reads = jobs_new(app);
	app->changes = jobs_new(app);
	app->events = jobs_new(app);
	app->lists = jobs_new(app);
	app->searches = jobs_new(app);
	app->passwords = jobs_new(app);
	app->probe = probe_new(app);
	app->loop = loop_new(app);
	return true;
}

void app_fini(struct app *app)
{
	loop_free(app->loop);
	jobs_free(app->requests);
	jobs_free(app->reads);
	jobs_free(app->changes);
	jobs_free(app->events);
	jobs_free(app->lists);
	jobs_free(app->searches);
	jobs_free(app->passwords);
	probe_free(app->probe);
	cache_free(app->cache);
	identities_free(app->identities);
	log_file_free(app->log_file);
	routes_free(app->routes);
	shm_detach(atomic_load(&app->shm));
	pthread_mutex_destroy(&app->settings_lock);
	app_settings_put(app->settings);
}

void app_reload(struct app *app)
{
	struct str errors = STR_INIT;
	struct settings *now = settings_load(&app->source, &errors), *old;
	struct config_changes changes = {0};

	log_file_reopen(app->log_file);
	if (!now) {
		log_error("reload", "configuration kept as it was: %s", str_c(&errors));
		str_fini(&errors);
		return;
	}
	pthread_mutex_lock(&app->settings_lock);
	old = app->settings;
	config_carry_over(&now->cfg, &old->cfg, CONFIG_FCGI, &changes);
	app->settings = now;
	pthread_mutex_unlock(&app->settings_lock);
	app_settings_put(old);
	config_log_init(&now->cfg, "cmdb-fcgi");
	config_log_changes(&changes);
}
