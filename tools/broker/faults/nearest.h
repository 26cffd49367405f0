/*
 * nearest: the word somebody meant: edit distance, for messages that help.
 * Pure. Called by script.c and the query API.
 */
#ifndef KF_BROKER_NEAREST_H
#define KF_BROKER_NEAREST_H

#include <kafiber/types.h>
#include <stdbool.h>

/* Offered candidates one by one, it remembers the nearest; `best` is null while none is near. */
struct kf__nearest {
    kf_string wanted;
    kf_string best; /* borrows from the candidate */
    size_t distance;
};

struct kf__nearest kf__nearest_to(kf_string wanted);
/* True: it is the nearest so far. Beyond a third of the wanted word (at least 2 edits): never. */
bool kf__nearest_offer(struct kf__nearest *nearest, kf_string candidate);

#endif
