#include "tools/broker/group/java_order.h"

#include <stdlib.h>

enum {
    SMALLEST_TABLE = 16,
};

struct place {
    uint32_t bucket;
    int32_t index;
};

/* The code point at *at, which moves on; damaged UTF-8 is the replacement character, as in Java. */
static uint32_t next_point(kf_string text, size_t *at)
{
    static const uint32_t replacement = 0xFFFD;
    uint8_t first = (uint8_t)text.data[(*at)++];
    int more = first < 0x80 ? 0 : first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    uint32_t point = more == 0 ? first : first & (0x3Fu >> more);
    if (first >= 0x80 && (first < 0xC2 || first > 0xF4))
        return replacement;
    for (; more > 0; more--, (*at)++) {
        if (*at == text.size || ((uint8_t)text.data[*at] & 0xC0) != 0x80)
            return replacement;
        point = point << 6 | ((uint8_t)text.data[*at] & 0x3F);
    }
    return point;
}

uint32_t kf__java_hash_text(kf_string text)
{
    uint32_t hash = 0;
    for (size_t at = 0; at < text.size;) {
        uint32_t point = next_point(text, &at);
        if (point >= 0x10000) { /* two units */
            hash = hash * 31 + (0xD800 + ((point - 0x10000) >> 10));
            point = 0xDC00 + ((point - 0x10000) & 0x3FF);
        }
        hash = hash * 31 + point;
    }
    return hash;
}

uint32_t kf__java_hash_uuid(kf_uuid id)
{
    uint32_t hash = 0;
    for (int i = 0; i < 16; i += 4)
        hash ^= (uint32_t)id.bytes[i] << 24 | (uint32_t)id.bytes[i + 1] << 16 |
                (uint32_t)id.bytes[i + 2] << 8 | id.bytes[i + 3];
    return hash;
}

/* A table doubles when more than three quarters of it are used. */
uint32_t kf__java_grown(size_t count)
{
    uint32_t buckets = SMALLEST_TABLE;
    while (count > buckets / 4 * 3)
        buckets *= 2;
    return buckets;
}

uint32_t kf__java_copied(size_t count)
{
    uint32_t buckets = SMALLEST_TABLE;
    while (buckets < count * 4 / 3 + 1)
        buckets *= 2;
    return buckets;
}

static int compare(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->bucket != y->bucket)
        return x->bucket < y->bucket ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

kf_err kf__java_order(const kf_allocator *alloc, const uint32_t *hashes, size_t count,
                      uint32_t buckets, int32_t *order)
{
    struct place *places = kf_alloc(alloc, (count + 1) * sizeof *places);
    if (!places)
        return KF_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        places[i].bucket = (hashes[i] ^ hashes[i] >> 16) & (buckets - 1);
        places[i].index = (int32_t)i;
    }
    qsort(places, count, sizeof *places, compare);
    for (size_t i = 0; i < count; i++)
        order[i] = places[i].index;
    kf_free(alloc, places);
    return KF_OK;
}

struct step {
    uint32_t bucket;
    size_t turn; /* when it came in */
    size_t index;
};

static int compare_steps(const void *a, const void *b)
{
    const struct step *x = a, *y = b;
    if (x->bucket != y->bucket)
        return x->bucket < y->bucket ? -1 : 1;
    return (x->turn > y->turn) - (x->turn < y->turn);
}

/* As a table of so many buckets shows them that they came into in this order; 0: as they came. */
static void walk(struct step *steps, size_t count, const struct kf__held *items, uint32_t buckets)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t hash = (uint32_t)items[steps[i].index].partition;
        steps[i].bucket = buckets ? (hash ^ hash >> 16) & (buckets - 1) : 0;
    }
    qsort(steps, count, sizeof *steps, compare_steps);
    for (size_t i = 0; i < count; i++)
        steps[i].turn = i;
}

kf_err kf__java_rank(const kf_allocator *alloc, struct kf__held *items, size_t count, int64_t had)
{
    struct step *steps = kf_alloc(alloc, (count + 1) * sizeof *steps);
    if (!steps)
        return KF_ERR_NO_MEMORY;
    uint32_t buckets = had < 0 ? 0 : had == 0 ? SMALLEST_TABLE : kf__java_copied((size_t)had);
    while (buckets > 0 && count > buckets / 4 * 3)
        buckets *= 2;
    for (size_t i = 0; i < count; i++) {
        size_t turn = had < 0 ? (size_t)items[i].partition : (size_t)items[i].epoch;
        steps[i] = (struct step){.turn = turn, .index = i};
    }
    walk(steps, count, items, 0);
    walk(steps, count, items, buckets);
    walk(steps, count, items, kf__java_copied(count));
    for (size_t i = 0; i < count; i++)
        items[steps[i].index].epoch = (int32_t)i;
    kf_free(alloc, steps);
    return KF_OK;
}
