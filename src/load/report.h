/* load/report.h - a run in words, for people, and as one JSON document, for programs (docs/man/symbolon-bench.1 says what
 * its members are). */
#ifndef SYMBOLON_LOAD_REPORT_H
#define SYMBOLON_LOAD_REPORT_H

#include "codec/json.h"
#include "load/load.h"

/* False if something was lost, doubled against its QoS, out of order, refused or not acknowledged, or a client failed;
 * appends what, or that all is well. */
bool report_verdict(const struct load_settings *settings, const struct load_report *report, struct buf *words);
void report_text(const struct load_settings *settings, const struct load_report *report, struct buf *out);
enum status report_json(const struct load_settings *settings, const struct load_report *report,
                        struct js **ret_js) MUST_CHECK;

/* The live table: a line of headings, and one line for each second. */
void report_heading(enum load_mode mode, struct buf *out);
void report_second(enum load_mode mode, const struct load_second *second, struct buf *out);

#endif
