/* What a client may send to a broker: a stream of packets. */
#include "mqtt/packet_fuzz_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    fuzz_stream(span_of(data, len), MQTT_FROM_CLIENT);
    return 0;
}
