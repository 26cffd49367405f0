/*
 * values: what the measured producers write: 1,024 values of one size, the
 * same in C, Java and Go, in turn. Letters of a small cycle, a number in
 * front: they compress about as well as small JSON does.
 */
#ifndef BENCH_COMMON_VALUES_H
#define BENCH_COMMON_VALUES_H

#include <stddef.h>
#include <stdint.h>

enum {
    VALUES = 1024 /* a power of two */
};

/* VALUES times `size` bytes, one behind the other; freed by free. NULL without memory. */
uint8_t *values_new(size_t size);

#endif
