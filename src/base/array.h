/* base/array.h - arrays of elements that begin with a number, in its order. */
#ifndef SYMBOLON_BASE_ARRAY_H
#define SYMBOLON_BASE_ARRAY_H

#include "base/defs.h"

#include <stddef.h>
#include <stdint.h>

/* Room for one more of `size` bytes in the array that the pointer at `array` points to, which may move. */
bool array_grow(void *array, size_t size, size_t count, size_t *cap) MUST_CHECK;

/* Where the element stands that begins with this uint64_t; `count`: nowhere. */
size_t array_find(const void *array, size_t size, size_t count, uint64_t number);

#endif
