/* Whom an address counts as. */
#include "net/source.h"

#include <arpa/inet.h>
#include <netinet/in.h>

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

static struct net_source source(const char *text)
{
    struct net_source s;

    assert_true(net_source_parse(text, &s));
    return s;
}

static void same(const char *a, const char *b)
{
    assert_true(source(a).bits == source(b).bits);
}

static void differ(const char *a, const char *b)
{
    assert_false(source(a).bits == source(b).bits);
}

static void a_slash_64_is_one_source_and_an_ipv4_address_too(void **state UNUSED)
{
    same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9");
    differ("2001:db8:1:2::1", "2001:db8:1:3::1");
    differ("192.0.2.1", "192.0.2.2");
    same("::ffff:192.0.2.1", "192.0.2.1");
    same("::1", "::2");
    differ("::1", "0.0.0.0");
    assert_true(source("::1").bits != 0);
    assert_true(source("0.0.0.0").bits != 0);
}

static void sockets_say_the_same_as_text(void **state UNUSED)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr = { htonl(0xC0000201) } };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
    struct sockaddr unix_peer = { .sa_family = AF_UNIX };

    assert_int_equal(inet_pton(AF_INET6, "2001:db8:1:2::1", &v6.sin6_addr), 1);
    assert_true(net_source_of((const struct sockaddr *)&v4).bits == source("192.0.2.1").bits);
    assert_true(net_source_of((const struct sockaddr *)&v6).bits == source("2001:db8:1:2::1").bits);
    assert_true(net_source_of(&unix_peer).bits == 0);
}

static void what_is_printed_can_be_read_again(void **state UNUSED)
{
    static const char *const texts[][2] = {
        { "192.0.2.1", "192.0.2.1" },
        { "2001:db8:1:2::7", "2001:db8:1:2::/64" },
        { "::1", "::/64" },
        { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff::/64" },
    };
    char out[NET_SOURCE_TEXT];

    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct net_prefix p;

        net_source_format(source(texts[i][0]), out);
        assert_string_equal(out, texts[i][1]);
        assert_true(net_prefix_parse(out, &p));
        assert_true(net_prefix_holds(p, source(texts[i][0])));
    }
    net_source_format((struct net_source){ 0 }, out);
    assert_string_equal(out, "-");
}

static bool holds(const char *prefix, const char *address)
{
    struct net_prefix p;

    assert_true(net_prefix_parse(prefix, &p));
    return net_prefix_holds(p, source(address));
}

static void a_prefix_holds_what_begins_with_it(void **state UNUSED)
{
    struct net_prefix all = { 0, 0 };

    assert_true(holds("127.0.0.0/8", "127.9.8.7"));
    assert_false(holds("127.0.0.0/8", "128.0.0.1"));
    assert_true(holds("192.0.2.128/25", "192.0.2.200"));
    assert_false(holds("192.0.2.128/25", "192.0.2.100"));
    assert_true(holds("0.0.0.0/0", "203.0.113.9"));
    assert_false(holds("0.0.0.0/0", "2001:db8::1"));
    assert_true(holds("2001:db8::/32", "2001:db8:ffff::1"));
    assert_false(holds("2001:db8::/32", "2001:db9::1"));
    assert_true(holds("::1", "::1"));
    assert_true(holds("::/0", "2001:db8::1"));
    assert_false(net_prefix_holds(all, (struct net_source){ 0 }));
}

static void what_is_no_address_is_none(void **state UNUSED)
{
    static const char *const wrong[] = {
        "",       "localhost",   "192.0.2",      "192.0.2.1/33", "192.0.2.1/",
        "::1/65", "192.0.2.1/x", "192.0.2.1/ 8", "192.0.2.1/-1", "/8",
        "[::1]",  "::1%lo",      "192.0.2.1:80", "192.0.2.1/8 ", "192.0.2.1/99999999999999999999"
    };
    struct net_prefix p;
    struct net_source s;

    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_false(net_prefix_parse(wrong[i], &p));
    assert_false(net_source_parse("192.0.2.0/24", &s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slash_64_is_one_source_and_an_ipv4_address_too),
        cmocka_unit_test(sockets_say_the_same_as_text),
        cmocka_unit_test(what_is_printed_can_be_read_again),
        cmocka_unit_test(a_prefix_holds_what_begins_with_it),
        cmocka_unit_test(what_is_no_address_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
