/* Host names, addresses and URLs: what is taken, in which form, and what is refused. */
#include "unit.h"

#include "hostname.h"

#define LABEL_61 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff0"
#define NAME_247 LABEL_61 "." LABEL_61 "." LABEL_61 "." LABEL_61
#define LABEL_63 LABEL_61 "12"

/* Without `good` it is to be refused. */
struct row {
	const char *text, *good;
};

static const struct row names[] = {
	{"shop.example", "shop.example"},
	{"Shop.EXAMPLE", "shop.example"},
	{"shop.example.", "shop.example"},
	{"localhost", "localhost"},
	{"a-b.1c.example", "a-b.1c.example"},
	{"3com.example", "3com.example"},
	{"bücher.example", "xn--bcher-kva.example"},
	{"BÜCHER.example", "xn--bcher-kva.example"},
	{"bu\xcc\x88"
	 "cher.example",
		"xn--bcher-kva.example"}, /* u and a combining diaeresis: NFC first */
	{"XN--BCHER-KVA.example", "xn--bcher-kva.example"},
	{"faß.example", "xn--fa-hia.example"}, /* IDNA2008, not fass */
	{"例え。テスト", "xn--r8jz45g.xn--zckzah"},
	{"ｅxample.test", "example.test"},
	{LABEL_63 ".example", LABEL_63 ".example"},
	{NAME_247 ".bbbbb", NAME_247 ".bbbbb"},
	{NAME_247 ".bbbbb.", NAME_247 ".bbbbb"},
	{"", NULL},
	{".", NULL},
	{".shop.example", NULL},
	{"shop..example", NULL},
	{"shop.example..", NULL},
	{"-shop.example", NULL},
	{"shop-.example", NULL},
	{"sh--op.example", NULL},
	{"under_score.example", NULL},
	{"two words.example", NULL},
	{"tab\t.example", NULL},
	{"shop.example/", NULL},
	{"shop.example:80", NULL},
	{"http://shop.example", NULL},
	{"192.0.2.1", NULL},
	{"shop.42", NULL},
	{"☃.example", NULL},	    /* no letter */
	{"xn--n3h.example", NULL},  /* the same as an A-label */
	{"xn--zzzzzz.example", NULL}, /* no Punycode of anything allowed */
	{"xn--abc-.example", NULL},
	{"a\xe2\x80\x8d"
	 "b.example",
		NULL}, /* a joiner out of place */
	{"1א.example", NULL}, /* the Bidi rule */
	{LABEL_63 "3.example", NULL},
	{NAME_247 ".bbbbbb", NULL},
	{"*.shop.example", NULL},
	{"*", NULL},
};

static const struct row wild_names[] = {
	{"shop.example", "shop.example"},
	{"*.Shop.example.", "*.shop.example"},
	{"*.bücher.example", "*.xn--bcher-kva.example"},
	{"*", NULL},
	{"*.", NULL},
	{"*.*.example", NULL},
	{"shop.*.example", NULL},
	{"*shop.example", NULL},
	{"**.example", NULL},
	{"＊.example", NULL},
	{"*." NAME_247 ".bbbb", NULL}, /* 254 with the wildcard */
};

static const struct row addresses[] = {
	{"192.0.2.1", "192.0.2.1"},
	{"2001:DB8:0:0::1", "2001:db8::1"},
	{"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
	{"Origin.example", "origin.example"},
	{"192.0.2", NULL},
	{"192.0.2.256", NULL},
	{"192.0.2.01", NULL},
	{"2001:db8::1%eth0", NULL},
	{"[2001:db8::1]", NULL},
	{"2001:db8:::1", NULL},
	{"origin.example:80", NULL},
	{"*.example", NULL},
	{"", NULL},
};

static const struct row urls[] = {
	{"https://shop.example", "https://shop.example"},
	{"HTTP://Shop.EXAMPLE:8080/A?b=C#d", "http://shop.example:8080/A?b=C#d"},
	{"https://bücher.example/x", "https://xn--bcher-kva.example/x"},
	{"https://192.0.2.1/", "https://192.0.2.1/"},
	{"https://[2001:DB8::1]:443/", "https://[2001:db8::1]:443/"},
	{"https://shop.example?x=%20y", "https://shop.example?x=%20y"},
	{"", NULL},
	{"shop.example", NULL},
	{"ftp://shop.example/", NULL},
	{"javascript:alert(1)", NULL},
	{"//shop.example/", NULL},
	{"https://", NULL},
	{"https:///path", NULL},
	{"https://user:pw@shop.example/", NULL},
	{"https://shop.example:0/", NULL},
	{"https://shop.example:65536/", NULL},
	{"https://shop.example:/", NULL},
	{"https://shop.example:8a/", NULL},
	{"https://[2001:db8::1/", NULL},
	{"https://[192.0.2.1]/", NULL},
	{"https://[]/", NULL},
	{"https://[2001:db8::1]x/", NULL},
	{"https://*.example/", NULL},
	{"https://shop.example/a b", NULL},
	{"https://shop.example/\r\nSet-Cookie: x", NULL},
	{"https://shop.example/<x>", NULL},
	{"https://shop.example/%2", NULL},
	{"https://shop.example/ü", NULL},
};

static void check(const char *why, const char *out, const struct row *r)
{
	if (r->good && (why || strcmp(out, r->good) != 0))
		fail_msg("\"%s\": %s, not %s", r->text, why ? why : out, r->good);
	if (!r->good && !why)
		fail_msg("\"%s\" was taken as %s", r->text, out);
}

static void takes_names(void **state)
{
	char out[HOSTNAME_SIZE];
	for (size_t i = 0; i < ARRAY_N(names); i++)
		check(hostname_normalize(names[i].text, false, out), out, &names[i]);
	for (size_t i = 0; i < ARRAY_N(wild_names); i++)
		check(hostname_normalize(wild_names[i].text, true, out), out, &wild_names[i]);
}

static void takes_addresses(void **state)
{
	char out[HOSTNAME_SIZE];
	for (size_t i = 0; i < ARRAY_N(addresses); i++)
		check(hostname_address(addresses[i].text, out), out, &addresses[i]);
	assert_non_null(hostname_ip("origin.example", out));
	assert_null(hostname_ip("2001:db8::1", out));
}

static void takes_urls(void **state)
{
	struct str out = STR_INIT;
	for (size_t i = 0; i < ARRAY_N(urls); i++) {
		const char *why = hostname_url(urls[i].text, &out);
		check(why, str_c(&out), &urls[i]);
	}
	str_fini(&out);
}

static void bounds_urls(void **state)
{
	struct str text = STR_INIT, out = STR_INIT;
	str_adds(&text, "https://shop.example/");
	while (text.len < HOSTNAME_URL_MAX)
		str_addc(&text, 'a');
	assert_null(hostname_url(text.p, &out));
	str_addc(&text, 'a');
	assert_non_null(hostname_url(text.p, &out));
	str_fini(&text);
	str_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_names),
		cmocka_unit_test(takes_addresses),
		cmocka_unit_test(takes_urls),
		cmocka_unit_test(bounds_urls),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
