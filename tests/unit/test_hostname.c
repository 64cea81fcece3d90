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
	{"☃.example", NULL},          /* no letter */
	{"xn--n3h.example", NULL},    /* the same as an A-label */
	{"xn--zzzzzz.example", NULL}, /* no Punycode of anything allowed */
	{"xn--abc-.example", NULL},
	{"a\xe2\x80\x8d"
	 "b.example",
		NULL},        /* a joiner out of place */
	{"1א.example", NULL}, /* the Bidi rule */
	{LABEL_63 "3.example", NULL},
	{NAME_247 ".bbbbbb", NULL},
	{"*.shop.example", NULL},
	{"*", NULL},
};

/* Names in other scripts: IDNA2008 with all of its rules, in the one form that is stored. */
static const struct row idn_names[] = {
	/* the same name, written otherwise */
	{"рф.рф", "xn--p1ai.xn--p1ai"},
	{"РФ.xn--p1ai", "xn--p1ai.xn--p1ai"},
	{"xn--p1ai", "xn--p1ai"},
	{"ä.de", "xn--4ca.de"},
	{"a\xcc\x88.de", "xn--4ca.de"},
	{"Ä.DE.", "xn--4ca.de"},
	{"a．b", "a.b"},
	{"a｡b", "a.b"},
	{"ﬀ.com", "ff.com"},
	{"\xe2\x84\xaa.com", "k.com"}, /* the sign for kelvin */
	{"a\xc2\xad"
	 "b.com",
		"ab.com"}, /* a soft hyphen */
	{"ς.gr", "xn--3xa.gr"},
	{"Σ.gr", "xn--4xa.gr"},
	{"ß.de", "xn--zca.de"},
	{"xn--zca.de", "xn--zca.de"},
	{"İ.com", "xn--i-9bb.com"},
	{"ı.com", "xn--cfa.com"},
	{"ᚠ.com", "xn--3ve.com"},
	/* CONTEXTO, RFC 5892 appendix A.3 to A.9 */
	{"l·l.cat", "xn--ll-0ea.cat"},
	{"col·lecció.cat", "xn--collecci-ioa91d.cat"},
	{"a·b.com", NULL},
	{"a·l.com", NULL},
	{"l·.com", NULL},
	{"·l.com", NULL},
	{"xn--ab-0ea.com", NULL},
	{"\xcd\xb5α.gr", "xn--wva4j.gr"}, /* keraia */
	{"α\xcd\xb5.gr", NULL},
	{"\xcd\xb5"
	 "a.gr",
		NULL},
	{"א׳.il", "xn--4db4e.il"}, /* geresh, gershayim */
	{"א״ב.il", "xn--4dbc8h.il"},
	{"׳א.il", NULL},
	{"a׳.il", NULL},
	{"״.il", NULL},
	{"ア・イ.jp", "xn--ccke4x.jp"},
	{"ア・b.jp", "xn--b-eeu1m.jp"},
	{"・.jp", NULL},
	{"a・b.com", NULL},
	{"ا٠١.eg", "xn--mgb8id.eg"}, /* digits of one kind */
	{"ا۰۱.ir", "xn--mgb61bd.ir"},
	{"ا٠۱.eg", NULL},
	/* CONTEXTJ, A.1 and A.2 */
	{"क्\xe2\x80\x8dष.in", "xn--11b2ezcw70k.in"},
	{"क\xe2\x80\x8dष.in", NULL},
	{"نامه\xe2\x80\x8cای.ir", "xn--mgba3gch31f060k.ir"},
	{"a\xe2\x80\x8c"
	 "b.com",
		NULL},
	{"xn--1ug.com", NULL},
	{"xn--0ug.com", NULL},
	/* the Bidi rule, RFC 5893 section 2, in a label and of all together */
	{"א1.example", "xn--1-zhc.example"},
	{"אa.example", NULL},
	{"a٠.com", NULL},
	{"٠.com", NULL},
	{"א1٢.example", NULL},      /* rule 4 */
	{"xn--1-zhc35b.com", NULL}, /* the same */
	{"ab.רק", "ab.xn--sebb"},
	{"a1.רק", "a1.xn--sebb"},
	{"3com.רק", NULL}, /* rule 1 for the other label */
	{"אב.1a", NULL},
	{"1a.xn--4dbc.com", NULL},
	{"۱۲.ir", "xn--embc.ir"},
	{"۱۲.אב", NULL},
	{"\xcb\x86"
	 "a.com",
		"xn--a-j7a.com"},
	{"\xcb\x86"
	 "a.אב",
		NULL},
	/* what no label has */
	{"\xcc\x88"
	 "a.com",
		NULL}, /* begins with a mark */
	{"😀.com", NULL},
	{"xn--ls8h.la", NULL},
	{"xn--53h.com", NULL},
	{"ﷺ.com", NULL},
	{"\xff.com", NULL},
	{"\xed\xa0\x80.com", NULL},
	/* Punycode that is none, or of what has another form */
	{"xn--a", NULL},
	{"xn--", NULL},
	{"xn--k-.com", NULL},
	{"xn--ss-.com", NULL},
	{"xn--bücher.de", NULL},
	{"xn--xn---epa.com", NULL},
	{"xn--a-ecp.ru", NULL},
	{"xn--0.pt", NULL},
	/* addresses to a browser: WHATWG URL, "ends in a number" */
	{"foo.0x10", NULL},
	{"foo.0X1F", NULL},
	{"foo.0x", NULL},
	{"foo.09", NULL},
	{"1.2.3.0x4", NULL},
	{"0x7f.1", NULL},
	{"127.1", NULL},
	{"2130706433", NULL},
	{"0x7f000001", NULL},
	{"foo.0x10.", NULL},
	{"foo.１", NULL},
	{"foo.①", NULL},
	{"foo.０x１０", NULL},
	{"¹.²", NULL},
	{"0x10.com", "0x10.com"},
	{"foo.0x1g", "foo.0x1g"},
	{"foo.x10", "foo.x10"},
	{"1.2.3.4.com", "1.2.3.4.com"},
	/* length, underscores */
	{"_dmarc.a.com", NULL},
	{"ab--cd.com", NULL},
	{"äääääääääääääääääääääääääääääääääääääääääääääääääääääääääää.com", NULL},
};

static const struct row wild_names[] = {
	{"shop.example", "shop.example"}, {"*.Shop.example.", "*.shop.example"},
	{"*.bücher.example", "*.xn--bcher-kva.example"}, {"*", NULL}, {"*.", NULL},
	{"*.*.example", NULL}, {"shop.*.example", NULL}, {"*shop.example", NULL},
	{"**.example", NULL}, {"＊.example", NULL}, {"*.a·b.com", NULL},
	{"*.l·l.cat", "*.xn--ll-0ea.cat"}, {"*.0x10", NULL}, {"*.42", NULL}, {"*.3com.רק", NULL},
	{"*.com", "*.com"}, {"*." NAME_247 ".bbbb", NULL}, /* 254 with the wildcard */
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
	for (size_t i = 0; i < ARRAY_N(idn_names); i++)
		check(hostname_normalize(idn_names[i].text, false, out), out, &idn_names[i]);
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
