/* flight: the ring; see flight.h. */
#include "net/conn/flight.h"

#include <assert.h>

void kf__flight_init(struct kf__flight *flight, const kf_allocator *alloc)
{
    *flight = (struct kf__flight){.alloc = alloc};
}

void kf__flight_free(struct kf__flight *flight)
{
    kf_free(flight->alloc, flight->entries);
    kf__flight_init(flight, flight->alloc);
}

struct kf__flight_entry *kf__flight_at(const struct kf__flight *flight, uint32_t place)
{
    return &flight->entries[(flight->first + place) & (flight->capacity - 1)];
}

static bool grow(struct kf__flight *flight)
{
    uint32_t capacity = flight->capacity ? flight->capacity * 2 : 8;
    struct kf__flight_entry *entries = kf_alloc_array(flight->alloc, capacity, sizeof *entries);
    if (!entries)
        return false;
    for (uint32_t i = 0; i < flight->count; i++)
        entries[i] = *kf__flight_at(flight, i);
    kf_free(flight->alloc, flight->entries);
    flight->entries = entries;
    flight->capacity = capacity;
    flight->first = 0;
    return true;
}

struct kf__flight_entry *kf__flight_prepare(struct kf__flight *flight)
{
    if (flight->count == flight->capacity && !grow(flight))
        return NULL;
    struct kf__flight_entry *entry = kf__flight_at(flight, flight->count);
    *entry = (struct kf__flight_entry){.correlation_id = flight->next_id};
    return entry;
}

/* Correlation ids wrap to 0: a negative one is legal, but startles people who read captures. */
void kf__flight_commit(struct kf__flight *flight)
{
    flight->count++;
    flight->next_id = flight->next_id == INT32_MAX ? 0 : flight->next_id + 1;
}

struct kf__flight_entry *kf__flight_find(const struct kf__flight *flight, int32_t correlation_id)
{
    if (!flight->count)
        return NULL;
    uint32_t place =
        ((uint32_t)correlation_id - (uint32_t)kf__flight_at(flight, 0)->correlation_id) &
        (uint32_t)INT32_MAX;
    return place < flight->count ? kf__flight_at(flight, place) : NULL;
}

void kf__flight_drop_first(struct kf__flight *flight)
{
    assert(flight->count > 0);
    flight->first++;
    flight->count--;
}
