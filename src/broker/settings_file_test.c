/* What the settings of the broker accept, refuse, and mean for the core. */
#include "broker/settings_file.h"

#include "scope/scope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#define ONLY_LISTENER "listeners: [{certificate: c.pem, key: k.pem}]\n"
#define TLS_LISTENER  ONLY_LISTENER "state_dir: state\n"
#define SOME_AS                                                                               \
    "authorization_servers: [{issuer: \"https://as\", token_endpoint: \"https://as/token\", " \
    "jwks_uri: \"https://as/jwks.json\"}]\naudiences: [rs, other]\n"

static enum status load(const char *yaml, struct broker_config *out, struct buf *problem)
{
    buf_init(problem, CONFIG_PROBLEM_MAX);
    return config_parse(&broker_config_table, span_of_str(yaml), "/etc/symbolon/broker.yaml", out, problem);
}

static void accept_settings(const char *yaml, struct broker_config *out)
{
    struct buf problem;
    enum status st = load(yaml, out, &problem);
    if (st != ST_OK)
        fail_msg("%.*s", SPAN_FMT(buf_span(&problem)));
    buf_done(&problem);
}

static void refuse_settings(const char *yaml, const char *reason)
{
    struct broker_config config;
    struct buf problem;
    assert_int_not_equal(load(yaml, &config, &problem), ST_OK);
    put_u8(&problem, 0);
    if (strstr((const char *)problem.p, reason) == NULL)
        fail_msg("expected \"%s\" in: %s", reason, problem.p);
    buf_done(&problem);
}

static void the_defaults_of_the_file_are_those_of_the_core(void **state)
{
    struct broker_config config;
    struct shard_settings from_file, own;
    struct scope *public = NULL;
    (void)state;
    accept_settings(TLS_LISTENER, &config);
    assert_int_equal(broker_config_shard_settings(&config, 1, &from_file, &public, NULL), ST_OK);
    shard_settings_init(&own);
    own.send_hints = false; /* nothing to hint at without an authorization server */
    assert_null(public);
    assert_int_equal(from_file.durability, own.durability);
    assert_int_equal(from_file.max_connections, own.max_connections);
    assert_int_equal(from_file.max_sessions, own.max_sessions);
    assert_int_equal(from_file.connect_timeout_ms, own.connect_timeout_ms);
    assert_int_equal(from_file.auth_timeout_ms, own.auth_timeout_ms);
    assert_int_equal(from_file.max_keep_alive_s, own.max_keep_alive_s);
    assert_int_equal(from_file.session_continuation, own.session_continuation);
    assert_int_equal(from_file.resume_whole, own.resume_whole);
    assert_int_equal(from_file.max_session_expiry_s, own.max_session_expiry_s);
    assert_int_equal(from_file.max_guest_expiry_s, own.max_guest_expiry_s);
    assert_int_equal(from_file.max_v3_expiry_s, own.max_v3_expiry_s);
    assert_int_equal(from_file.accept_v3, own.accept_v3);
    assert_int_equal(from_file.v5_user_name, own.v5_user_name);
    assert_int_equal(from_file.max_connect_bytes, own.max_connect_bytes);
    assert_int_equal(from_file.max_packet_bytes, own.max_packet_bytes);
    assert_int_equal(from_file.receive_maximum, own.receive_maximum);
    assert_int_equal(from_file.topic_alias_maximum, own.topic_alias_maximum);
    assert_int_equal(from_file.topic_aliases_out, own.topic_aliases_out);
    assert_int_equal(from_file.maximum_qos, own.maximum_qos);
    assert_int_equal(from_file.retain_available, own.retain_available);
    assert_int_equal(from_file.wildcard_subscriptions, own.wildcard_subscriptions);
    assert_int_equal(from_file.subscription_identifiers, own.subscription_identifiers);
    assert_int_equal(from_file.shared_subscriptions, own.shared_subscriptions);
    assert_int_equal(from_file.refuse_v3_keep_alive, own.refuse_v3_keep_alive);
    assert_int_equal(from_file.sys_interval_s, own.sys_interval_s);
    assert_int_equal(from_file.response_prefix.len, own.response_prefix.len);
    assert_int_equal(from_file.server_reference.len, own.server_reference.len);
    assert_int_equal(from_file.max_inflight, own.max_inflight);
    assert_int_equal(from_file.max_queue_messages, own.max_queue_messages);
    assert_int_equal(from_file.max_queue_bytes, own.max_queue_bytes);
    assert_int_equal(from_file.max_retained_backlog, own.max_retained_backlog);
    assert_int_equal(from_file.max_subscriptions, own.max_subscriptions);
    assert_int_equal(from_file.max_subscription_bytes, own.max_subscription_bytes);
    assert_int_equal(from_file.packet_timeout_ms, own.packet_timeout_ms);
    assert_int_equal(from_file.max_subscribe_filters, own.max_subscribe_filters);
    assert_int_equal(from_file.max_topic_levels, own.max_topic_levels);
    assert_int_equal(from_file.max_output_bytes, own.max_output_bytes);
    assert_int_equal(from_file.max_retained_messages, own.max_retained_messages);
    assert_int_equal(from_file.keep_retained, own.keep_retained);
    assert_int_equal(from_file.max_retained_bytes, own.max_retained_bytes);
    assert_int_equal(from_file.send_hints, own.send_hints);
    assert_int_equal(from_file.check_client_id_owner, own.check_client_id_owner);
    assert_int_equal(from_file.hide_topics, own.hide_topics);
    config_done(&broker_config_table, &config);
}

