/*
 * topic_regex: regular expressions over topic names (KIP-848): a subset of
 * RE2's syntax, matched in time linear in the name: all states at once, never
 * back. A name has to match as a whole.
 *
 *     x  .  [a-z]  [^a-z]  [[:digit:]]  \d \D \w \W \s \S      one letter
 *     xy  x|y  (x)  (?:x)  (?P<name>x)  (?i)  (?i:x)           put together
 *     x*  x+  x?  x{2}  x{2,}  x{2,5}, each also lazy          again
 *     ^  $  \A  \z  \b  \B                                     places
 *     \.  \Q…\E  \n \t …  \x41  \x{41}  \101                   letters spelled out
 *
 * Not there: \p{Greek}, \C. Letters beyond ASCII parse and match nothing: no
 * topic's name has any. Pure. Called by consumer_regexes.c.
 */
#ifndef KF_BROKER_TOPIC_REGEX_H
#define KF_BROKER_TOPIC_REGEX_H

#include <kafiber/alloc.h>
#include <kafiber/error.h>
#include <kafiber/types.h>
#include <stdbool.h>

enum {
    KF__REGEX_MAX_STATES = 20000, /* of one expression, repetitions written out */
    KF__REGEX_MAX_REPEAT = 1000,  /* RE2's */
    KF__REGEX_MAX_DEPTH = 200,    /* of parentheses in each other */
};

struct kf__regex;

/* INVALID_REGULAR_EXPRESSION: *why are RE2's words (static). *regex is the caller's to free. */
kf_err kf__regex_compile(const kf_allocator *alloc, kf_string text, struct kf__regex **regex,
                         const char **why);
void kf__regex_free(struct kf__regex *regex);

/*
 * Does all of the name match? Takes what it costs from *steps; where they are
 * used up, nothing matches any more.
 */
bool kf__regex_matches(struct kf__regex *regex, kf_string name, int64_t *steps);

#endif
