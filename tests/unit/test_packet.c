/* Socket.IO packets: the protocol's examples, its suite's, and what is refused. */
#include "unit.h"

#include "../fuzz/fuzz.h"
#include "mutate.h"
#include "packet.h"

#define ROUNDS 30000
#define NO_ID UINT64_MAX
#define PLACE(num) "{\"_placeholder\":true,\"num\":" #num "}"

static void assert_text(struct slice got, const char *expected)
{
	if (!slice_is(got, expected))
		fail_msg("\"%.*s\" is not \"%s\"", (int)got.len, got.p, expected);
}

/* `again` is what it encodes to, NULL: the text itself. */
static const struct {
	const char *text;
	enum packet_type type;
	const char *nsp;
	uint64_t id;
	const char *name, *args; /* CONNECT: args is the payload */
	unsigned attachments_n;
	const char *again;
} good_ones[] = {
	/* Protocol, "Packet encoding", "Examples" */
	{"0", PACKET_CONNECT, "/", NO_ID, NULL, "", 0, NULL},
	{"0/admin,{\"sid\":\"oSO0OpakMV_3jnilAAAA\"}", PACKET_CONNECT, "/admin", NO_ID, NULL,
		"{\"sid\":\"oSO0OpakMV_3jnilAAAA\"}", 0, NULL},
	{"2[\"foo\"]", PACKET_EVENT, "/", NO_ID, "foo", "", 0, NULL},
	{"2/admin,[\"bar\"]", PACKET_EVENT, "/admin", NO_ID, "bar", "", 0, NULL},
	{"51-[\"baz\"," PLACE(0) "]", PACKET_EVENT, "/", NO_ID, "baz", PLACE(0), 1, NULL},
	{"52-/admin,[\"baz\"," PLACE(0) "," PLACE(1) "]", PACKET_EVENT, "/admin", NO_ID, "baz",
		PLACE(0) "," PLACE(1), 2, NULL},
	{"212[\"foo\"]", PACKET_EVENT, "/", 12, "foo", "", 0, NULL},
	{"3/admin,13[\"bar\"]", PACKET_ACK, "/admin", 13, NULL, "\"bar\"", 0, NULL},
	{"61-15[\"bar\"," PLACE(0) "]", PACKET_ACK, "/", 15, NULL, "\"bar\"," PLACE(0), 1, NULL},
	{"1", PACKET_DISCONNECT, "/", NO_ID, NULL, "", 0, NULL},
	{"1/admin,", PACKET_DISCONNECT, "/admin", NO_ID, NULL, "", 0, NULL},
	/* "Sample session", and what the protocol's suite sends */
	{"2[\"hey\",\"Jude\"]", PACKET_EVENT, "/", NO_ID, "hey", "\"Jude\"", 0, NULL},
	{"2/admin,1[\"tellme\"]", PACKET_EVENT, "/admin", 1, "tellme", "", 0, NULL},
	{"0{\"token\":\"123\"}", PACKET_CONNECT, "/", NO_ID, NULL, "{\"token\":\"123\"}", 0, NULL},
	{"0/custom,", PACKET_CONNECT, "/custom", NO_ID, NULL, "", 0, NULL},
	{"0/random", PACKET_CONNECT, "/random", NO_ID, NULL, "", 0, "0/random,"},
	{"1/custom", PACKET_DISCONNECT, "/custom", NO_ID, NULL, "", 0, "1/custom,"},
	{"2[\"message\",1,\"2\",{\"3\":[true]}]", PACKET_EVENT, "/", NO_ID, "message",
		"1,\"2\",{\"3\":[true]}", 0, NULL},
	{"2456[\"message-with-ack\",1,\"2\",{\"3\":[false]}]", PACKET_EVENT, "/", 456,
		"message-with-ack", "1,\"2\",{\"3\":[false]}", 0, NULL},
	{"52-789[\"message-with-ack\"," PLACE(0) "," PLACE(1) "]", PACKET_EVENT, "/", 789,
		"message-with-ack", PLACE(0) "," PLACE(1), 2, NULL},
	/* namespaces */
	{"2/,[\"a\"]", PACKET_EVENT, "/", NO_ID, "a", "", 0, "2[\"a\"]"},
	{"0/admin?token=x&y=1,{}", PACKET_CONNECT, "/admin", NO_ID, NULL, "{}", 0, "0/admin,{}"},
	{"0/?a,", PACKET_CONNECT, "/", NO_ID, NULL, "", 0, "0"},
	{"0/admin{}", PACKET_CONNECT, "/admin{}", NO_ID, NULL, "", 0, "0/admin{},"},
	{"0/\xc3\xa4,", PACKET_CONNECT, "/\xc3\xa4", NO_ID, NULL, "", 0, NULL},
	/* ids */
	{"20[\"a\"]", PACKET_EVENT, "/", 0, "a", "", 0, NULL},
	{"2007[\"a\"]", PACKET_EVENT, "/", 7, "a", "", 0, "27[\"a\"]"},
	{"29007199254740991[\"a\"]", PACKET_EVENT, "/", PACKET_ID_MAX, "a", "", 0, NULL},
	{"200009007199254740991[\"a\"]", PACKET_EVENT, "/", PACKET_ID_MAX, "a", "", 0,
		"29007199254740991[\"a\"]"},
	{"30[]", PACKET_ACK, "/", 0, NULL, "", 0, NULL},
	{"31[ ]", PACKET_ACK, "/", 1, NULL, "", 0, "31[]"},
	{"31[null]", PACKET_ACK, "/", 1, NULL, "null", 0, NULL},
	{"31[[],{}]", PACKET_ACK, "/", 1, NULL, "[],{}", 0, NULL},
	/* names and arguments; blanks go, between arguments they stay */
	{"2[\"\"]", PACKET_EVENT, "/", NO_ID, "", "", 0, NULL},
	{"2[\"\",\"\"]", PACKET_EVENT, "/", NO_ID, "", "\"\"", 0, NULL},
	{"2[\"a\",null]", PACKET_EVENT, "/", NO_ID, "a", "null", 0, NULL},
	{"2[\"a\\\"],[\\\\\",\"\\\"\"]", PACKET_EVENT, "/", NO_ID, "a\"],[\\", "\"\\\"\"", 0, NULL},
	{"2[\"\\u00e4\\u001e\",\"\\u00e4\"]", PACKET_EVENT, "/", NO_ID, "\xc3\xa4\x1e",
		"\"\\u00e4\"", 0, "2[\"\xc3\xa4\\u001e\",\"\\u00e4\"]"},
	{"2[ \"a\" , 1.50 ,\t{ } ] ", PACKET_EVENT, "/", NO_ID, "a", "1.50 ,\t{ }", 0,
		"2[\"a\",1.50 ,\t{ }]"},
	{"2[\n\"a\"\n]\n", PACKET_EVENT, "/", NO_ID, "a", "", 0, "2[\"a\"]"},
	{"2[\"Connect\"]", PACKET_EVENT, "/", NO_ID, "Connect", "", 0, NULL},
	{"2[\"message\",\"connect\"]", PACKET_EVENT, "/", NO_ID, "message", "\"connect\"", 0, NULL},
	/* attachments: anywhere, in any order; a placeholder in a text packet is an object */
	{"51-[\"a\",{\"b\":[[" PLACE(0) "]]}]", PACKET_EVENT, "/", NO_ID, "a",
		"{\"b\":[[" PLACE(0) "]]}", 1, NULL},
	{"52-[\"a\"," PLACE(1) "," PLACE(0) "]", PACKET_EVENT, "/", NO_ID, "a",
		PLACE(1) "," PLACE(0), 2, NULL},
	{"5001-[\"a\",{\"num\":0,\"_placeholder\":true}]", PACKET_EVENT, "/", NO_ID, "a",
		"{\"num\":0,\"_placeholder\":true}", 1,
		"51-[\"a\",{\"num\":0,\"_placeholder\":true}]"},
	{"510-[\"a\"," PLACE(0) "," PLACE(1) "," PLACE(2) "," PLACE(3) "," PLACE(4) "," PLACE(
		 5) "," PLACE(6) "," PLACE(7) "," PLACE(8) "," PLACE(9) "]",
		PACKET_EVENT, "/", NO_ID, "a",
		PLACE(0) "," PLACE(1) "," PLACE(2) "," PLACE(3) "," PLACE(4) "," PLACE(5) "," PLACE(
			6) "," PLACE(7) "," PLACE(8) "," PLACE(9),
		10, NULL},
	{"51-[\"a\"," PLACE(0) ",{\"_placeholder\":false,\"num\":0},{\"_placeholder\":1}]",
		PACKET_EVENT, "/", NO_ID, "a",
		PLACE(0) ",{\"_placeholder\":false,\"num\":0},{\"_placeholder\":1}", 1, NULL},
	{"2[\"a\"," PLACE(7) "]", PACKET_EVENT, "/", NO_ID, "a", PLACE(7), 0, NULL},
	{"61-/admin,3[" PLACE(0) "]", PACKET_ACK, "/admin", 3, NULL, PLACE(0), 1, NULL},
	/* What the reference's decoder takes for all that no client of its own makes it. Names that
	 * are numbers, or none; acknowledgements of nothing; ids where there are none */
	{"2[1,2]", PACKET_EVENT, "/", NO_ID, NULL, "2", 0, NULL},
	{"2[-1.5e3 , \"a\"]", PACKET_EVENT, "/", NO_ID, NULL, "\"a\"", 0, NULL},
	{"21[0]", PACKET_EVENT, "/", 1, NULL, "", 0, NULL},
	{"2", PACKET_EVENT, "/", NO_ID, NULL, "", 0, NULL},
	{"21", PACKET_EVENT, "/", 1, NULL, "", 0, NULL},
	{"2/admin,", PACKET_EVENT, "/admin", NO_ID, NULL, "", 0, NULL},
	{"2/admin[\"a\"]", PACKET_EVENT, "/admin[\"a\"]", NO_ID, NULL, "", 0, NULL},
	{"3", PACKET_ACK, "/", NO_ID, NULL, "", 0, NULL},
	{"3[1]", PACKET_ACK, "/", NO_ID, NULL, "1", 0, NULL},
	{"31", PACKET_ACK, "/", 1, NULL, "", 0, "31[]"},
	{"01{}", PACKET_CONNECT, "/", NO_ID, NULL, "{}", 0, "0{}"},
	{"01", PACKET_CONNECT, "/", NO_ID, NULL, "", 0, "0"},
	{"11", PACKET_DISCONNECT, "/", NO_ID, NULL, "", 0, "1"},
	/* white space is a zero to Number() */
	{" {}", PACKET_CONNECT, "/", NO_ID, NULL, "{}", 0, "0{}"},
	{"2 [\"a\"]", PACKET_EVENT, "/", 0, "a", "", 0, "20[\"a\"]"},
	{"2\xc2\xa0\xe2\x80\xa8 12\n[\"a\"]", PACKET_EVENT, "/", 12, "a", "", 0, "212[\"a\"]"},
	{"2000000000000000000000000000007[\"a\"]", PACKET_EVENT, "/", 7, "a", "", 0, "27[\"a\"]"},
	/* of a key that is there twice the last counts */
	{"2[\"a\",{\"b\":1,\"b\":2}]", PACKET_EVENT, "/", NO_ID, "a", "{\"b\":1,\"b\":2}", 0, NULL},
	/* namespaces have any characters */
	{"0/a\nb,", PACKET_CONNECT, "/a\nb", NO_ID, NULL, "", 0, NULL},
	{"0/a\x7f,{}", PACKET_CONNECT, "/a\x7f", NO_ID, NULL, "{}", 0, NULL},
	/* attachments: as many as Number() says, and what they stand for is nearly free */
	{"51.0-[\"a\"]", PACKET_EVENT, "/", NO_ID, "a", "", 1, "51-[\"a\"]"},
	{"5 0x1 -[\"a\"]", PACKET_EVENT, "/", NO_ID, "a", "", 1, "51-[\"a\"]"},
	{"5.2e1-[\"a\"]", PACKET_EVENT, "/", NO_ID, "a", "", 2, "52-[\"a\"]"},
	{"51-", PACKET_EVENT, "/", NO_ID, NULL, "", 1, NULL},
	{"61-1", PACKET_ACK, "/", 1, NULL, "", 1, "61-1[]"},
	{"61-[" PLACE(0) "]", PACKET_ACK, "/", NO_ID, NULL, PLACE(0), 1, NULL},
	{"52-[\"a\"," PLACE(1) "]", PACKET_EVENT, "/", NO_ID, "a", PLACE(1), 2, NULL},
	{"51-[\"a\"," PLACE(0) "," PLACE(0) "]", PACKET_EVENT, "/", NO_ID, "a",
		PLACE(0) "," PLACE(0), 1, NULL},
	{"51-[\"a\"," PLACE(0.5) "]", PACKET_EVENT, "/", NO_ID, "a", PLACE(0.5), 1, NULL},
	{"51-[\"a\",{\"_placeholder\":true,\"num\":0,\"x\":1}]", PACKET_EVENT, "/", NO_ID, "a",
		"{\"_placeholder\":true,\"num\":0,\"x\":1}", 1, NULL},
};