static void totals_are_shared_out_among_the_workers_or_counted_over_them(void **state)
{
    struct broker_config config;
    struct shard_settings settings;
    struct scope *public = NULL;
    (void)state;
    accept_settings(
        TLS_LISTENER
        "limits: {connections: 10, packet: 2k}\nauthz_info: {max_visitors: 10}\nretained: {max_bytes: 4m}\n",
        &config);
    assert_int_equal(broker_config_shard_settings(&config, 4, &settings, &public, NULL), ST_OK);
    assert_int_equal(settings.max_connections, 10); /* counted over all of them */
    assert_int_equal(settings.max_retained_bytes, 4 * 1024 * 1024);
    assert_int_equal(settings.max_visitors, 3);
    assert_int_equal(settings.max_packet_bytes, 2048); /* not a total */
    config_done(&broker_config_table, &config);
}

static void policies_of_sessions_retained_messages_and_3_1_1_reach_the_core(void **state)
{ /* MT-55, MT-77, MT-78, MT-111, MT-120 */
    struct broker_config config;
    struct shard_settings settings;
    struct scope *public = NULL;
    (void)state;
    accept_settings(TLS_LISTENER "mqtt_3_1_1: false\n"
                                 "ace: {v5_user_name: true, check_client_id_owner: false}\n"
                                 "session: {continuation: false, lost_subscriptions: new, max_expiry: 2h,"
                                 " v3_max_expiry: 1h, guest_max_expiry: 1m}\n"
                                 "retained: {keep_after_token: true}\n",
                    &config);
    assert_int_equal(broker_config_shard_settings(&config, 1, &settings, &public, NULL), ST_OK);
    assert_false(settings.accept_v3);
    assert_true(settings.v5_user_name);
    assert_false(settings.check_client_id_owner);
    assert_false(settings.session_continuation);
    assert_true(settings.resume_whole);
    assert_int_equal(settings.max_session_expiry_s, 7200);
    assert_int_equal(settings.max_v3_expiry_s, 3600);
    assert_int_equal(settings.max_guest_expiry_s, 60);
    assert_true(settings.keep_retained);
    config_done(&broker_config_table, &config);
}

static void the_first_authorization_server_and_audience_are_hinted_at(void **state) /* MT-91 */
{
    struct broker_config config;
    struct shard_settings settings;
    struct scope *public = NULL;
    (void)state;
    accept_settings(TLS_LISTENER SOME_AS, &config);
    assert_int_equal(broker_config_shard_settings(&config, 1, &settings, &public, NULL), ST_OK);
    assert_true(settings.send_hints);
    assert_true(span_eq_str(settings.hint_as, "https://as/token"));
    assert_true(span_eq_str(settings.hint_audience, "rs"));
    config_done(&broker_config_table, &config);
}

static void public_topics_become_a_scope(void **state) /* MT-21 */
{
    struct broker_config config;
    struct shard_settings settings;
    struct scope *public = NULL;
    (void)state;
    accept_settings(TLS_LISTENER
                    "public_topics: [{filter: \"news/#\"}, {filter: box, publish: true, subscribe: "
                    "false}]\n",
                    &config);
    assert_int_equal(broker_config_shard_settings(&config, 1, &settings, &public, NULL), ST_OK);
    assert_ptr_equal(settings.public_scope, public);
    assert_true(scope_may_subscribe(public, (struct topic_filter){ SPAN("news/today") }));
    assert_false(scope_may_publish(public, (struct topic_name){ SPAN("news/today") }));
    assert_true(scope_may_publish(public, (struct topic_name){ SPAN("box") }));
    assert_false(scope_may_subscribe(public, (struct topic_filter){ SPAN("box") }));
    scope_unref(public);
    config_done(&broker_config_table, &config);

    refuse_settings(TLS_LISTENER "public_topics: [{filter: a}, {filter: \"a#\"}]\n", "public_topics[2]: a#: ");
    refuse_settings(TLS_LISTENER "public_topics: [{filter: $share/g/a}]\n", "public_topics[1]: $share/g/a: ");
}

