/* client/loop_inside.h - for programs of this tree that put streams of their own on a client's loop (bridge). */
#ifndef SYMBOLON_CLIENT_LOOP_INSIDE_H
#define SYMBOLON_CLIENT_LOOP_INSIDE_H

#include "net/loop.h"
#include "symbolon/client.h"

struct loop *loop_inside(struct symbolon_loop *loop); /* lent */

#endif
