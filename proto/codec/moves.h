/*
 * moves: the steps of a struct's plan, made ready for writing many structs one
 * after the other (encode.c).
 *
 *   plan: rows as the version has them ──▶ moves: what each takes from the C struct
 *
 * A move says where its bytes lie in the struct and how they go behind what
 * is on the wire already. A number is moved alike whatever its width: eight
 * bytes are read, which begin with it, and eight are written; the next move
 * writes over those that are not its own. Where the machine can, as many
 * numbers as lie within 16 bytes are one move; for a few structs that is not
 * worth its preparation. Moves are kept as plans are.
 */
#ifndef KF_PROTO_MOVES_H
#define KF_PROTO_MOVES_H

#include "proto/codec/plan.h"
#include "proto/codec/shuffle.h"

enum kf__move_kind {
    KF__MOVE_SHUFFLED,
    KF__MOVE_NUMBER,
    KF__MOVE_INT32S,
    KF__MOVE_BYTES,
    KF__MOVE_ARRAY,
    KF__MOVE_UUID,
    KF__MOVE_VALUE,
    KF__MOVE_END,
};

struct kf__move {
    const struct kf__row *row;
    uint16_t place;
    uint8_t kind;
    uint8_t turn;     /* of a number: bits to turn right, so that it becomes the highest */
    uint8_t bytes;    /* of numbers: how many go to the wire */
    uint8_t times;    /* of arrays and bytes: so many lie side by side, of as many rows */
    uint8_t nullable; /* a bit for each of them */
};

struct kf__moves {
    struct kf__plan plan;
    size_t room;   /* most bytes of one struct but for its long values */
    size_t size;   /* of the C struct */
    size_t tags;   /* where its unknown tags lie in it */
    bool others;   /* the plan has some */
    bool flexible; /* a byte for the tags */
    bool shuffles;
    bool many;
    struct kf__move items[KF__MOST_ROWS + 1];
    uint8_t orders[KF__MOST_ROWS][KF__SHUFFLED]; /* of the items that are shuffled */
};

/* Kept ones, or else made here, in `own`. */
const struct kf__moves *kf__moves_of(const struct kf__struct *type, int16_t version, bool flexible,
                                     bool many, struct kf__moves *own);

#endif
