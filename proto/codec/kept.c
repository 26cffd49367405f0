/* kept: see kept.h. */
#include "proto/codec/kept.h"

enum {
    TRIES = 2, /* places where one may stand */
};

/* A message's structs stand side by side in the tables. */
static size_t place_of(const struct kf__kept_key *key, size_t attempt)
{
    size_t place = (size_t)key->type->first + (size_t)key->version * 101 + (size_t)key->many * 257;
    return (place ^ attempt) % KF__KEPT_PLACES;
}

int kf__kept_find(struct kf__kept *kept, const struct kf__kept_key *key)
{
    for (size_t i = 0; i < TRIES; i++) {
        int number =
            atomic_load_explicit(&kept->places[place_of(key, i)], memory_order_acquire) - 1;
        const struct kf__kept_key *found = number < 0 ? NULL : &kept->keys[number];
        if (found && found->type == key->type && found->version == key->version &&
            found->flexible == key->flexible && found->many == key->many)
            return number;
    }
    return KF__NOT_KEPT;
}

int kf__kept_add(struct kf__kept *kept, const struct kf__kept_key *key)
{
    bool room = false;
    for (size_t i = 0; i < TRIES; i++)
        room |= !atomic_load_explicit(&kept->places[place_of(key, i)], memory_order_relaxed);
    if (!room || atomic_load_explicit(&kept->used, memory_order_relaxed) >= KF__KEPT)
        return KF__NOT_KEPT;
    unsigned number = atomic_fetch_add_explicit(&kept->used, 1, memory_order_relaxed);
    if (number >= KF__KEPT)
        return KF__NOT_KEPT;
    kept->keys[number] = *key;
    return (int)number;
}

/* Where another thread has kept the same meanwhile, or took both places, this one is lost. */
void kf__kept_show(struct kf__kept *kept, int number)
{
    const struct kf__kept_key *key = &kept->keys[number];
    for (size_t i = 0; i < TRIES && kf__kept_find(kept, key) < 0; i++) {
        unsigned char none = 0;
        atomic_compare_exchange_strong_explicit(&kept->places[place_of(key, i)], &none,
                                                (unsigned char)(number + 1), memory_order_release,
                                                memory_order_relaxed);
    }
}
