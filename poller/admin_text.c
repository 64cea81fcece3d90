#include "admin_text.h"

#include <ctype.h>
#include <string.h>

#include "clock.h"
#include "group.h"
#include "session.h"

void admin_text_now(struct str *s)
{
	char text[CLOCK_RFC3339_SIZE];

	clock_rfc3339(clock_wall_ms(), text);
	str_adds(s, ",\"");
	str_adds(s, text);
	str_addc(s, '"');
}

static void add_member(struct str *s, const char *key, const char *value)
{
	str_addf(s, "\"%s\":", key);
	str_add_json(s, value);
	str_addc(s, ',');
}

static void add_rooms(struct str *out, const struct session *s, const struct sock *k)
{
	str_adds(out, "\"rooms\":[");
	str_add_json(out, k->id);
	for (size_t i = 0; sock_is_main(k) && i < s->group->want.rooms.n; i++) {
		str_addc(out, ',');
		str_add_json(out, s->group->want.rooms.v[i]);
	}
	str_addc(out, ']');
}

void admin_text_socket(struct str *out, const struct session *s, const struct sock *k)
{
	bool has_about = s->about && s->about[0] == '{' && s->about[1] != '}';

	str_addc(out, '{');
	add_member(out, "id", k->id);
	add_member(out, "clientId", s->client_id);
	add_member(out, "transport", "polling");
	add_member(out, "nsp", k->nsp);
	str_adds(out, "\"data\":{\"username\":");
	str_add_json(out, k->caller ? k->caller->username : "");
	str_adds(out, "},\"handshake\":{\"address\":");
	str_add_json(out, s->address);
	str_addc(out, has_about ? ',' : '}');
	if (has_about)
		str_adds(out, s->about + 1);
	str_addc(out, ',');
	add_rooms(out, s, k);
	str_addc(out, '}');
}

static const char *end_of_string(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		p += *p == '\\';
	return p < end ? p + 1 : end;
}

void admin_text_args(struct str *out, struct slice args)
{
	while (args.len && isspace((unsigned char)*args.p)) {
		args.p++;
		args.len--;
	}
	str_addc(out, '[');
	if (args.len <= ADMIN_TEXT_ARGS_MAX) {
		str_add(out, args.p, args.len);
	} else {
		size_t len = (size_t)(end_of_string(args.p, args.p + args.len) - args.p);

		if (len < ADMIN_TEXT_ARGS_MAX) {
			str_add(out, args.p, len);
			str_addc(out, ',');
		}
		str_addf(out, "\"(%zu bytes)\"", args.len);
	}
	str_addc(out, ']');
}
