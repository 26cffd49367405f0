/*
 * principal: who a client is: "User:ANONYMOUS", or its certificate's subject
 * as ssl.principal.mapping.rules maps it (KIP-371).
 *
 *   RULE:^CN=(.*?),OU=Staff.*$/$1/L,DEFAULT
 *
 * The patterns are POSIX extended regular expressions; Java's lazy ".*?" in
 * front of a letter is read as "anything but that letter".
 */
#ifndef KF_BROKER_PRINCIPAL_H
#define KF_BROKER_PRINCIPAL_H

#include <kafiber/error.h>
#include <regex.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    KF__MAX_PRINCIPAL_RULES = 16,
    KF__PRINCIPAL_BYTES = 256,
};

#define KF__ANONYMOUS "User:ANONYMOUS"

struct kf__principal_rule {
    bool is_default;
    regex_t pattern;
    char replacement[KF__PRINCIPAL_BYTES];
    char letters; /* 'L', 'U' or 0 */
};

struct kf__principal_rules {
    struct kf__principal_rule items[KF__MAX_PRINCIPAL_RULES];
    int count;
};

/* NULL or empty: DEFAULT. KF_ERR_INVALID_ARGUMENT with a sentence. */
kf_err kf__principal_rules_read(struct kf__principal_rules *rules, const char *text,
                                kf_error *error);
void kf__principal_rules_free(struct kf__principal_rules *rules);
/* "User:" and the mapped name; false where no rule fits. `size` is KF__PRINCIPAL_BYTES or more. */
bool kf__principal_of(const struct kf__principal_rules *rules, const char *subject, char *principal,
                      size_t size);

#endif
