/*
 * switch: how a fresh stack looks to the assembly, and the whole switch by
 * ucontext where there is no assembly.
 */
#include "runtime/fiber/switch.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef KF__SWITCH_ASSEMBLY

void kf__switch_bottom(void);

#if defined(__x86_64__)

struct frame {
    uint32_t mxcsr;
    uint16_t x87_control;
    uint16_t unused;
    uint64_t r15, r14, r13, r12, rbx, rbp;
    uint64_t return_address;
    uint64_t end[2]; /* keeps the stack aligned to 16 at the entry's call */
};

static void fill(struct frame *frame, uint64_t entry)
{
    frame->mxcsr = 0x1f80; /* what a new process has: round to nearest, exceptions masked */
    frame->x87_control = 0x037f;
    frame->rbx = entry;
    frame->return_address = (uint64_t)(uintptr_t)kf__switch_bottom;
}

#else

struct frame {
    uint64_t x19_to_x28[10];
    uint64_t x29, x30;
    uint64_t d8_to_d15[8];
    uint64_t fpcr;
    uint64_t unused;
};

static void fill(struct frame *frame, uint64_t entry)
{
    frame->x19_to_x28[0] = entry;
    frame->x30 = (uint64_t)(uintptr_t)kf__switch_bottom;
}

#endif

void *kf__switch_prepare(void *top, void (*entry)(void *argument))
{
    struct frame frame;
    memset(&frame, 0, sizeof frame);
    fill(&frame, (uint64_t)(uintptr_t)entry);
    uint8_t *sp = (uint8_t *)top - sizeof frame;
    memcpy(sp, &frame, sizeof frame);
    return sp;
}

#else /* ucontext */

#include <stdlib.h>
#if defined(__linux__) && !defined(__GLIBC__) && !defined(__UCLIBC__)
#error "this C library has no ucontext: kafiber switches stacks itself only on x86-64 and aarch64"
#endif
#include <ucontext.h>

/* Lives on the stack that it describes. */
struct saved {
    ucontext_t context;
    void *argument;
    void (*entry)(void *argument);
};

void *kf__switch(void **save, void *to, void *argument)
{
    struct saved here;
    struct saved *there = to;
    *save = &here;
    there->argument = argument;
    swapcontext(&here.context, &there->context);
    return here.argument;
}

/* makecontext hands over ints only. */
static void begin(unsigned high, unsigned low)
{
    struct saved *self = (struct saved *)(uintptr_t)((uint64_t)high << 32 | low);
    self->entry(self->argument);
    abort();
}

void *kf__switch_prepare(void *top, void (*entry)(void *argument))
{
    enum {
        ROOM = (sizeof(struct saved) + 63) / 64 * 64,
        LEAST_STACK = 8192 /* makecontext only looks at its upper end */
    };
    struct saved *self = (void *)((uint8_t *)top - ROOM);
    memset(self, 0, sizeof *self);
    getcontext(&self->context);
    self->entry = entry;
    self->context.uc_stack.ss_sp = (uint8_t *)self - LEAST_STACK;
    self->context.uc_stack.ss_size = LEAST_STACK;
    uint64_t address = (uint64_t)(uintptr_t)self;
    makecontext(&self->context, (void (*)(void))begin, 2, (unsigned)(address >> 32),
                (unsigned)address);
    return self;
}

#endif
