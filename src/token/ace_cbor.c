#include "token/ace_cbor.h"

/* RFC 9200 8.8, 9202, 9203, 9431; the last two as their drafts suggest. */
static const char *const profiles[] = {
    [1] = "coap_dtls",         [2] = "coap_oscore",       [3] = "mqtt_tls",
    [4] = "coap_edhoc_oscore", [5] = "coap_group_oscore",
};

const char *ace_profile_name(int64_t number)
{
    return number > 0 && number < (int64_t)COUNT_OF(profiles) ? profiles[number] : NULL;
}

int64_t ace_profile_number(struct span name)
{
    for (size_t i = 1; i < COUNT_OF(profiles); i++)
        if (span_eq_str(name, profiles[i]))
            return (int64_t)i;
    return -1;
}
