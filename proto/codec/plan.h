/*
 * plan: what a struct's rows come to at one version, worked out once and used
 * for each element of an array: steps in the order of the bytes, and what
 * stands beside them (decode.c, moves.c).
 *
 * A plan that was made is kept, as far as there is room for it: a program uses
 * the same few messages again and again. What is kept never changes.
 */
#ifndef KF_PROTO_PLAN_H
#define KF_PROTO_PLAN_H

#include "proto/codec/kept.h"
#include "proto/codec/schema.h"

/* A short value is one whose length is one byte; the steps that know it are only of flexible
 * versions. */
enum kf__step_kind {
    KF__STEP_BOOLEAN, /* up to the uuid: values that always have as many bytes */
    KF__STEP_8,       /* bits */
    KF__STEP_16,
    KF__STEP_32,
    KF__STEP_64,
    KF__STEP_UUID,
    KF__STEP_INT32S, /* these three have a short way */
    KF__STEP_BYTES,  /* and strings */
    KF__STEP_ARRAY,
    KF__STEP_VALUE,   /* whatever else the version has */
    KF__STEP_END,     /* of the steps; all others stand behind it */
    KF__STEP_TAGGED,  /* the version has it, as a tagged field */
    KF__STEP_ABSENT,  /* the version lacks it */
    KF__STEP_DROPPED, /* so, and it's ignorable */
};

struct kf__step {
    const struct kf__row *row;
    uint16_t place; /* in the C struct */
    uint16_t least; /* bytes that must be there: of all fixed values from here on; 1, a length */
    uint8_t kind;
    uint8_t times; /* 32 or 64 bit values that lie side by side are one step */
    bool nullable;
};

struct kf__plan {
    const struct kf__struct *type;
    const struct kf__step *others; /* those beside the bytes, up to the end of `steps` */
    uint16_t others_place;         /* where they lie in the C struct, and what lies between them */
    uint16_t others_size;
    uint16_t room; /* most bytes of all fixed and short values, and of no tags */
    size_t least;  /* bytes of one on the wire: kf__min_wire_size */
    struct kf__step steps[KF__MOST_ROWS + 1];
};

static inline const struct kf__step *kf__others_end(const struct kf__plan *plan)
{
    return plan->steps + sizeof plan->steps / sizeof *plan->steps;
}

/* The plan of one struct at one version: the kept one, or else made here, in `own`. */
const struct kf__plan *kf__plan_of(const struct kf__struct *type, int16_t version, bool flexible,
                                   struct kf__plan *own);
void kf__plan_make(struct kf__plan *plan, const struct kf__struct *type, int16_t version,
                   bool flexible);

#endif
