/*
 * outbox_rows: the rows in hand, by aggregate.
 *
 *   absent ──row added──▶ in hand ──all acknowledged──▶ over ──released──▶ absent
 *                            └──one failed──▶ over ──released──▶ waiting ──retry_at──▶ absent,
 *                                                                  but its failures are known
 *
 * Knows no producer, thread or clock; outbox.c calls it on the publisher's
 * thread.
 */
#ifndef KF_RUNTIME_OUTBOX_ROWS_H
#define KF_RUNTIME_OUTBOX_ROWS_H

#include <kafiber/outbox.h>
#include <stdbool.h>

enum {
    KF__OUTBOX_CHAINS = 1024, /* of the table of aggregates */
    KF__OUTBOX_HEADERS = 4,   /* that each record begins with */
};

struct kf__outbox_row {
    struct kf__outbox_row *next;      /* of its aggregate, or of a list of those stored */
    struct kf__outbox_row *next_told; /* see outbox.c */
    struct kf__outbox_aggregate *aggregate;
    void *owner;       /* the outbox, for its callback */
    kf_outbox_row row; /* views into this allocation */
    kf_header *headers;
    kf_err verdict;
};

enum kf__outbox_state {
    KF__OUTBOX_IN_HAND,
    KF__OUTBOX_OVER,    /* to be released */
    KF__OUTBOX_WAITING, /* for retry_at; afterwards only its failures are known */
};

struct kf__outbox_aggregate {
    struct kf__outbox_aggregate *chain;
    struct kf__outbox_aggregate *next; /* in the list of all */
    struct kf__outbox_aggregate *previous;
    enum kf__outbox_state state;
    struct kf__outbox_row *first; /* the one that is to leave, or has left */
    struct kf__outbox_row *last;
    uint64_t claim;   /* that brought them */
    bool is_sent;     /* the first one has left */
    int32_t failures; /* one after the other */
    kf_time retry_at;
    kf_outbox_aggregate name;
};

struct kf__outbox_rows {
    const kf_allocator *alloc;
    struct kf__outbox_aggregate *chains[KF__OUTBOX_CHAINS];
    struct kf__outbox_aggregate *all;
    size_t aggregates; /* in all */
    size_t in_hand;    /* rows whose story is not over */
};

/* Whether a claim made now leaves the aggregate out: it is in hand, or waits. */
bool kf__outbox_leaves_out(const struct kf__outbox_aggregate *aggregate, uint64_t claim,
                           kf_time now);
/* Copies the row behind its aggregate's others, unless the claim of that number leaves it out. */
kf_err kf__outbox_rows_add(struct kf__outbox_rows *rows, const kf_outbox_row *row,
                           const char *topic, uint64_t claim, kf_time now);
/* The aggregate's first row leaves its queue; it is the caller's. */
struct kf__outbox_row *kf__outbox_rows_take(struct kf__outbox_rows *rows,
                                            struct kf__outbox_aggregate *aggregate);
void kf__outbox_row_free(struct kf__outbox_rows *rows, struct kf__outbox_row *row);
/* Its rows are dropped, to be claimed again later. */
void kf__outbox_rows_drop(struct kf__outbox_rows *rows, struct kf__outbox_aggregate *aggregate);
/* Forgets an aggregate without rows. */
void kf__outbox_rows_forget(struct kf__outbox_rows *rows, struct kf__outbox_aggregate *aggregate);
void kf__outbox_rows_free(struct kf__outbox_rows *rows);

#endif
