/* shard/fault.h - which refusals are the peer's fault, so that its address may be banned for them (broker/source.h). Pure. */
#ifndef SYMBOLON_SHARD_FAULT_H
#define SYMBOLON_SHARD_FAULT_H

#include "base/status.h"

/* True for what no honest client does: a forged token, a wrong proof, what is no MQTT before CONNACK (`open` false). False
 * for what befalls honest ones, too: a token that has ended, was revoked, is meant for another server; a late answer; a
 * clock that is wrong; limits; and all that is wrong with us. */
bool fault_is(enum status st, const struct why *why, bool open);

#endif
