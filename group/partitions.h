/*
 * partitions: lists of topic partitions as sets: sorted by topic and number,
 * without doubles. A copy is one block of memory that owns its names.
 */
#ifndef KF_GROUP_PARTITIONS_H
#define KF_GROUP_PARTITIONS_H

#include "group/assignor.h"
#include <kafiber/alloc.h>

/* As memcmp does, the shorter one first; null equals empty. */
int kf__string_compare(kf_string a, kf_string b);
int kf__partition_compare(const struct kf__topic_partition *a, const struct kf__topic_partition *b);

/* Sorts in place and drops doubles. */
void kf__partitions_sort(struct kf__partition_list *list);
/* `list` is sorted. */
bool kf__partitions_contain(const struct kf__partition_list *list,
                            const struct kf__topic_partition *partition);
/* How many of `a` are not in `b`; both sorted. */
size_t kf__partitions_missing(const struct kf__partition_list *a,
                              const struct kf__partition_list *b);

/* *copy = list − minus, both sorted; `minus` may be NULL. Owns its names. */
kf_err kf__partitions_copy(const kf_allocator *alloc, const struct kf__partition_list *list,
                           const struct kf__partition_list *minus, struct kf__partition_list *copy);
void kf__partitions_free(const kf_allocator *alloc, struct kf__partition_list *list);

/* Sorted names without doubles, in one block that owns them. */
struct kf__names {
    kf_string *items;
    size_t count;
};
kf_err kf__names_copy(const kf_allocator *alloc, const kf_string *items, size_t count,
                      struct kf__names *copy);
void kf__names_free(const kf_allocator *alloc, struct kf__names *names);
bool kf__names_contain(const struct kf__names *names, kf_string name);
bool kf__names_equal(const struct kf__names *a, const struct kf__names *b);

#endif
