/* record/record_priv.h - the bits in values, for record.c and record_read.c. */
#ifndef SYMBOLON_RECORD_RECORD_PRIV_H
#define SYMBOLON_RECORD_RECORD_PRIV_H

#include "record/record.h"

/* Will, subscription, message */
#define RECORD_QOS           0x03
#define RECORD_RETAIN        0x04
#define RECORD_HAS_EXPIRY    0x08
#define RECORD_NO_LOCAL      0x04
#define RECORD_AS_PUBLISHED  0x08
#define RECORD_SETS_RETAINED 0x10 /* of a message between shards */

/* delivery; its QoS as above */
#define RECORD_STATE_SHIFT      2
#define RECORD_DELIVERY_RETAIN  0x10
#define RECORD_DELIVERY_DUP     0x20
#define RECORD_DELIVERY_BACKLOG 0x40
#define RECORD_DELIVERY_GROUP   0x80

/* owner of a session */
#define RECORD_OWNER_TOKEN  0x01
#define RECORD_OWNER_SUB    0x02
#define RECORD_OWNER_CLIENT 0x04
#define RECORD_OWNER_TWIN   0x08

#endif
