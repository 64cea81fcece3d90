#include "socket_echo.h"

#include <string.h>

#include "payload.h"
#include "socket_connect.h"

/* A packet, and the attachments of p behind it. */
static void send(struct socket_work *w, const struct str *packet, const struct packet *p)
{
	struct str payload = STR_INIT;
	struct op op = {.type = OP_SEND};

	payload_put_text(&payload, str_c(packet), packet->len);
	for (unsigned i = 0; i < p->attachments_n; i++)
		payload_put_binary(&payload, p->attachments[i].p, p->attachments[i].len);
	op.bytes = (struct slice){.p = payload.p, .len = payload.len};
	ops_put(w->ops, &op);
	str_fini(&payload);
}

static void connect(struct socket_work *w, const struct packet *p)
{
	static const struct packet no_attachments;
	struct slice auth = p->payload.len ? p->payload : (struct slice){.p = "{}", .len = 2};
	char id[SOCKET_ID_SIZE], pid[SOCKET_PID_SIZE];
	struct op op = {.type = OP_CONNECT, .id = OPS_FROM_NOW, .nsp = p->nsp};
	struct str packet = STR_INIT;

	socket_make_ids(id, pid);
	op.socket_id = (struct slice){.p = id, .len = strlen(id)};
	socket_join(w, &op, NULL);
	packet_put_event(&packet, p->nsp, NULL, 0, "auth", auth);
	send(w, &packet, &no_attachments);
	str_fini(&packet);
}

static void message(struct socket_call *call)
{
	const struct packet *p = call->packet;
	struct str packet = STR_INIT;

	packet_put_event(&packet, p->nsp, NULL, p->attachments_n, "message-back", p->args);
	send(call->work, &packet, p);
	str_fini(&packet);
}

static void message_with_ack(struct socket_call *call)
{
	const struct packet *p = call->packet;
	struct str packet = STR_INIT;

	if (!p->has_id)
		return;
	packet_put_ack(&packet, p->nsp, p->id, p->attachments_n, p->args);
	send(call->work, &packet, p);
	str_fini(&packet);
}

static const struct socket_event events[] = {
	{.name = "message", .handle = message},
	{.name = "message-with-ack", .handle = message_with_ack},
	{0},
};
static const struct socket_event *const tables[] = {events, NULL};

const struct socket_namespace socket_echo_namespaces[] = {
	{.name = "/", .connect = connect, .events = tables},
	{.name = "/custom", .connect = connect, .events = tables},
	{0},
};
