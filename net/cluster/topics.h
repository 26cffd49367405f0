/*
 * topics: what is known of every topic, each at its dense index.
 *
 * Names are interned and never forgotten, so an index is good for the
 * cluster's life. What metadata says is merged in here by topic id and leader
 * epoch: an older epoch of the same topic is ignored (KIP-320), a new id is a
 * new topic whose epochs begin anew. Knows no brokers and sends nothing.
 */
#ifndef KF_NET_TOPICS_H
#define KF_NET_TOPICS_H

#include "net/cluster/cluster.h"
#include <kafiber/messages.h>

struct kf__topic {
    struct kf__topic_info info;
    size_t name_size;
    int32_t wanted;                        /* how often it was added less how often removed */
    int32_t stale_answers;                 /* in a row with older epochs, without topic ids */
    bool seen;                             /* in the answer that is being merged */
    struct kf__partition_info *partitions; /* owned, with the replicas in the same block */
};

struct kf__topics {
    const kf_allocator *alloc;
    struct kf__topic **items;
    int32_t count;
    int32_t capacity;
    int32_t *by_name; /* open addressing; -1: free */
    int32_t *by_id;   /* the same; may hold indexes of topics that have another id by now */
    size_t slots;     /* of each, a power of two */
    size_t ids_used;
};

void kf__topics_init(struct kf__topics *topics, const kf_allocator *alloc);
void kf__topics_free(struct kf__topics *topics);

int32_t kf__topics_find(const struct kf__topics *topics, const char *name, size_t size);
int32_t kf__topics_find_id(const struct kf__topics *topics, const kf_uuid *id);
kf_err kf__topics_intern(struct kf__topics *topics, const char *name, size_t size, int32_t *index);

/* Takes what one answer says of a topic. *changed is set where anything differs. */
kf_err kf__topics_merge(struct kf__topics *topics, struct kf__topic *topic,
                        const struct kf_metadata_response_topic *news, int16_t version,
                        bool *changed);

bool kf__uuid_is_zero(const kf_uuid *id);

#endif
