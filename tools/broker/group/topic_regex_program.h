/*
 * topic_regex_program: what an expression is compiled to: states, each of which
 * goes on at the next one unless it says else. Made by topic_regex_parse.c,
 * followed by topic_regex.c.
 */
#ifndef KF_BROKER_TOPIC_REGEX_PROGRAM_H
#define KF_BROKER_TOPIC_REGEX_PROGRAM_H

#include "tools/broker/group/topic_regex.h"

enum kf__regex_op {
    KF__REGEX_SET,   /* one letter out of a set */
    KF__REGEX_SPLIT, /* goes on at both places */
    KF__REGEX_JUMP,
    KF__REGEX_BEGIN,
    KF__REGEX_END,
    KF__REGEX_EDGE,   /* \b */
    KF__REGEX_INSIDE, /* \B */
    KF__REGEX_MATCH,
};

/* Of ASCII. */
struct kf__regex_set {
    uint64_t bits[2];
};

struct kf__regex_state {
    enum kf__regex_op op;
    int32_t next;
    int32_t other;
    struct kf__regex_set set;
};

struct kf__regex {
    const kf_allocator *alloc;
    struct kf__regex_state *states;
    int32_t count;
    int32_t capacity;
    int32_t *now, *then, *stack; /* states that are on */
    int32_t *seen;               /* the step at which each was last put on */
};

static inline bool kf__regex_has(const struct kf__regex_set *set, unsigned char c)
{
    return c < 128 && (set->bits[c / 64] >> (c % 64) & 1) != 0;
}

/* Appends the program and KF__REGEX_MATCH. INVALID_REGULAR_EXPRESSION with RE2's words. */
kf_err kf__regex_parse(struct kf__regex *regex, kf_string text, const char **why);

#endif
