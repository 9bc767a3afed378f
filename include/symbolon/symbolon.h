/* symbolon/symbolon.h - all of libsymbolon: the lower layer (ace.h, no I/O) and the client (client.h). */
#ifndef SYMBOLON_SYMBOLON_H
#define SYMBOLON_SYMBOLON_H

#include "symbolon/ace.h"
#include "symbolon/client.h"
#include "symbolon/error.h"
#include "symbolon/key.h"

#endif
