/*
 * Clients that do not take what the protocol lets a server send. A new one is a row of the table.
 */
#include <string.h>

#include "config.h"
#include "engine.h"

#define USER_AGENT "HTTP_USER_AGENT="

/* Known by how their User-Agent begins, and what is in it behind that. */
static const struct {
	const char *begin, *behind;
	uint16_t answer_packets;
} clients[] = {
	/* python-engineio, Payload.max_decode_packets: at more in an answer its session ends. Its
	 * two clients say what their HTTP libraries say. */
	{"python-requests/", "", 16},
	{"Python/", " aiohttp/", 16},
};

static const char *user_agent(char *const *env)
{
	for (; *env; env++)
		if (strncmp(*env, USER_AGENT, strlen(USER_AGENT)) == 0)
			return *env + strlen(USER_AGENT);
	return "";
}

uint16_t engine_answer_packets(const struct config *cfg, char *const *env)
{
	const char *agent = user_agent(env);

	if (cfg->socketio.answer_packets)
		return (uint16_t)cfg->socketio.answer_packets;
	for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++) {
		size_t len = strlen(clients[i].begin);

		if (strncmp(agent, clients[i].begin, len) == 0 &&
			strstr(agent + len, clients[i].behind))
			return clients[i].answer_packets;
	}
	return 0;
}
