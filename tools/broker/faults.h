/*
 * faults: which requests go wrong, and how: data, matched against what comes
 * in. Pure. Asked by dispatch.c once for each request; api files ask which
 * part of an answer an error is meant for.
 */
#ifndef KF_BROKER_FAULTS_H
#define KF_BROKER_FAULTS_H

#include <kafiber/broker.h>

struct kf__fault {
    kf_broker_fault what;
    kf_string topic; /* owned; null: any */
    int32_t id;
    int64_t seen; /* requests that matched */
    int64_t hits;
};

struct kf__faults {
    const kf_allocator *alloc;
    struct kf__fault **items;
    size_t count;
    int32_t last_id;
};

/* What shall happen to one request; zero: nothing. */
struct kf__verdict {
    struct kf__fault *error; /* ANSWER_ERROR; valid while the request is handled first */
    bool drop;
    bool drop_answer;
    bool silence;
    bool cut;
    bool garbage;
    bool corrupt;
    int64_t delay_ms;
    int64_t throttle_ms;
    size_t bytes; /* of cut or garbage */
};

void kf__faults_init(struct kf__faults *faults, const kf_allocator *alloc);
void kf__faults_free(struct kf__faults *faults);
int32_t kf__faults_add(struct kf__faults *faults, const kf_broker_fault *what);
void kf__faults_clear(struct kf__faults *faults, int32_t id);
int64_t kf__faults_hits(const struct kf__faults *faults, int32_t id);
/* Counts the request in. */
struct kf__verdict kf__faults_judge(struct kf__faults *faults, int16_t api_key, int32_t node);
/* The error meant for this part of an answer; KF_OK: none. Topic null: the answer as a whole. */
kf_err kf__fault_error(const struct kf__fault *fault, kf_string topic, int32_t partition);

#endif
