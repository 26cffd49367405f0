#include "tools/broker/faults/nearest.h"

enum {
    LONGEST = 63 /* bytes; longer ones are compared so far */
};

static char lower(char c) { return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c); }

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Levenshtein's, one row at a time; capitals count as small letters. */
static size_t edits(kf_string a, kf_string b)
{
    size_t row[LONGEST + 1];
    size_t width = least(b.size, LONGEST), height = least(a.size, LONGEST);
    for (size_t x = 0; x <= width; x++)
        row[x] = x;
    for (size_t y = 1; y <= height; y++) {
        size_t corner = row[0];
        row[0] = y;
        for (size_t x = 1; x <= width; x++) {
            size_t change = corner + (lower(a.data[y - 1]) != lower(b.data[x - 1]));
            corner = row[x];
            row[x] = least(change, least(row[x], row[x - 1]) + 1);
        }
    }
    return row[width];
}

struct kf__nearest kf__nearest_to(kf_string wanted)
{
    size_t reach = wanted.size / 3;
    return (struct kf__nearest){.wanted = wanted, .distance = (reach > 2 ? reach : 2) + 1};
}

bool kf__nearest_offer(struct kf__nearest *nearest, kf_string candidate)
{
    if (!candidate.data || !nearest->wanted.data)
        return false;
    size_t distance = edits(nearest->wanted, candidate);
    if (distance >= nearest->distance || distance >= candidate.size)
        return false;
    nearest->distance = distance;
    nearest->best = candidate;
    return true;
}