static void listeners_that_would_be_unsafe_are_refused(void **state)
{
    (void)state;
    refuse_settings("workers: 1\n", "listeners");
    refuse_settings("listeners: [{port: 1883}]\n", "TLS needs `certificate` and `key`");
    refuse_settings("listeners: [{tls: false, address: 0.0.0.0}]\n", "only a loopback address");
    refuse_settings("listeners: [{tls: false, address: \"::\"}]\n", "only a loopback address");
    refuse_settings("listeners: [{certificate: c, key: k, client_certificate: required}]\n",
                    "listeners[1]: `client_certificate` needs `client_ca`");
    refuse_settings("listeners: [{certificate: c, key: k, port: 65536}]\n", "65536");
}

static void authorization_servers_that_could_not_work_are_refused(void **state)
{
    (void)state;
    refuse_settings(TLS_LISTENER "authorization_servers: [{issuer: x}]\naudiences: [rs]\n",
                    "no token can be checked");
    refuse_settings(TLS_LISTENER "authorization_servers: [{issuer: x, jwks_file: f}]\n", "audiences");
    refuse_settings(TLS_LISTENER "authorization_servers: [{issuer: x, jwks_uri: \"http://as/jwks\"}]\n"
                                 "audiences: [rs]\n",
                    "must be https");
    refuse_settings(TLS_LISTENER "authorization_servers: [{issuer: x, introspection_uri: \"https://as/i\"}]\n"
                                 "audiences: [rs]\n",
                    "introspection and revocation need");
    refuse_settings(TLS_LISTENER
                    "authorization_servers: [{issuer: x, jwks_file: f, revocation_uri: \"https://as/t\"}]\n"
                    "audiences: [rs]\n",
                    "introspection and revocation need");
    refuse_settings(TLS_LISTENER "authorization_servers: [{issuer: x, jwks_file: f, client_id: b, "
                                 "client_secret_file: s, revocation_uri: \"http://as/t\"}]\naudiences: [rs]\n",
                    "must be https");
    refuse_settings(TLS_LISTENER "authorization_servers: [{issuer: x, jwks_file: f, jwks_pins: [abc]}]\n"
                                 "audiences: [rs]\n",
                    "jwks_pins[1]");
    refuse_settings(TLS_LISTENER "authorization_servers: [{issuer: x, jwks_file: f, pinned_pubkey: abc}]\n"
                                 "audiences: [rs]\n",
                    "sha256//");
    refuse_settings(TLS_LISTENER "revocation: { max_stale: 35s, wait: 30s }\n", "revocation.max_stale");
}

static void rules_for_claims_are_none_unless_one_is_set(void **state)
{
    struct broker_config c;
    const struct claim_rules *rules;

    (void)state;
    accept_settings(
        TLS_LISTENER
        "authorization_servers:\n"
        "  - { issuer: a, jwks_file: f }\n"
        "  - { issuer: b, jwks_file: f, audiences: [mqtt], scope_claim: /ext/mqtt, scope_form: emqx_acl,"
        " client_id_claim: azp, token_types: [plant+jwt] }\naudiences: [rs]\n",
        &c);
    assert_null(as_config_rules(as_config_at(&c, 0)));
    rules = as_config_rules(as_config_at(&c, 1));
    assert_non_null(rules);
    assert_string_equal(rules->scope, "/ext/mqtt");
    assert_int_equal(rules->scope_form, CLAIM_FORM_ACL);
    assert_string_equal(rules->client_id, "azp");
    assert_int_equal(rules->types.count, 1);
    assert_false(rules->audience_optional);
    assert_int_equal(as_config_at(&c, 1)->audiences.count, 1);
    config_done(&broker_config_table, &c);
}

static void what_is_acknowledged_is_kept_unless_the_settings_say_otherwise(void **state)
{ /* design 3.3 */
    struct broker_config c;

    (void)state;
    accept_settings(TLS_LISTENER, &c);
    assert_int_equal(c.durability, DURABILITY_COMMIT);
    assert_string_equal(c.state_dir, "/etc/symbolon/state");
    config_done(&broker_config_table, &c);
    accept_settings(TLS_LISTENER "durability: interval\nstore: {interval: 200ms, max_bytes: 1g}\n", &c);
    assert_int_equal(c.durability, DURABILITY_INTERVAL);
    assert_int_equal(c.store_interval_ms, 200);
    assert_int_equal(c.store_max_bytes, 1024 * 1024 * 1024);
    config_done(&broker_config_table, &c);
    accept_settings(ONLY_LISTENER "durability: none\n", &c);
    assert_int_equal(c.durability, DURABILITY_NONE);
    assert_null(c.state_dir);
    config_done(&broker_config_table, &c);
}