/* What of the good ones there is no packet for that a server sends. */
static bool is_sendable(const struct packet *p)
{
	return p->type == PACKET_EVENT ? p->name != NULL : p->type != PACKET_ACK || p->has_id;
}

static void encode(struct str *s, const struct packet *p)
{
	switch (p->type) {
	case PACKET_CONNECT:
		packet_put_connect(s, p->nsp, p->payload);
		break;
	case PACKET_DISCONNECT:
		packet_put_disconnect(s, p->nsp);
		break;
	case PACKET_EVENT:
		packet_put_event(
			s, p->nsp, p->has_id ? &p->id : NULL, p->attachments_n, p->name, p->args);
		break;
	default:
		packet_put_ack(s, p->nsp, p->id, p->attachments_n, p->args);
	}
}

static void good(void **state)
{
	for (size_t i = 0; i < ARRAY_N(good_ones); i++) {
		const char *text = good_ones[i].text, *why;
		size_t len = strlen(text);
		char *exact = unit_exact(text, len);
		struct str again = STR_INIT;
		struct packet p;

		if (!packet_decode(&p, (struct slice){exact, len}, &why))
			fail_msg("%s: %s", text, why);
		assert_null(why);
		assert_int_equal(p.type, good_ones[i].type);
		assert_text(p.nsp, good_ones[i].nsp);
		assert_int_equal(p.has_id, good_ones[i].id != NO_ID);
		if (p.has_id)
			assert_int_equal(p.id, good_ones[i].id);
		assert_int_equal(p.attachments_n, good_ones[i].attachments_n);
		if (good_ones[i].name)
			assert_string_equal(p.name, good_ones[i].name);
		else
			assert_null(p.name);
		assert_text(p.type == PACKET_CONNECT ? p.payload : p.args, good_ones[i].args);
		assert_null(p.beyond);
		assert_int_equal(p.json != NULL, p.payload.len > 0 && p.type != PACKET_ACK);
		if (is_sendable(&p)) {
			encode(&again, &p);
			assert_string_equal(
				again.p, good_ones[i].again ? good_ones[i].again : text);
		}
		packet_fini(&p);
		str_fini(&again);
		free(exact);
	}
}

