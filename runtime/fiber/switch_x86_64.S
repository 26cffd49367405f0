/*
 * switch, x86-64 System V: the callee-saved registers, MXCSR and the x87
 * control word. See switch.h; the layout is known to switch.c.
 *
 *   sp+0 MXCSR, x87 control   sp+8 r15 r14 r13 r12 rbx rbp   sp+56 return
 *
 * Marked for IBT. Not for shadow stacks: callers return on another stack
 * than the one they were called on, so a process that links this runs
 * without them.
 */
#include "runtime/fiber/switch.h"

#if defined(KF__SWITCH_ASSEMBLY) && defined(__x86_64__)
    .text
    .globl  kf__switch
    .hidden kf__switch
    .type   kf__switch, @function
    .p2align 4
kf__switch:
    .cfi_startproc
    endbr64
    pushq   %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbp, 0
    pushq   %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbx, 0
    pushq   %r12
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r12, 0
    pushq   %r13
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r13, 0
    pushq   %r14
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r14, 0
    pushq   %r15
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r15, 0
    subq    $8, %rsp
    .cfi_adjust_cfa_offset 8
    stmxcsr (%rsp)
    fnstcw  4(%rsp)
    movl    (%rsp), %eax
    movzwl  4(%rsp), %ecx

    /* From here on the same offsets describe the other stack. */
    movq    %rsp, (%rdi)
    movq    %rsi, %rsp

    /* Loading control words is slow, and they rarely differ. MXCSR's low six bits are sticky flags,
     * which a call need not keep. */
    xorl    (%rsp), %eax
    testl   $0xffc0, %eax
    je      1f
    ldmxcsr (%rsp)
1:  cmpw    4(%rsp), %cx
    je      2f
    fldcw   4(%rsp)
2:  addq    $8, %rsp
    .cfi_adjust_cfa_offset -8
    popq    %r15
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r15
    popq    %r14
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r14
    popq    %r13
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r13
    popq    %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r12
    popq    %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbx
    popq    %rbp
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbp
    movq    %rdx, %rax
    /* A `ret` would be mispredicted each time, and those after it too. */
    popq    %rcx
    .cfi_adjust_cfa_offset -8
    .cfi_register %rip, %rcx
    notrack jmp *%rcx
    .cfi_endproc
    .size   kf__switch, . - kf__switch

/* The bottom of every fiber: a debugger's way ends here. */
    .globl  kf__switch_bottom
    .hidden kf__switch_bottom
    .type   kf__switch_bottom, @function
    .p2align 4
    .cfi_startproc
    .cfi_undefined %rip
    .cfi_undefined %rbp
    nop     /* who looks for a return address minus one finds this function */
kf__switch_bottom:
    endbr64
    movq    %rax, %rdi
    xorl    %ebp, %ebp
    callq   *%rbx
    ud2
    .cfi_endproc
    .size   kf__switch_bottom, . - kf__switch_bottom

    .section .note.gnu.property, "a"
    .p2align 3
    .long   4           /* name size */
    .long   16          /* description size */
    .long   5           /* NT_GNU_PROPERTY_TYPE_0 */
    .asciz  "GNU"
    .long   0xc0000002  /* GNU_PROPERTY_X86_FEATURE_1_AND */
    .long   4
    .long   1           /* IBT */
    .long   0
#endif

#if defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
