#include "base/array.h"

#include <stdlib.h>
#include <string.h>

bool array_grow(void *array, size_t size, size_t count, size_t *cap)
{
    size_t more = *cap == 0 ? 64 : *cap + *cap / 2;
    void *p;

    if (count < *cap)
        return true;
    memcpy(&p, array, sizeof p);
    p = reallocarray(p, more, size);
    if (p == NULL)
        return false;
    memcpy(array, &p, sizeof p);
    *cap = more;
    return true;
}

static uint64_t number_at(const void *array, size_t size, size_t i)
{
    uint64_t number;

    memcpy(&number, (const char *)array + i * size, sizeof number);
    return number;
}

size_t array_find(const void *array, size_t size, size_t count, uint64_t number)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (number_at(array, size, mid) < number)
            low = mid + 1;
        else
            high = mid;
    }
    return low < count && number_at(array, size, low) == number ? low : count;
}
