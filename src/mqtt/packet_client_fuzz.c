/* What a broker may send to a client: a stream of packets, read as MQTT 5 and as 3.1.1. */
#include "mqtt/packet_fuzz_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    fuzz_stream(span_of(data, len), MQTT_5, MQTT_FROM_SERVER);
    fuzz_stream(span_of(data, len), MQTT_3_1_1, MQTT_FROM_SERVER);
    return 0;
}
