/* A settings file of symbolon-broker, of any bytes: refused with a reason; or printed, read again to the same, and good
 * enough to make what the core wants of it. */
#include "broker/settings_file.h"
#include "scope/scope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define WORKERS 3

static void use(const struct broker_config *config)
{
    CLEANUP(scope_unrefp)
    struct scope *public_scope = NULL;
    struct shard_settings settings;
    struct token_store_limits limits;
    struct why why = { "", "", 0 };

    broker_config_token_limits(config, &limits);
    if (broker_config_shard_settings(config, WORKERS, &settings, &public_scope, &why) != ST_OK) {
        ASSERT(why.text[0] != '\0');
        return;
    }
    ASSERT(settings.max_sessions > 0 && settings.receive_maximum > 0);
    for (size_t i = 0; i < config->authorization_servers.count; i++)
        (void)broker_config_believes(config, span_of_str(as_config_at(config, i)->issuer), SPAN("a"));
}

static void print_again(const struct broker_config *config)
{
    CLEANUP(buf_done)
    struct buf text;
    CLEANUP(buf_done)
    struct buf again;
    struct broker_config second;

    buf_init(&text, CONFIG_FILE_MAX);
    buf_init(&again, CONFIG_FILE_MAX);
    config_print(&broker_config_table, config, &text);
    if (!buf_ok(&text))
        return;
    ASSERT(config_parse(&broker_config_table, buf_span(&text), NULL, &second, NULL) == ST_OK);
    config_print(&broker_config_table, &second, &again);
    ASSERT(span_eq(buf_span(&text), buf_span(&again)));
    config_done(&broker_config_table, &second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP(buf_done)
    struct buf problem;
    struct broker_config config;

    buf_init(&problem, CONFIG_PROBLEM_MAX);
    if (config_parse(&broker_config_table, span_of(data, len), "etc/broker.yaml", &config, &problem) != ST_OK) {
        ASSERT(problem.len > 0 || !buf_ok(&problem));
        return 0;
    }
    use(&config);
    print_again(&config);
    config_done(&broker_config_table, &config);
    return 0;
}