/* What ends a session: all that the reference's decoder, or its client.js behind that, ends it for.
 */
static void bad(void **state)
{
	static const char no_json[] = "a packet's payload is no JSON",
			  no_name[] = "an event does not begin with its name",
			  reserved[] = "an event has a reserved name",
			  no_number[] = "the number of attachments is missing";
	static const struct {
		const char *text, *why;
	} table[] = {
		/* the protocol's suite: "invalid format", "invalid handshake" */
		{"abc", "an unknown packet type"},
		{"2{}", "an event's payload is no array"},
		{"2abc[\"message-with-ack\",1,\"2\",{\"3\":[false]}]", no_json},
		/* the parser's suite: "throw an error upon parsing error", "decodes a bad binary
		 * packet", "throws an error when receiving too many attachments" */
		{"442[\"some\",\"data\"", no_json},
		{"0/admin,\"invalid\"", "the payload of CONNECT is no object"},
		{"0[]", "the payload of CONNECT is no object"},
		{"1/admin,{}", "DISCONNECT has a payload"},
		{"2/admin,\"invalid", no_json},
		{"2/admin,{}", "an event's payload is no array"},
		{"2[{\"toString\":\"foo\"}]", no_name},
		{"2[true,\"foo\"]", no_name},
		{"2[null,\"bar\"]", no_name},
		{"2[\"connect\"]", reserved},
		{"2[\"disconnect\",\"123\"]", reserved},
		{"5", no_number},
		{"51", no_number},
		{"5a-", no_number},
		{"51.23-", no_number},
		{"999", "an unknown packet type"},
		{"511-[\"a\"]", "too many attachments"},

		{"", "an unknown packet type"},
		{"7", "an unknown packet type"},
		{"/", "an unknown packet type"},
		{"\xff", "an unknown packet type"},
		/* payloads that do not fit the type */
		{"0\"token\"", "the payload of CONNECT is no object"},
		{"0null", "the payload of CONNECT is no object"},
		{"0admin,", no_json},
		{"1{}", "DISCONNECT has a payload"},
		{"1/admin,[]", "DISCONNECT has a payload"},
		{"1undefined", no_json},
		{"2\"a\"", "an event's payload is no array"},
		{"2[]", no_name},
		{"2[[\"a\"]]", no_name},
		{"2[\"connect_error\"]", reserved},
		{"2[\"disconnecting\"]", reserved},
		{"2[\"newListener\"]", reserved},
		{"2[\"removeListener\"]", reserved},
		{"2[\"\\u0063onnect\"]", reserved},
		{"2[\"connect\",1e20,100000000000000000000]", reserved},
		{"2[\"a\"]1", no_json},
		{"2[\"a\"", no_json},
		{"2[\"a\",]", no_json},
		{"2['a']", no_json},
		{"2[\"a\"][\"b\"]", no_json},
		{"2[\"a\",undefined]", no_json},
		{"2[\"a\",NaN]", no_json},
		{"2[\"a\",01]", no_json},
		{"2[\"a\",\"\\x\"]", no_json},
		{"2[\"a\n\"]", no_json},
		{"31{}", "the payload of an acknowledgement is no array"},
		{"31\"a\"", "the payload of an acknowledgement is no array"},
		{"3-1[]", no_json},
		{"4", "only a server sends CONNECT_ERROR"},
		{"4{\"message\":\"Not authorized\"}", "only a server sends CONNECT_ERROR"},
		/* ids */
		{"21.5[\"a\"]", no_json},
		{"21e3[\"a\"]", no_json},
		{"2+1[\"a\"]", no_json},
		/* attachments */
		{"5[\"a\"," PLACE(0) "]", no_number},
		{"51[\"a\"," PLACE(0) "]", no_number},
		{"5-1-[\"a\"," PLACE(0) "]", no_number},
		{"5Infinity-[\"a\"]", no_number},
		{"5-[\"a\"]", no_number},
		{"50-[\"a\"]", no_number},
		{"51e9-[\"a\"]", "too many attachments"},
		{"50x-[\"a\"]", no_number},
		{"5000000000000000000011-[\"a\"," PLACE(0) "]", "too many attachments"},
		{"51-[" PLACE(0) "]", no_name},
		{"51-[\"a\"," PLACE(1) "]", "a placeholder stands for no attachment"},
		{"51-[\"a\"," PLACE(-1) "]", "a placeholder stands for no attachment"},
		{"51-[\"a\"," PLACE(4294967296) "]", "a placeholder stands for no attachment"},
		{"51-[\"a\"," PLACE("0") "]", "a placeholder stands for no attachment"},
		{"51-[\"a\",{\"_placeholder\":true}]", "a placeholder stands for no attachment"},
	};

	for (size_t i = 0; i < ARRAY_N(table); i++) {
		size_t len = strlen(table[i].text);
		char *exact = unit_exact(table[i].text, len);
		struct packet p;
		const char *why;

		if (packet_decode(&p, (struct slice){exact, len}, &why))
			fail_msg("%s is accepted", table[i].text);
		assert_non_null(why);
		if (table[i].why && strcmp(why, table[i].why) != 0)
			fail_msg("%s: %s, not %s", table[i].text, why, table[i].why);
		free(exact);
	}
}

