/* java_order: String.compareTo, String.hashCode and the way of a HashMap's iterator. */
#include "group/java_order.h"

#include <stdbool.h>
#include <stdlib.h>

enum {
    FIRST_TABLE = 16, /* HashMap's, which doubles when it is three quarters full */
    FOUR_BYTE_LEAD = 0xF0,
    BEYOND_SURROGATES = 0xEE, /* leads U+E000 and up, which UTF-16 puts after the surrogates */
};

int kf__java_compare(kf_string a, kf_string b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    for (size_t i = 0; i < common; i++) {
        unsigned x = (uint8_t)a.data[i];
        unsigned y = (uint8_t)b.data[i];
        if (x == y)
            continue;
        bool swapped = x >= BEYOND_SURROGATES && y >= BEYOND_SURROGATES &&
                       (x >= FOUR_BYTE_LEAD) != (y >= FOUR_BYTE_LEAD);
        return (x < y) != swapped ? -1 : 1;
    }
    return (a.size > b.size) - (a.size < b.size);
}

/* The next code point of text that is taken to be UTF-8; broken bytes count one by one. */
static uint32_t next_code_point(kf_string text, size_t *at)
{
    uint32_t lead = (uint8_t)text.data[(*at)++];
    unsigned more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
    if (more == 0 || text.size - *at < more)
        return lead;
    uint32_t point = lead & (0x3FU >> more);
    while (more--)
        point = point << 6 | ((uint8_t)text.data[(*at)++] & 0x3FU);
    return point;
}

int32_t kf__java_hash(kf_string text)
{
    uint32_t hash = 0;
    for (size_t at = 0; at < text.size;) {
        uint32_t point = next_code_point(text, &at);
        if (point >= 0x10000) {
            hash = hash * 31 + (0xD800 + ((point - 0x10000) >> 10));
            point = 0xDC00 + (point & 0x3FF);
        }
        hash = hash * 31 + point;
    }
    return (int32_t)hash;
}

struct place {
    uint32_t bucket;
    size_t index;
};

/* Each bucket keeps the order in which it was filled. */
static int compare_places(const void *a, const void *b)
{
    const struct place *x = a;
    const struct place *y = b;
    if (x->bucket != y->bucket)
        return x->bucket < y->bucket ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

kf_err kf__java_map_order(const kf_string *names, size_t count, kf_arena *arena, size_t *order)
{
    if (count == 0)
        return KF_OK;
    struct place *places = kf_arena_alloc(arena, count * sizeof *places);
    if (!places)
        return KF_ERR_NO_MEMORY;

    uint32_t table = FIRST_TABLE;
    while (count > table / 4 * 3 && table < UINT32_C(1) << 30)
        table *= 2;
    for (size_t i = 0; i < count; i++) {
        uint32_t hash = (uint32_t)kf__java_hash(names[i]);
        places[i] = (struct place){(hash ^ hash >> 16) & (table - 1), i};
    }
    qsort(places, count, sizeof *places, compare_places);
    for (size_t i = 0; i < count; i++)
        order[i] = places[i].index;
    return KF_OK;
}
