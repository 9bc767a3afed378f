#include "base/record_blocks.h"

#include <stdlib.h>

_Thread_local struct record_blocks record_blocks;

void record_blocks_keep(void)
{
    record_blocks.keeps = true;
}

void record_blocks_give_back(void)
{
    record_blocks.keeps = false;
    while (record_blocks.count > 0)
        free(record_blocks.kept[--record_blocks.count]);
}
