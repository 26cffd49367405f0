/*
 * switch: from one stack to another, in a handful of instructions.
 *
 * A suspended stack is one pointer: what the architecture must keep lies
 * above it. Assembly for x86-64 and aarch64 on ELF systems, ucontext
 * elsewhere or with KAFIBER_SWITCH_UCONTEXT. Knows no fibers; fiber.c is its
 * only caller.
 */
#ifndef KF_RUNTIME_SWITCH_H
#define KF_RUNTIME_SWITCH_H

#if !defined(KAFIBER_SWITCH_UCONTEXT) && defined(__ELF__) && defined(__LP64__) &&                  \
    (defined(__x86_64__) || (defined(__aarch64__) && !defined(__AARCH64EB__)))
#define KF__SWITCH_ASSEMBLY 1
#endif

#ifndef __ASSEMBLER__

/*
 * Keeps the caller's registers, floating-point control words included, below
 * its stack pointer, stores that in *save, and goes on at `to`, where the
 * call that suspended it returns `argument`.
 */
void *kf__switch(void **save, void *to, void *argument);

/* Prepares a stack that ends at `top` to call entry(argument of the first switch). Entry must not
 * return. */
void *kf__switch_prepare(void *top, void (*entry)(void *argument));

#endif
#endif