/* What the reference takes and we cannot: that packet is no good, and nothing else. */
static void beyond(void **state)
{
	static const struct {
		const char *text, *why;
		bool has_id;
	} table[] = {
		{"2[\"a\",100000000000000000000]", "an integer does not fit 64 bits", false},
		{"27[\"a\",18446744073709552000]", "an integer does not fit 64 bits", true},
		{"2[\"a\",1e999]", "a number is too large", false},
		{"2[1e999]", "a number is too large", false},
		{"27[\"a\",\"\\ud83d\"]", "half of a surrogate pair", true},
		{"2[\"a\",\"\\ude00\\ud83d\"]", "half of a surrogate pair", false},
		{"27[\"a\",\"\\u0000\"]", "\\u0000 is not accepted", true},
		{"2[\"\\u0000\"]", "\\u0000 is not accepted", false},
		{"2[\"disconnect\\u0000\"]", "\\u0000 is not accepted", false},
		{"27[\"a\",[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
			"nested too deep", true},
		{"29007199254740992[\"a\"]", "the id to acknowledge it by is none", false},
		{"299999999999999999999999999[\"a\"]", "the id to acknowledge it by is none",
			false},
		{"21 2[\"a\"]", "the id to acknowledge it by is none", false},
		{"39007199254740992[]", "the id to acknowledge it by is none", false},
		{"0{\"token\":\"\\u0000\"}", "\\u0000 is not accepted", false},
		{"0/admin,{\"n\":100000000000000000000}", "an integer does not fit 64 bits", false},
		{"51-[\"a\",100000000000000000000," PLACE(0) "]", "an integer does not fit 64 bits",
			false},
	};

	for (size_t i = 0; i < ARRAY_N(table); i++) {
		size_t len = strlen(table[i].text);
		char *exact = unit_exact(table[i].text, len);
		struct packet p;
		const char *why;

		if (!packet_decode(&p, (struct slice){exact, len}, &why))
			fail_msg("%s: %s", table[i].text, why);
		assert_non_null(p.beyond);
		assert_string_equal(p.beyond, table[i].why);
		assert_int_equal(p.has_id, table[i].has_id);
		packet_fini(&p);
		free(exact);
	}
}

