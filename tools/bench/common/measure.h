/*
 * measure: what every measured client counts, and the line it prints. Two
 * clients did the same work where records, bytes and hash agree: the hash is
 * a sum over the records, so that their order doesn't matter.
 */
#ifndef BENCH_COMMON_MEASURE_H
#define BENCH_COMMON_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct tally {
    int64_t records;
    int64_t bytes; /* of values */
    uint64_t hash;
    char padding[40]; /* a line of its own: neighbours may belong to other threads */
};

/* Cheap on purpose, and the same for all: the value's size, its first and its last eight bytes. */
static inline void tally_add(struct tally *tally, const void *value, size_t size)
{
    uint64_t first = 0, last = 0;
    if (size >= sizeof first) {
        memcpy(&first, value, sizeof first);
        memcpy(&last, (const char *)value + size - sizeof last, sizeof last);
    }
    uint64_t mixed = (first ^ (last << 23 | last >> 41) ^ size) * 0x9e3779b97f4a7c15u;
    tally->records++;
    tally->bytes += (int64_t)size;
    tally->hash += mixed ^ mixed >> 32;
}

/* CPU (user and system, all threads) and time, from a tenth of the records on to the end. */
struct measure {
    int64_t wanted; /* records in all */
    int64_t from_records;
    int64_t from_cpu; /* ns */
    int64_t from_time;
    bool warm;
};

void measure_begin(struct measure *measure, int64_t wanted);
/* To be called now and then; true once all the records are there. */
bool measure_at(struct measure *measure, int64_t records);
void measure_print(const struct measure *measure, const char *name, const struct tally *tally);

/* `--name value` out of the arguments, or the fallback. */
const char *option_text(int argc, char **argv, const char *name, const char *fallback);
int64_t option_number(int argc, char **argv, const char *name, int64_t fallback);

#endif
