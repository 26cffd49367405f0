/*
 * budget: all that the broker holds, counted and capped.
 *
 *     everything ── work ──▶ up to the cap: connections, requests, answers
 *        └───────── state ─▶ up to 7/8 of it: logs, topics, groups, sessions, …
 *
 * Two allocators over the caller's, with one count: where no more state goes
 * in, there is still room to say so, and to ask for things to be deleted. An
 * allocation beyond is an allocation that failed: POLICY_VIOLATION in answers,
 * a closed connection where there is none to give. What OpenSSL holds isn't
 * counted. Called by broker.c.
 */
#ifndef KF_BROKER_BUDGET_H
#define KF_BROKER_BUDGET_H

#include <kafiber/alloc.h>
#include <stdatomic.h>

struct kf__budget {
    const kf_allocator *below;
    size_t cap;
    _Atomic size_t held; /* bytes, with what the count itself takes */
    kf_allocator work;
    kf_allocator state;
};

/* Never moved afterwards: the allocators point to it. What one gave the other may take. */
void kf__budget_init(struct kf__budget *budget, const kf_allocator *below, size_t cap);

#endif