/* JavaScript reads any depth, and so does the check that ends sessions. */
static void deep(void **state)
{
	struct str text = STR_INIT;
	struct packet p;
	const char *why;

	str_adds(&text, "2[\"a\",");
	for (int i = 0; i < 100000; i++)
		str_addc(&text, '[');
	assert_false(packet_decode(&p, (struct slice){text.p, text.len}, &why));
	for (int i = 0; i < 100000; i++)
		str_addc(&text, ']');
	str_addc(&text, ']');
	assert_true(packet_decode(&p, (struct slice){text.p, text.len}, &why));
	assert_string_equal(p.beyond, "nested too deep");
	packet_fini(&p);
	str_fini(&text);
}

/* A client may ask for any; how long one may be is no matter of the grammar. */
static void long_namespace(void **state)
{
	struct packet_pending pending = {0};
	struct str text = STR_INIT;
	struct packet p;
	const char *why;

	str_adds(&text, "0/");
	while (text.len < 100 * PACKET_NSP_MAX)
		str_addc(&text, 'n');
	assert_true(packet_decode(&p, (struct slice){text.p, text.len}, &why));
	assert_int_equal(p.nsp.len, text.len - 1);
	packet_fini(&p);
	str_clear(&text);
	str_adds(&text, "51-/");
	while (text.len < 100 * PACKET_NSP_MAX)
		str_addc(&text, 'n');
	assert_int_equal(
		packet_feed_text(&pending, (struct slice){text.p, text.len}, &p, &why), PACKET_BAD);
	assert_string_equal(why, "attachments to a namespace that there cannot be");
	packet_pending_fini(&pending);
	str_fini(&text);
}

