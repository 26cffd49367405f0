/*
 * flight: the requests of one connection that were encoded and not answered.
 *
 * A broker answers in order, so this is a ring: the next answer belongs to
 * the oldest entry, and a call finds its own by correlation id, which count
 * up. A cancelled call leaves an entry without call, whose answer is dropped.
 */
#ifndef KF_NET_FLIGHT_H
#define KF_NET_FLIGHT_H

#include "net/conn/call.h"

struct kf__flight_entry {
    struct kf__call *call; /* NULL: cancelled, ended, or the connection's own request */
    kf_time expires;       /* the broker is taken for silent then */
    int64_t ends_at;       /* its last byte's place in all that was ever sent */
    int32_t correlation_id;
    int16_t api_key;
    int16_t version;
    bool no_answer;
};

struct kf__flight {
    const kf_allocator *alloc;
    struct kf__flight_entry *entries;
    uint32_t capacity; /* a power of two */
    uint32_t first;    /* runs freely; masked */
    uint32_t count;
    int32_t next_id;
};

void kf__flight_init(struct kf__flight *flight, const kf_allocator *alloc);
void kf__flight_free(struct kf__flight *flight);
/* Room for one more; its correlation id is set. NULL: no memory. Counts only once committed. */
struct kf__flight_entry *kf__flight_prepare(struct kf__flight *flight);
void kf__flight_commit(struct kf__flight *flight);
struct kf__flight_entry *kf__flight_at(const struct kf__flight *flight, uint32_t place);
struct kf__flight_entry *kf__flight_find(const struct kf__flight *flight, int32_t correlation_id);
void kf__flight_drop_first(struct kf__flight *flight);

#endif
