#include "load/packets.h"

size_t packets_each(struct link *link, struct span in, uint32_t packet_max, const struct packet_events *events)
{
    size_t used = 0;

    while (used < in.len && link->state == LINK_OPEN) {
        struct mqtt_frame frame;
        enum status st = ST_OK;
        struct why why = { "", "", 0 };
        enum mqtt_frame_result result =
            mqtt_frame_next(span_cut(in, used, in.len), MQTT_FROM_SERVER, packet_max, &frame, &st, &why);
        if (result == MQTT_FRAME_BAD)
            events->not_mqtt(link, why.text);
        if (result != MQTT_FRAME_READY)
            break;
        used += frame.total_len;
        events->packet(link, &frame);
    }
    return used;
}