/* What a server sends. */
static void put(void **state)
{
	const struct slice root = {"/", 1}, admin = {"/admin", 6}, none = {"", 0};
	const uint64_t id = 14;
	struct str s = STR_INIT;

	packet_put_connect(&s, root, slice_of("{\"sid\":\"x\"}"));
	assert_string_equal(s.p, "0{\"sid\":\"x\"}");
	str_clear(&s);
	packet_put_connect(&s, admin, slice_of("{\"sid\":\"x\"}"));
	assert_string_equal(s.p, "0/admin,{\"sid\":\"x\"}");
	str_clear(&s);
	packet_put_connect_error(&s, none, slice_of("{\"message\":\"Not authorized\"}"));
	assert_string_equal(s.p, "4{\"message\":\"Not authorized\"}");
	str_clear(&s);
	packet_put_connect_error(&s, slice_of("/random"), slice_of("{\"message\":\"m\"}"));
	assert_string_equal(s.p, "4/random,{\"message\":\"m\"}");
	str_clear(&s);
	packet_put_disconnect(&s, admin);
	assert_string_equal(s.p, "1/admin,");
	str_clear(&s);
	packet_put_event(&s, admin, &id, 0, "say \"hi\"", slice_of("1,\"2\""));
	assert_string_equal(s.p, "2/admin,14[\"say \\\"hi\\\"\",1,\"2\"]");
	str_clear(&s);
	packet_put_event(&s, root, NULL, 1, "foo", slice_of(PLACE(0)));
	assert_string_equal(s.p, "51-[\"foo\"," PLACE(0) "]");
	str_clear(&s);
	packet_put_ack(&s, admin, id, 1, slice_of(PLACE(0)));
	assert_string_equal(s.p, "61-/admin,14[" PLACE(0) "]");
	str_fini(&s);
}

/* An event under another name, and an acknowledgement of what it had for arguments. */
static void echo(void **state)
{
	struct packet p;
	struct str s = STR_INIT;
	const char *why;

	assert_true(packet_decode(&p, slice_of("2[\"message\",1,\"2\",{\"3\":[true]}]"), &why));
	assert_text(p.inside, "\"message\",1,\"2\",{\"3\":[true]}");
	packet_put_event(&s, p.nsp, NULL, 0, "message-back", p.args);
	assert_string_equal(s.p, "2[\"message-back\",1,\"2\",{\"3\":[true]}]");
	packet_fini(&p);
	str_clear(&s);
	assert_true(packet_decode(&p, slice_of("2/custom,456[\"m\" , 1.0, \"\\u00e4\" ]"), &why));
	packet_put_ack(&s, p.nsp, p.id, p.attachments_n, p.args);
	assert_string_equal(s.p, "3/custom,456[1.0, \"\\u00e4\"]");
	packet_fini(&p);
	str_fini(&s);
}

/* Saves and loads, as between two POSTs. */
static void next_post(struct packet_pending *pending)
{
	struct str saved = STR_INIT;
	const char *why;

	packet_pending_save(pending, &saved);
	packet_pending_fini(pending);
	assert_true(packet_pending_load(pending, (struct slice){saved.p, saved.len}, &why));
	str_fini(&saved);
}

