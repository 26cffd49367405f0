#include "tools/broker/security/principal.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum {
    MAX_GROUPS = 10, /* and the whole; ours stands around all of them */
};

/* Up to the next '/' that no backslash hides; NULL: there is none. */
static const char *take_part(const char *at, char *part, size_t size)
{
    size_t used = 0;
    for (; *at && *at != '/'; at++) {
        if (at[0] == '\\' && at[1] == '/')
            at++;
        if (used + 1 < size)
            part[used++] = *at;
    }
    part[used] = 0;
    return *at ? at + 1 : NULL;
}

/* Java's lazy repetitions, and anchors that are ours to set. */
static void translate(const char *java, char *posix, size_t size)
{
    size_t used = 0;
    for (const char *at = java; *at && used + 6 < size; at++) {
        bool lazy = at[0] == '.' && (at[1] == '*' || at[1] == '+') && at[2] == '?';
        if (!lazy) {
            posix[used++] = *at;
            continue;
        }
        const char *next = at[3] == ')' ? at + 4 : at + 3;
        if (*next && !strchr("$.[(\\^", *next))
            used += (size_t)snprintf(posix + used, size - used, "[^%c]%c", *next, at[1]);
        else
            used += (size_t)snprintf(posix + used, size - used, ".%c", at[1]);
        at += 2;
    }
    posix[used] = 0;
}

/* "RULE:pattern/replacement/[LU]"; what follows it. */
static const char *read_rule(struct kf__principal_rule *rule, const char *at)
{
    char java[KF__PRINCIPAL_BYTES], posix[2 * KF__PRINCIPAL_BYTES], whole[sizeof posix + 8];
    at = take_part(at, java, sizeof java);
    at = at ? take_part(at, rule->replacement, sizeof rule->replacement) : NULL;
    if (!at)
        return NULL;
    if (*at == 'L' || *at == 'U')
        rule->letters = *at++;
    translate(java, posix, sizeof posix);
    snprintf(whole, sizeof whole, "^(%s)$", posix);
    return regcomp(&rule->pattern, whole, REG_EXTENDED) == 0 ? at : NULL;
}

kf_err kf__principal_rules_read(struct kf__principal_rules *rules, const char *text,
                                kf_error *error)
{
    static const char blanks[] = ", \t\n";
    *rules = (struct kf__principal_rules){0};
    const char *at = text && *text ? text : "DEFAULT";
    for (at += strspn(at, blanks); *at; at += strspn(at, blanks)) {
        struct kf__principal_rule *rule = &rules->items[rules->count];
        bool room = rules->count < KF__MAX_PRINCIPAL_RULES;
        const char *after = NULL;
        if (room && strncmp(at, "DEFAULT", 7) == 0) {
            rule->is_default = true;
            after = at + 7;
        } else if (room && strncmp(at, "RULE:", 5) == 0) {
            after = read_rule(rule, at + 5);
        }
        if (after)
            rules->count++; /* it holds a pattern, which is to be freed also if nonsense follows */
        if (!after || (*after && !strchr(blanks, *after))) {
            kf__principal_rules_free(rules);
            return kf_error_set(error, KF_ERR_INVALID_ARGUMENT,
                                "ssl.principal.mapping.rules: RULE:pattern/replacement/[LU] or "
                                "DEFAULT is expected at \"%.60s\"",
                                at);
        }
        at = after;
    }
    return KF_OK;
}

void kf__principal_rules_free(struct kf__principal_rules *rules)
{
    for (int i = 0; i < rules->count; i++)
        if (!rules->items[i].is_default)
            regfree(&rules->items[i].pattern);
    rules->count = 0;
}

/* $1 of the rule is the second group: the first is ours. */
static void replace(const struct kf__principal_rule *rule, const char *subject,
                    const regmatch_t *groups, char *name, size_t size)
{
    size_t used = 0;
    for (const char *at = rule->replacement; *at && used + 1 < size; at++) {
        if (at[0] != '$' || !isdigit((unsigned char)at[1])) {
            name[used++] = *at;
            continue;
        }
        int group = *++at - '0';
        const regmatch_t *match = &groups[group == 0 ? 0 : group + 1];
        for (regoff_t i = match->rm_so; i >= 0 && i < match->rm_eo && used + 1 < size; i++)
            name[used++] = subject[i];
    }
    name[used] = 0;
    for (char *letter = name; rule->letters && *letter; letter++)
        *letter = (char)(rule->letters == 'L' ? tolower((unsigned char)*letter)
                                              : toupper((unsigned char)*letter));
}

bool kf__principal_of(const struct kf__principal_rules *rules, const char *subject, char *principal,
                      size_t size)
{
    static const char user[] = "User:";
    memcpy(principal, user, sizeof user);
    char *name = principal + sizeof user - 1;
    for (int i = 0; i < rules->count; i++) {
        const struct kf__principal_rule *rule = &rules->items[i];
        regmatch_t groups[MAX_GROUPS + 2];
        if (rule->is_default) {
            snprintf(name, size - sizeof user + 1, "%s", subject);
            return true;
        }
        if (regexec(&rule->pattern, subject, MAX_GROUPS + 2, groups, 0) != 0)
            continue;
        replace(rule, subject, groups, name, size - sizeof user + 1);
        return true;
    }
    return false;
}
