/*
 * Many keep-alive HTTP/1.1 connections to one server on one epoll descriptor, each with at most one
 * request out. A connection is made when it is first used, and again when the server has closed it
 * between two requests. All calls belong to one thread; only client_turn() waits.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "answer.h"

struct client;

/* Called from client_turn() for each answer to connection i; it may send the next request. a NULL:
 * the connection broke, or sent what is no HTTP, before it answered. */
typedef void (*client_on_answer)(struct client *c, size_t i, const struct answer *a, void *arg);

/* http://ADDRESS[:PORT][/path]: *at is where to connect, the path (or "/") is returned, NULL if the
 * text is nothing of the kind. ADDRESS is numeric IPv4. */
const char *client_parse_url(const char *url, struct sockaddr_in *at);

struct client *client_new(const struct sockaddr_in *at, size_t n, client_on_answer on, void *arg);
void client_free(struct client *c);
/* request is copied: a few KB at most. Connection i must have none out. */
void client_send(struct client *c, size_t i, const char *request, size_t len);
/* Closes connection i, which must have none out, until it is used again. */
void client_close(struct client *c, size_t i);
/* Handles what there is, waiting for it up to timeout_ms. */
void client_turn(struct client *c, int timeout_ms);
/* Requests handed to the kernel and not answered yet. */
size_t client_out_n(const struct client *c);

#endif