static void assembly(void **state)
{
	for (int posts = 0; posts < 2; posts++) {
		struct packet_pending pending = {0};
		char *text = strdup("52-/x,7[\"baz\"," PLACE(0) "," PLACE(1) "]");
		struct packet p;
		const char *why;

		assert_int_equal(packet_feed_text(&pending, slice_of(text), &p, &why), PACKET_MORE);
		assert_int_equal(pending.missing_n, 2);
		free(text);
		if (posts)
			next_post(&pending);
		assert_int_equal(packet_feed_binary(&pending, (struct slice){"\1\0", 2}, &p, &why),
			PACKET_MORE);
		if (posts)
			next_post(&pending);
		assert_int_equal(pending.missing_n, 1);
		assert_int_equal(packet_feed_text(&pending, slice_of("1"), &p, &why), PACKET_BAD);
		assert_string_equal(why, "text came while attachments were missing");
		assert_int_equal(
			packet_feed_binary(&pending, slice_of(""), &p, &why), PACKET_WHOLE);
		assert_null(pending.kept.p);
		assert_int_equal(pending.missing_n, 0);
		assert_int_equal(p.type, PACKET_EVENT);
		assert_text(p.nsp, "/x");
		assert_int_equal(p.id, 7);
		assert_string_equal(p.name, "baz");
		assert_int_equal(p.attachments_n, 2);
		assert_int_equal(p.attachments[0].len, 2);
		assert_memory_equal(p.attachments[0].p, "\1\0", 2);
		assert_int_equal(p.attachments[1].len, 0);
		packet_fini(&p);

		assert_int_equal(packet_feed_binary(&pending, slice_of("x"), &p, &why), PACKET_BAD);
		assert_string_equal(why, "binary data that no packet announced");
		assert_int_equal(
			packet_feed_text(&pending, slice_of("2[\"a\"]"), &p, &why), PACKET_WHOLE);
		assert_string_equal(p.name, "a");
		packet_fini(&p);
		assert_int_equal(
			packet_feed_text(&pending, slice_of("51-{}"), &p, &why), PACKET_BAD);
		assert_int_equal(pending.missing_n, 0);
		if (posts)
			next_post(&pending);
		packet_pending_fini(&pending);
	}
}

/* Feeds the two attachments of what is pending; the packet that comes of it is of "/", to be
 * acknowledged by 12, and too large. */
static void expect_dropped(struct packet_pending *pending, struct slice first)
{
	struct packet p;
	const char *why;

	assert_int_equal(packet_feed_binary(pending, first, &p, &why), PACKET_MORE);
	assert_in_range(pending->kept.len, 1, PACKET_PENDING_MAX);
	next_post(pending);
	assert_int_equal(packet_feed_binary(pending, slice_of("xx"), &p, &why), PACKET_WHOLE);
	assert_string_equal(p.beyond, "a packet with attachments is too large");
	assert_text(p.nsp, "/");
	assert_true(p.has_id);
	assert_int_equal(p.id, 12);
	assert_int_equal(p.attachments_n, 2);
	packet_fini(&p);
	assert_int_equal(packet_feed_text(pending, slice_of("2[\"a\"]"), &p, &why), PACKET_WHOLE);
	packet_fini(&p);
	packet_pending_fini(pending);
}

/* What is kept is bounded: the text, each attachment, and all together. Past it the packet is no
 * good, and what comes after it is. */
static void kept_size(void **state)
{
	const char head[] = "52-12[\"a\"," PLACE(0) "," PLACE(1) ",\"";
	struct packet_pending pending = {0};
	struct str text = STR_INIT, data = STR_INIT;
	struct packet p;
	const char *why;

	str_adds(&text, head);
	while (text.len < PACKET_PENDING_MAX)
		str_addc(&text, 'x');
	str_adds(&text, "\"]");
	assert_int_equal(packet_feed_text(&pending, (struct slice){text.p, text.len}, &p, &why),
		PACKET_MORE);
	expect_dropped(&pending, slice_of("y"));

	text.len = 1000;
	str_adds(&text, "\"]");
	while (data.len < PACKET_PENDING_MAX - text.len - 2 * 4 + 1)
		str_addc(&data, 'y');
	assert_int_equal(packet_feed_text(&pending, (struct slice){text.p, text.len}, &p, &why),
		PACKET_MORE);
	expect_dropped(&pending, (struct slice){data.p, data.len});
	assert_int_equal(packet_feed_text(&pending, (struct slice){text.p, text.len}, &p, &why),
		PACKET_MORE);
	data.len--;
	assert_int_equal(packet_feed_binary(&pending, (struct slice){data.p, data.len}, &p, &why),
		PACKET_MORE);
	next_post(&pending);
	assert_int_equal(pending.kept.len, PACKET_PENDING_MAX);
	assert_int_equal(packet_feed_binary(&pending, slice_of(""), &p, &why), PACKET_WHOLE);
	assert_string_equal(p.beyond, "a packet with attachments is too large");
	packet_fini(&p);
	packet_pending_fini(&pending);
	str_fini(&text);
	str_fini(&data);
}

