/*
 * switch, aarch64 (AAPCS64): the callee-saved registers, the low halves of
 * v8 to v15 and FPCR. See switch.h; the layout is known to switch.c.
 *
 *   sp+0 x19…x28   sp+80 x29 x30   sp+96 d8…d15   sp+160 FPCR
 *
 * Marked for BTI.
 */
#include "runtime/fiber/switch.h"

#if defined(KF__SWITCH_ASSEMBLY) && defined(__aarch64__)
    .text
    .globl  kf__switch
    .hidden kf__switch
    .type   kf__switch, %function
    .p2align 4
kf__switch:
    .cfi_startproc
    hint    #34         /* bti c */
    sub     sp, sp, #176
    .cfi_adjust_cfa_offset 176
    stp     x19, x20, [sp, #0]
    stp     x21, x22, [sp, #16]
    stp     x23, x24, [sp, #32]
    stp     x25, x26, [sp, #48]
    stp     x27, x28, [sp, #64]
    stp     x29, x30, [sp, #80]
    stp     d8, d9, [sp, #96]
    stp     d10, d11, [sp, #112]
    stp     d12, d13, [sp, #128]
    stp     d14, d15, [sp, #144]
    .cfi_rel_offset x19, 0
    .cfi_rel_offset x20, 8
    .cfi_rel_offset x21, 16
    .cfi_rel_offset x22, 24
    .cfi_rel_offset x23, 32
    .cfi_rel_offset x24, 40
    .cfi_rel_offset x25, 48
    .cfi_rel_offset x26, 56
    .cfi_rel_offset x27, 64
    .cfi_rel_offset x28, 72
    .cfi_rel_offset x29, 80
    .cfi_rel_offset x30, 88
    mrs     x9, fpcr
    str     x9, [sp, #160]

    /* From here on the same offsets describe the other stack. */
    mov     x10, sp
    str     x10, [x0]
    mov     sp, x1

    /* Writing FPCR is slow, and it rarely differs. */
    ldr     x10, [sp, #160]
    cmp     x9, x10
    b.eq    1f
    msr     fpcr, x10
1:  ldp     x19, x20, [sp, #0]
    ldp     x21, x22, [sp, #16]
    ldp     x23, x24, [sp, #32]
    ldp     x25, x26, [sp, #48]
    ldp     x27, x28, [sp, #64]
    ldp     x29, x30, [sp, #80]
    ldp     d8, d9, [sp, #96]
    ldp     d10, d11, [sp, #112]
    ldp     d12, d13, [sp, #128]
    ldp     d14, d15, [sp, #144]
    add     sp, sp, #176
    .cfi_adjust_cfa_offset -176
    .cfi_restore x19
    .cfi_restore x20
    .cfi_restore x21
    .cfi_restore x22
    .cfi_restore x23
    .cfi_restore x24
    .cfi_restore x25
    .cfi_restore x26
    .cfi_restore x27
    .cfi_restore x28
    .cfi_restore x29
    .cfi_restore x30
    mov     x0, x2
    ret
    .cfi_endproc
    .size   kf__switch, . - kf__switch

/* The bottom of every fiber: a debugger's way ends here. x0 is the argument already. */
    .globl  kf__switch_bottom
    .hidden kf__switch_bottom
    .type   kf__switch_bottom, %function
    .p2align 4
    .cfi_startproc
    .cfi_undefined x30
    nop     /* who looks for a return address minus one finds this function */
kf__switch_bottom:
    hint    #36         /* bti j */
    mov     x29, xzr
    blr     x19
    brk     #1
    .cfi_endproc
    .size   kf__switch_bottom, . - kf__switch_bottom

    .section .note.gnu.property, "a"
    .p2align 3
    .long   4           /* name size */
    .long   16          /* description size */
    .long   5           /* NT_GNU_PROPERTY_TYPE_0 */
    .asciz  "GNU"
    .long   0xc0000000  /* GNU_PROPERTY_AARCH64_FEATURE_1_AND */
    .long   4
    .long   1           /* BTI */
    .long   0
#endif

#if defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
