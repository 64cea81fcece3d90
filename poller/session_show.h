/*
 * What of its views a session's client has been shown, where that is not simply what came before
 * its cursor: what a snapshot has told it already is left out, and a view that was paused is shown
 * again from where its client was told all. The loop thread's.
 */
#ifndef CMDB_SESSION_SHOW_H
#define CMDB_SESSION_SHOW_H

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "subs.h"

struct hit;
struct hits;
struct record;
struct session;
struct sock;

#define SESSION_SKIPS_MAX 16

/* Events of the topic up to that one are not shown: by right and for its rooms, or by views that
 * were asked for. */
void session_skip(struct session *s, struct slice topic, bool by_view, uint64_t upto);
bool session_skips(const struct session *s, const struct record *r, bool by_view);
void session_forget_skips(struct session *s); /* those behind its cursors */

/* Queues what a view shows of an event, all of it, whatever its pace. false: s was closed. */
bool session_emit_hit(
	struct session *s, struct sock *k, const struct hits *h, const struct hit *hit);

/* Up to which event it has been shown the view, or is by answers on their way. */
uint64_t session_shown(const struct session *s, const struct sub *view);
/* Its client has been told all of the view up to event `behind`: queues what of it the session has
 * passed since, once. false: s was closed. */
bool session_show_again(struct session *s, const struct sub *view, uint64_t behind);

#endif
