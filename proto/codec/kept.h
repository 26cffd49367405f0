/*
 * kept: which structs' plans (plan.h) and moves (moves.h) have been worked
 * out and stay, so that small messages are not mostly planning.
 *
 *   struct, version ──▶ places ──▶ number of the plan
 *
 * First come, first kept: nothing is ever thrown out, so who has found one
 * may use it without a lock. Where there is no room for another it is made
 * anew each time. All threads share them.
 */
#ifndef KF_PROTO_KEPT_H
#define KF_PROTO_KEPT_H

#include "proto/codec/schema.h"

#include <stdatomic.h>

enum {
    KF__KEPT = 128, /* a client comes to some forty */
    KF__KEPT_PLACES = 512,
    KF__NOT_KEPT = -1,
};

/* Zero at first. */
struct kf__kept {
    atomic_uchar places[KF__KEPT_PLACES]; /* the number plus one; 0: none */
    atomic_uint used;
    struct kf__kept_key {
        const struct kf__struct *type;
        int16_t version;
        bool flexible;
        bool many; /* of moves */
    } keys[KF__KEPT];
};

/* Its number, or KF__NOT_KEPT. */
int kf__kept_find(struct kf__kept *kept, const struct kf__kept_key *key);
/* A number for one to be made; KF__NOT_KEPT: there is no room. */
int kf__kept_add(struct kf__kept *kept, const struct kf__kept_key *key);
/* It is made: from here on it is found, and must not change. */
void kf__kept_show(struct kf__kept *kept, int number);

#endif
