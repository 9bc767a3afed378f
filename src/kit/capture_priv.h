/* kit/capture_priv.h - what the kit sent and received, as a pcapng file that Wireshark opens and reads in clear.
 * The kit knows its own bytes, so nothing is sniffed: TCP and IP headers are made up around them (client 10.0.0.1,
 * server 10.0.0.2 port 8883, which tells Wireshark that it is MQTT), and the TLS secrets go into a Decryption
 * Secrets Block in front.
 * All functions take NULL and then do nothing. Format: draft-ietf-opsawg-pcapng. */
#ifndef SYMBOLON_KIT_CAPTURE_PRIV_H
#define SYMBOLON_KIT_CAPTURE_PRIV_H

#include "base/buf.h"

struct capture;

struct capture *capture_new(void) MUST_CHECK;
void capture_free(struct capture *c);
struct buf *capture_keys(struct capture *c); /* NSS key log lines are added here */

unsigned capture_begin(struct capture *c); /* a new connection: three packets; its number */
void capture_bytes(struct capture *c, unsigned flow, bool from_client, struct span bytes);
void capture_end(struct capture *c, unsigned flow);
void capture_comment(struct capture *c, const char *text); /* on the next packet */

/* The whole file. ST_NO_MEMORY if the capture had outgrown its limit. */
enum status capture_write(const struct capture *c, struct buf *out) MUST_CHECK;

#endif
