/* Entries of `bridges:`. */
#include "bridge/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct all {
    struct config_records bridges;
};

static const struct config_setting rows[] = {
    { "bridges", CONFIG_RECORDS, AT(struct all, bridges), .record = &bridge_config_table, .help = "Bridges." },
    { NULL },
};

static enum status check(const void *settings, struct buf *problem)
{
    size_t before = problem->len;

    bridge_config_check(&((const struct all *)settings)->bridges, problem);
    return problem->len == before ? ST_OK : ST_MALFORMED;
}

static const struct config_table table = { "test", rows, sizeof(struct all), check };

#define MINIMUM "name: hub, addresses: [hub.example], topics: [{filter: 'a/#'}]"
#define PLAIN   "name: hub, tls: no, addresses: ['127.0.0.1'], topics: [{filter: 'a/#'}]"

static enum status parse(const char *entries, struct all *out, struct buf *problem)
{
    CLEANUP(buf_done)
    struct buf yaml = { .max = 4096 };

    put_fmt(&yaml, "bridges: [%s]\n", entries);
    return config_parse(&table, buf_span(&yaml), NULL, out, problem);
}

static void assert_refused(const char *entries, const char *want)
{
    CLEANUP(buf_done)
    struct buf problem = { .max = 4096 };
    struct all all;

    assert_int_equal(parse(entries, &all, &problem), ST_MALFORMED);
    put_u8(&problem, '\0');
    if (strstr((const char *)problem.p, want) == NULL)
        fail_msg("\"%s\" is not in: %s", want, (const char *)problem.p);
}

static void a_minimal_entry_has_these_defaults(void **state UNUSED)
{
    struct all all;
    CLEANUP(buf_done)
    struct buf state_topic = { .max = 256 };

    assert_int_equal(parse("{" MINIMUM "}", &all, NULL), ST_OK);
    const struct bridge_config *c = bridge_config_at(&all.bridges, 0);
    const struct bridge_topic_config *t = c->topics.items;
    assert_true(c->tls && c->notifications);
    assert_int_equal(c->version, BRIDGE_V5);
    assert_int_equal(c->keep_alive_s, 60);
    assert_int_equal(c->reconnect_min_ms, 500);
    assert_int_equal(c->reconnect_max_ms, 60000);
    assert_int_equal(t->direction, RULE_OUT);
    assert_int_equal(t->qos, 2);
    bridge_state_topic(c, &state_topic);
    assert_string_equal((const char *)state_topic.p, "$SYS/broker/connection/hub/state");
    config_done(&table, &all);
}

static void what_does_not_go_together_is_named(void **state UNUSED)
{
    assert_refused("{" PLAIN ", ca: ca.pem}", "need TLS");
    assert_refused("{" PLAIN ", as: 'https://as'}", "need TLS");
    assert_refused("{" MINIMUM ", certificate: c.pem}", "needs `key`");
    assert_refused("{" MINIMUM ", password_file: p}", "needs `user_name`");
    assert_refused("{" MINIMUM ", as: 'https://as'}", "needs `as_client_id`");
    assert_refused("{" MINIMUM ", audience: a}", "need `as`");
    assert_refused("{" MINIMUM ", as: 'https://as', as_client_id: c, pop_key: k, user_name: u}", "MT-50");
    assert_refused("{" MINIMUM ", pin: 'ab:cd'}", "32 bytes");
    assert_refused("{" MINIMUM ", bridge_bit: yes}", "of version 3.1.1");
    assert_refused("{" MINIMUM ", reconnect_min: 10s, reconnect_max: 1s}", "longer than");
    assert_refused("{" MINIMUM ", notification_topic: 'a/#'}", "notification_topic");
    assert_refused("{name: hub, tls: no, addresses: ['hub.example'], topics: [{filter: a}]}",
                   "only this machine");
    assert_refused("{name: hub, tls: no, addresses: ['127.hub.example:1883'], topics: [{filter: a}]}",
                   "only this machine");
    assert_refused("{name: hub, addresses: [hub.example], topics: []}", "at least 1");
    assert_refused("{name: '$hub', addresses: [h], topics: [{filter: a}]}", "letters");
    assert_refused("{" MINIMUM "}, {" PLAIN "}", "bridges[2]: another one is called hub already");
    assert_refused("{" MINIMUM "}, {name: b, addresses: [h], topics: [{filter: 'a#'}]}",
                   "bridges[2]: topics[1]");
}

static void assert_address(const char *text, const char *want_host, int want_port)
{
    CLEANUP(buf_done)
    struct buf host = { .max = 256 };
    uint16_t port;
    enum status st = bridge_address(text, &host, &port);

    assert_int_equal(st, want_host == NULL ? ST_MALFORMED : ST_OK);
    if (want_host == NULL)
        return;
    assert_string_equal((const char *)host.p, want_host);
    assert_int_equal(port, want_port);
}

static void addresses_are_host_and_port(void **state UNUSED)
{
    assert_address("hub.example", "hub.example", 0);
    assert_address("hub.example:1883", "hub.example", 1883);
    assert_address("[::1]:8883", "::1", 8883);
    assert_address("[::1]", "::1", 0);
    assert_address("127.0.0.1:65535", "127.0.0.1", 65535);
    assert_address("hub:65536", NULL, 0);
    assert_address("hub:0", NULL, 0);
    assert_address("hub:", NULL, 0);
    assert_address("hub:1x", NULL, 0);
    assert_address(":1883", NULL, 0);
    assert_address("[::1", NULL, 0);
    assert_address("[::1]8883", NULL, 0);
    assert_address("::1", NULL, 0);
    assert_address("", NULL, 0);
}

static void a_pin_is_hexadecimal(void **state UNUSED)
{
    struct bridge_config c = { .pin = "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:"
                                      "00112233445566778899AABBCCDDEEFF" };
    CLEANUP(buf_done)
    struct buf pin = { .max = 32 };

    assert_int_equal(bridge_pin(&c, &pin), ST_OK);
    assert_int_equal(pin.len, 32);
    assert_int_equal(pin.p[15], 0xff);
    assert_int_equal(pin.p[17], 0x11);
    buf_reset(&pin);
    c.pin = "0:0";
    assert_int_equal(bridge_pin(&c, &pin), ST_MALFORMED);
}

static void nodes_have_no_comma(void **state UNUSED)
{
    assert_true(bridge_node_ok("site-7_a"));
    assert_false(bridge_node_ok("a,b"));
    assert_false(bridge_node_ok("+a"));
    assert_false(bridge_node_ok(""));
    assert_false(bridge_node_ok("abcdefghijklmnopqrstu"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_minimal_entry_has_these_defaults),
        cmocka_unit_test(what_does_not_go_together_is_named),
        cmocka_unit_test(addresses_are_host_and_port),
        cmocka_unit_test(a_pin_is_hexadecimal),
        cmocka_unit_test(nodes_have_no_comma),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
