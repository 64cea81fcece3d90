#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mem.h"
#include "record.h"
#include "sink.h"

#define BIG (3u * 1024 * 1024 + 17)

static void headers_are_as_the_specification_draws_them(void **state)
{
	static const unsigned char want[] = {1, 6, 0x12, 0x34, 0xab, 0xcd, 0, 0};
	static const unsigned char end[] = {
		1, 6, 0, 1, 0, 0, 0, 0, 1, 3, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	unsigned char h[RECORD_HEADER_SIZE], e[RECORD_END_SIZE];

	record_header(h, RECORD_STDOUT, 0x1234, 0xabcd);
	assert_memory_equal(h, want, sizeof(want));
	record_end(e, 1);
	assert_memory_equal(e, end, sizeof(end));
}

/* A sink and the web server's end of its connection. */
struct pair {
	struct sink sink;
	int peer;
	struct str got;
};

static void pair_open(struct pair *p, bool is_cgi)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	for (int i = 0; i < 2; i++)
		fcntl(fds[i], F_SETFL, O_NONBLOCK);
	sink_init(&p->sink, fds[0], 7, is_cgi);
	p->peer = fds[1];
	p->got = (struct str)STR_INIT;
}

/* Writes and reads in turn until the sink has nothing left and the connection is empty. */
static void pump(struct pair *p, enum sink_state state)
{
	char buf[65536];
	ssize_t n;

	for (;;) {
		bool is_any = false;

		while ((n = read(p->peer, buf, sizeof(buf))) > 0) {
			str_add(&p->got, buf, (size_t)n);
			is_any = true;
		}
		if (state == SINK_CLEAR && !is_any)
			return;
		assert_int_not_equal(state, SINK_GONE);
		state = sink_flush(&p->sink);
	}
}

static void pair_close(struct pair *p)
{
	sink_close(&p->sink);
	close(p->peer);
	str_fini(&p->got);
}

/* Takes the records apart: what STDOUT carried, and how often the stream and the request ended. */
static void unframe(const struct str *in, struct str *out, int *stream_ends, int *request_ends)
{
	size_t at = 0;

	*stream_ends = *request_ends = 0;
	while (at < in->len) {
		const unsigned char *h = (const unsigned char *)in->p + at;
		size_t len;

		assert_true(in->len - at >= RECORD_HEADER_SIZE);
		len = (size_t)h[4] << 8 | h[5];
		assert_int_equal(h[0], 1);
		assert_int_equal(h[2] << 8 | h[3], 7);
		assert_int_equal(h[6], 0);
		at += RECORD_HEADER_SIZE;
		assert_true(in->len - at >= len);
		assert_int_equal(*request_ends, 0); /* nothing follows END_REQUEST */
		if (h[1] == RECORD_STDOUT) {
			assert_int_equal(*stream_ends, 0);
			str_add(out, in->p + at, len);
			*stream_ends += len == 0;
		} else {
			assert_int_equal(h[1], RECORD_END_REQUEST);
			assert_int_equal(len, 8);
			(*request_ends)++;
		}
		at += len;
	}
}

static void answers_arrive_whole(void **state)
{
	static const size_t sizes[] = {0, 1, RECORD_CONTENT_MAX - 5, RECORD_CONTENT_MAX - 4,
		RECORD_CONTENT_MAX, RECORD_CONTENT_MAX + 1, 2 * RECORD_CONTENT_MAX, BIG};

	for (size_t i = 0; i < ARRAY_N(sizes) * 2; i++) {
		size_t size = sizes[i / 2];
		bool is_cgi = i % 2;
		char *bytes = xmalloc(size + 1);
		struct str head = STR_INIT, plain = STR_INIT;
		struct body *body;
		struct pair p;
		int stream_ends, request_ends;

		for (size_t k = 0; k < size; k++)
			bytes[k] = (char)(k * 2654435761u >> 24);
		body = body_new(bytes, size);
		str_adds(&head, "head:");
		pair_open(&p, is_cgi);
		pump(&p, sink_send(&p.sink, &head, body, true));
		if (is_cgi) {
			str_add(&plain, p.got.p, p.got.len);
		} else {
			unframe(&p.got, &plain, &stream_ends, &request_ends);
			assert_int_equal(stream_ends, 1);
			assert_int_equal(request_ends, 1);
		}
		assert_int_equal(plain.len, 5 + size);
		assert_memory_equal(plain.p, "head:", 5);
		assert_memory_equal(plain.p + 5, bytes, size);
		pair_close(&p);
		assert_int_equal(body->refs, 1);
		body_put(body);
		str_fini(&head);
		str_fini(&plain);
		free(bytes);
	}
}

