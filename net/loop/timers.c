/* timers: the heap behind kf__timer_set. See timers.h. */
#include "net/loop/timers.h"

#include <assert.h>

void kf__timers_free(struct kf__timers *timers)
{
    kf_free(timers->alloc, timers->heap);
    *timers = (struct kf__timers){.alloc = timers->alloc};
}

static void put(struct kf__timers *timers, size_t place, struct kf__timer *timer)
{
    timers->heap[place] = timer;
    timer->place = place;
}

static void rise(struct kf__timers *timers, struct kf__timer *timer)
{
    size_t place = timer->place;
    while (place > 1 && timers->heap[place / 2]->at > timer->at) {
        put(timers, place, timers->heap[place / 2]);
        place /= 2;
    }
    put(timers, place, timer);
}

static void sink(struct kf__timers *timers, struct kf__timer *timer)
{
    size_t place = timer->place;
    for (;;) {
        size_t child = place * 2;
        if (child > timers->count)
            break;
        if (child < timers->count && timers->heap[child + 1]->at < timers->heap[child]->at)
            child++;
        if (timers->heap[child]->at >= timer->at)
            break;
        put(timers, place, timers->heap[child]);
        place = child;
    }
    put(timers, place, timer);
}

static kf_err reserve_one(struct kf__timers *timers)
{
    if (timers->count + 1 < timers->capacity)
        return KF_OK;
    size_t capacity = timers->capacity ? timers->capacity * 2 : 32;
    struct kf__timer **heap = kf_realloc(timers->alloc, timers->heap, capacity * sizeof(void *));
    if (!heap)
        return KF_ERR_NO_MEMORY;
    timers->heap = heap;
    timers->capacity = capacity;
    return KF_OK;
}

kf_err kf__timers_init(struct kf__timers *timers, const kf_allocator *alloc)
{
    *timers = (struct kf__timers){.alloc = alloc};
    return reserve_one(timers);
}

kf_err kf__timers_set(struct kf__timers *timers, struct kf__timer *timer, kf_time at)
{
    if (at == KF_FOREVER) {
        kf__timers_cancel(timers, timer);
        return KF_OK;
    }
    if (!timer->place) {
        kf_err err = reserve_one(timers);
        if (err)
            return err;
        timer->at = at;
        put(timers, ++timers->count, timer);
    }
    timer->at = at;
    rise(timers, timer);
    sink(timers, timer);
    return KF_OK;
}

void kf__timers_cancel(struct kf__timers *timers, struct kf__timer *timer)
{
    size_t place = timer->place;
    if (!place)
        return;
    assert(place <= timers->count && timers->heap[place] == timer);
    struct kf__timer *last = timers->heap[timers->count--];
    timer->place = 0;
    if (last == timer)
        return;
    put(timers, place, last);
    rise(timers, last);
    sink(timers, last);
}

kf_time kf__timers_next(const struct kf__timers *timers)
{
    return timers->count ? timers->heap[1]->at : KF_FOREVER;
}

void kf__timers_fire(struct kf__timers *timers, kf_time now)
{
    for (size_t left = timers->count; left > 0 && timers->count > 0; left--) {
        struct kf__timer *timer = timers->heap[1];
        if (timer->at > now)
            return;
        kf__timers_cancel(timers, timer);
        timer->fire(timer, timer->owner);
    }
}