static void load_refused(void **state)
{
	struct packet_pending pending;
	struct str s = STR_INIT;
	const char *why;

	bytes_put_blob(&s, "51-[\"a\"," PLACE(0) "]", strlen("51-[\"a\"," PLACE(0) "]"));
	for (size_t len = 1; len < s.len; len++) {
		char *exact = unit_exact(s.p, len);
		assert_false(packet_pending_load(&pending, (struct slice){exact, len}, &why));
		assert_string_equal(why, "what was kept of a packet is cut short");
		free(exact);
	}
	assert_true(packet_pending_load(&pending, (struct slice){s.p, s.len}, &why));
	packet_pending_fini(&pending);
	bytes_put_blob(&s, "x", 1);
	assert_false(packet_pending_load(&pending, (struct slice){s.p, s.len}, &why));
	assert_string_equal(why, "what was kept of a packet lacks no attachment");
	str_clear(&s);
	bytes_put_blob(&s, "2[\"a\"]", 6);
	assert_false(packet_pending_load(&pending, (struct slice){s.p, s.len}, &why));
	str_clear(&s);
	bytes_put_blob(&s, "51-[" PLACE(1) "]", strlen("51-[" PLACE(1) "]"));
	assert_false(packet_pending_load(&pending, (struct slice){s.p, s.len}, &why));
	assert_string_equal(why, "an event does not begin with its name");
	while (s.len <= PACKET_PENDING_MAX)
		str_addc(&s, 0);
	assert_false(packet_pending_load(&pending, (struct slice){s.p, s.len}, &why));
	assert_string_equal(why, "what was kept of a packet is too large");
	assert_null(pending.kept.p);
	str_fini(&s);
}

static bool check(const struct str *s)
{
	char *exact = unit_exact(str_c(s), s->len);
	bool is_accepted = fuzz_packet((const uint8_t *)exact, s->len);

	free(exact);
	return is_accepted;
}

/* Payloads with what a packet needs: as many binary messages as it announces. */
static void put_payload(struct str *s)
{
	size_t i = mutate_any(ARRAY_N(good_ones));

	if (s->len)
		str_addc(s, '\x1e');
	str_addc(s, '4');
	str_adds(s, good_ones[i].text);
	for (unsigned n = good_ones[i].attachments_n; n; n--)
		str_adds(s, n % 2 ? "\x1e"
				    "bAQID"
				  : "\x1e"
				    "b");
}

static void mutations(void **state)
{
	static const char *const words[] = {"\x1e", "4", "b", "bAQID", "[", "]", "{", "}", ",",
		"\"", "\\", "/", "/x,", "?", "0", "9", "-", "9007199254740992", PLACE(0), PLACE(1),
		"\"num\"", "true", "null", "\"connect\",", " ", "\\u0000", "\xff"};
	int accepted_n = 0;

	for (int i = 0; i < ROUNDS; i++) {
		struct str s = STR_INIT;
		for (uint32_t n = mutate_any(3) + 1; n; n--)
			put_payload(&s);
		for (uint32_t n = mutate_any(4); n; n--)
			mutate(&s, words, ARRAY_N(words));
		accepted_n += check(&s);
		str_clear(&s);
		str_adds(&s, mutate_any(2) ? "42[\"" : "4");
		mutate_random(&s, 30);
		check(&s);
		str_fini(&s);
	}
	/* the mutations are neither all harmless nor all deadly */
	assert_in_range(accepted_n, ROUNDS / 10, ROUNDS * 9 / 10);
}

/* Every beginning of every good payload. */
static void truncations(void **state)
{
	for (size_t i = 0; i < ARRAY_N(good_ones); i++) {
		struct str s = STR_INIT;

		str_addc(&s, '4');
		str_adds(&s, good_ones[i].text);
		for (unsigned n = good_ones[i].attachments_n; n; n--)
			str_adds(&s, "\x1e"
				     "bAQID");
		assert_true(check(&s));
		while (s.len--)
			check(&s);
		s.len = 0;
		str_fini(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),
		cmocka_unit_test(bad),
		cmocka_unit_test(beyond),
		cmocka_unit_test(deep),
		cmocka_unit_test(long_namespace),
		cmocka_unit_test(put),
		cmocka_unit_test(echo),
		cmocka_unit_test(assembly),
		cmocka_unit_test(kept_size),
		cmocka_unit_test(load_refused),
		cmocka_unit_test(mutations),
		cmocka_unit_test(truncations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
