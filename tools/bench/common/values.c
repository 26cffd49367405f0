/* values: see the header. */
#include "tools/bench/common/values.h"

#include <stdlib.h>

uint8_t *values_new(size_t size)
{
    uint8_t *values = malloc(VALUES * size);
    for (size_t i = 0; values && i < VALUES; i++)
        for (size_t at = 0; at < size; at++) {
            uint32_t letter = at < 8 ? (uint32_t)(i >> at) % 10 + '0'
                                     : (uint32_t)(i * 31 + at * 7 + i * at % 11) % 26 + 'a';
            values[i * size + at] = (uint8_t)letter;
        }
    return values;
}
