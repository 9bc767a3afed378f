/* base/utf8.h - UTF-8 as MQTT and JSON both want it (MQTT5 1.5.4, RFC 3629): no surrogates, no overlong forms.
 */
#ifndef SYMBOLON_BASE_UTF8_H
#define SYMBOLON_BASE_UTF8_H

#include "base/span.h"

bool utf8_valid(struct span s);
/* utf8_valid() and no U+0000: MQTT5 [MQTT-1.5.4-2]. */
bool utf8_valid_mqtt(struct span s);
/* Makes words from elsewhere fit for a terminal: control characters (also C1, and DEL) become "?", and if it is not UTF-8
 * all that is not ASCII. In place. */
void utf8_tame(char *text);

#endif
