/*
 * Engine.IO over HTTP, transport polling: the requests at socketio.path, which no route of the
 * table takes, for it is configuration. Here they are read and refused, or made ready to be parked
 * (park_engine.h). Engine.IO protocol 4, "HTTP long-polling"; the order of checks and the answers
 * to bad requests are those of the reference server (engine.io 6, server.js, verify()).
 *
 * A request that the web server tries again because the process that had it died (http_is_again()):
 * a GET is served like the first one, but not held. Of a POST
 * only its length is left: the poller is told so, and judges. Worker threads; may block.
 */
#ifndef CMDB_ENGINE_H
#define CMDB_ENGINE_H

#include "http.h"
#include "route.h"

struct config;
struct conn;

/* Is path where Engine.IO is served? */
bool engine_is_at(const struct config *cfg, const char *path);
/* Leaves the answer in ctx->res or, to be parked, in ctx->park. */
void engine_serve(struct ctx *ctx, const struct http_meta *meta, struct conn *conn);

/* ---- engine_about.c ---- */

#define ENGINE_ABOUT_MAX 2048
/* What the Admin UI may show of a handshake, JSON of at most ENGINE_ABOUT_MAX bytes: headers,
 * query, url and times as in `socket.handshake` of the reference server, but nothing that lets one
 * in (cookies, authorization, tokens). */
void engine_put_about(struct str *out, const struct http_req *req, char *const *env);

/* ---- engine_client.c ---- */

/* The most packets that the client of a handshake takes in one answer; 0: any number. */
uint16_t engine_answer_packets(const struct config *cfg, char *const *env);

#endif