static void what_is_to_be_kept_needs_a_place_and_is_told_how_to_name_one(void **state)
{
    (void)state;
    refuse_settings(ONLY_LISTENER, "`state_dir: FOLDER`");
    refuse_settings(ONLY_LISTENER, "`durability: none`");
    refuse_settings(ONLY_LISTENER "durability: interval\n", "`state_dir: FOLDER`");
    refuse_settings(TLS_LISTENER "durability: fsync\n", "durability");
    refuse_settings(TLS_LISTENER "store: {interval: 1ms}\n", "interval");
    refuse_settings(TLS_LISTENER "store: {max_bytes: 1k}\n", "max_bytes");
}

static void what_is_offered_of_mqtt_reaches_the_core(void **state)
{ /* MQTT5 3.2.2.3 */
    struct broker_config config;
    struct shard_settings settings;
    struct scope *public = NULL;
    (void)state;
    accept_settings(TLS_LISTENER "maximum_qos: 1\nretain_available: false\nwildcard_subscriptions: false\n"
                                 "subscription_identifiers: false\nsys_interval: 1m\n"
                                 "response_topic_prefix: replies/${client_id}/\n"
                                 "server_reference: other.example:8883\n"
                                 "limits: {keep_alive_v3: refuse, topic_aliases_out: 7}\n",
                    &config);
    assert_int_equal(broker_config_shard_settings(&config, 4, &settings, &public, NULL), ST_OK);
    assert_int_equal(settings.maximum_qos, 1);
    assert_false(settings.retain_available);
    assert_false(settings.wildcard_subscriptions);
    assert_false(settings.subscription_identifiers);
    assert_int_equal(settings.sys_interval_s, 60);
    assert_true(span_eq_str(settings.response_prefix, "replies/${client_id}/"));
    assert_true(span_eq_str(settings.server_reference, "other.example:8883"));
    assert_true(settings.refuse_v3_keep_alive);
    assert_int_equal(settings.topic_aliases_out, 7);
    assert_non_null(strstr(settings.version, "version"));
    config_done(&broker_config_table, &config);
}

static void what_can_not_be_offered_is_refused(void **state)
{
    (void)state;
    refuse_settings(TLS_LISTENER "maximum_qos: 3\n", "maximum_qos");
    refuse_settings(TLS_LISTENER "retained: {max_messages: 0}\n",
                    "max_messages"); /* retain_available says that */
    refuse_settings(TLS_LISTENER "response_topic_prefix: replies/#\n", "response_topic_prefix");
    refuse_settings(TLS_LISTENER "response_topic_prefix: replies/+/\n", "response_topic_prefix");
    refuse_settings(TLS_LISTENER "response_topic_prefix: replies/${client_id}\n", "must end in /");
    refuse_settings(TLS_LISTENER "response_topic_prefix: \"\"\n", "response_topic_prefix");
    refuse_settings(TLS_LISTENER "response_topic_prefix: $SYS/${client_id}\n", "response_topic_prefix");
    refuse_settings(TLS_LISTENER "response_topic_prefix: replies/${clientid}/\n", "a $ only in ${client_id}");
    refuse_settings(TLS_LISTENER "server_reference: \"\"\n", "server_reference");
    refuse_settings(TLS_LISTENER "limits: {keep_alive_v3: shorter}\n", "keep_alive_v3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_of_the_file_are_those_of_the_core),
        cmocka_unit_test(totals_are_shared_out_among_the_workers_or_counted_over_them),
        cmocka_unit_test(policies_of_sessions_retained_messages_and_3_1_1_reach_the_core),
        cmocka_unit_test(the_first_authorization_server_and_audience_are_hinted_at),
        cmocka_unit_test(public_topics_become_a_scope),
        cmocka_unit_test(listeners_that_would_be_unsafe_are_refused),
        cmocka_unit_test(authorization_servers_that_could_not_work_are_refused),
        cmocka_unit_test(rules_for_claims_are_none_unless_one_is_set),
        cmocka_unit_test(what_is_acknowledged_is_kept_unless_the_settings_say_otherwise),
        cmocka_unit_test(what_is_to_be_kept_needs_a_place_and_is_told_how_to_name_one),
        cmocka_unit_test(what_is_offered_of_mqtt_reaches_the_core),
        cmocka_unit_test(what_can_not_be_offered_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
