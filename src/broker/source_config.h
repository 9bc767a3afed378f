/* broker/source_config.h - the table of addresses (source.h) that the settings ask for. */
#ifndef SYMBOLON_BROKER_SOURCE_CONFIG_H
#define SYMBOLON_BROKER_SOURCE_CONFIG_H

#include "broker/settings_file.h"
#include "broker/source.h"

enum status sources_from_config(const struct broker_config *config, struct sources **ret_sources,
                                struct why *why) MUST_CHECK;

#endif