static void one_body_serves_many_and_outlives_its_giver(void **state)
{
	struct evbuffer *from = evbuffer_new();
	struct pair a, b;
	struct str plain = STR_INIT;
	struct body *body;
	int ends, requests;

	for (size_t i = 0; i < BIG; i++)
		evbuffer_add(from, "xyz" + i % 3, 1);
	evbuffer_add(from, "rest", 4);
	body = body_take(from, BIG);
	assert_int_equal(evbuffer_get_length(from), 4);
	pair_open(&a, false);
	pair_open(&b, false);
	enum sink_state sa = sink_send(&a.sink, NULL, body, true),
			sb = sink_send(&b.sink, NULL, body, true);
	assert_int_equal(sa, SINK_FULL);
	body_put(body);
	pump(&a, sa);
	pair_close(&a);
	pump(&b, sb);
	unframe(&b.got, &plain, &ends, &requests);
	assert_int_equal(plain.len, BIG);
	pair_close(&b);
	str_fini(&plain);
	evbuffer_free(from);
}

static void pieces_of_a_stream_keep_their_order(void **state)
{
	struct body *big, *small = body_new("small", 5);
	char *bytes = xcalloc(1, BIG);
	struct str plain = STR_INIT;
	enum sink_state s;
	struct pair p;
	int ends, requests;

	big = body_new(bytes, BIG);
	pair_open(&p, false);
	assert_int_equal(sink_send(&p.sink, NULL, big, false), SINK_FULL);
	s = sink_send(&p.sink, NULL, small, true);
	assert_int_equal(s, SINK_FULL);
	pump(&p, s);
	unframe(&p.got, &plain, &ends, &requests);
	assert_int_equal(plain.len, BIG + 5);
	assert_memory_equal(plain.p + BIG, "small", 5);
	assert_int_equal(ends, 1);
	pair_close(&p);
	body_put(big);
	body_put(small);
	str_fini(&plain);
	free(bytes);
}

static void hang_ups_and_aborts_are_seen(void **state)
{
	unsigned char abort_it[RECORD_HEADER_SIZE], other[RECORD_HEADER_SIZE];
	struct pair p;

	record_header(abort_it, RECORD_ABORT_REQUEST, 7, 0);
	record_header(other, RECORD_STDOUT, 7, 0);
	pair_open(&p, false);
	assert_false(sink_is_abandoned(&p.sink)); /* nothing to read */
	assert_int_equal(write(p.peer, other, sizeof(other)), sizeof(other));
	assert_false(sink_is_abandoned(&p.sink));
	assert_int_equal(write(p.peer, abort_it, sizeof(abort_it)), sizeof(abort_it));
	assert_true(sink_is_abandoned(&p.sink));
	pair_close(&p);

	pair_open(&p, false);
	shutdown(p.peer, SHUT_WR);
	assert_true(sink_is_abandoned(&p.sink));
	pair_close(&p);
}

/* Apache's mod_cgid: input and output are one socket, whose input has ended with the body. */
static void the_end_of_input_is_no_hang_up_of_a_cgi_socket(void **state)
{
	struct pair p;

	pair_open(&p, true);
	assert_true(sink_is_looked_at(&p.sink));
	assert_false(sink_is_abandoned(&p.sink));
	shutdown(p.peer, SHUT_WR);
	assert_false(sink_is_abandoned(&p.sink));
	close(p.peer);
	assert_true(sink_is_abandoned(&p.sink));
	p.peer = -1;
	pair_close(&p);
}

static void a_whole_answer_ends_and_may_keep_its_connection(void **state)
{
	struct str head = STR_INIT;
	struct pair p;
	char *body = xmalloc(BIG);

	memset(body, 'x', BIG);
	str_adds(&head, "Status: 200 OK\r\n\r\n");
	pair_open(&p, false);
	p.sink.keeps = true;
	assert_false(p.sink.is_ended);
	pump(&p, sink_put(&p.sink, &head, body, BIG));
	assert_true(p.sink.is_ended && p.sink.keeps && !p.sink.out);
	assert_true(p.got.len > BIG);
	pair_close(&p);
	free(body);
	str_fini(&head);
}

static void writing_to_nobody_is_gone(void **state)
{
	struct body *body = body_new("x", 1);
	struct pair p;

	pair_open(&p, false);
	close(p.peer);
	assert_int_equal(sink_send(&p.sink, NULL, body, true), SINK_GONE);
	p.peer = -1;
	pair_close(&p);
	body_put(body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_are_as_the_specification_draws_them),
		cmocka_unit_test(answers_arrive_whole),
		cmocka_unit_test(one_body_serves_many_and_outlives_its_giver),
		cmocka_unit_test(pieces_of_a_stream_keep_their_order),
		cmocka_unit_test(hang_ups_and_aborts_are_seen),
		cmocka_unit_test(the_end_of_input_is_no_hang_up_of_a_cgi_socket),
		cmocka_unit_test(a_whole_answer_ends_and_may_keep_its_connection),
		cmocka_unit_test(writing_to_nobody_is_gone),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
