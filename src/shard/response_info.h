/* shard/response_info.h - Response Information of a CONNACK (MQTT5 3.2.2.3.15): where the answers to a client's requests
 * can go, made from the setting `response_topic_prefix`, in which ${client_id} stands for the Client Identifier. */
#ifndef SYMBOLON_SHARD_RESPONSE_INFO_H
#define SYMBOLON_SHARD_RESPONSE_INFO_H

#include "base/buf.h"
#include "base/status.h"

/* Whether it can be the beginning of topics: whole levels, no wildcard, no $ but that of ${client_id}. */
enum status response_info_check(struct span prefix, struct why *why) MUST_CHECK;

/* Appends the prefix of this client. False, and nothing appended, for an identifier that would make several levels or a
 * wildcard of its own: what it got would not be its alone. */
bool response_info_put(struct span prefix, struct span client_id, struct buf *out);

#endif
