/*
 * stack: one pooled stack, as fiber.c and stack.c share it. The pool's own
 * contract is in fiber.h.
 *
 *   low - guard        low                               low + size
 *      │ guard: faults │ ◀── grows ── frames, or a resting coroutine │
 */
#ifndef KF_RUNTIME_STACK_H
#define KF_RUNTIME_STACK_H

#include "runtime/fiber/fiber.h"

struct kf__stack {
    uint8_t *low; /* the lowest usable byte */
    size_t size;
    size_t guard;
    struct kf__stack *next;
    unsigned size_class;
    unsigned valgrind_id;
    /* What a fiber left behind for the next one: fiber.c's. NULL on an untouched stack. */
    void *sp;
    void *asan_fake;
    void *tsan_fiber;
};

/* A stack of at least `bytes`. KF_ERR_NO_STACK: guards or address space are used up;
 * KF_ERR_NO_MEMORY. */
kf_err kf__stack_take(struct kf__stack_pool *pool, size_t bytes, struct kf__stack **stack);
void kf__stack_give(struct kf__stack_pool *pool, struct kf__stack *stack);

#endif
