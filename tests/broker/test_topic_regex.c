#include "tools/broker/group/topic_regex.h"

#include "tools/broker/text.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <time.h>

TestSuite(topic_regex, .timeout = 60);

static bool matches(const char *pattern, const char *name)
{
    struct kf__regex *regex = NULL;
    const char *why = NULL;
    int64_t steps = 1000000;
    kf_err err = kf__regex_compile(&kf_default_allocator, kf__text(pattern), &regex, &why);
    cr_assert(eq(int, err, KF_OK), "%s: %s", pattern, why);
    bool found = kf__regex_matches(regex, kf__text(name), &steps);
    kf__regex_free(regex);
    return found;
}

static const char *why_not(const char *pattern)
{
    struct kf__regex *regex = NULL;
    const char *why = NULL;
    kf_err err = kf__regex_compile(&kf_default_allocator, kf__text(pattern), &regex, &why);
    cr_assert(eq(int, err, KF_ERR_INVALID_REGULAR_EXPRESSION), "%s", pattern);
    cr_assert(regex == NULL);
    return why;
}

Test(topic_regex, matches_a_name_as_a_whole)
{
    static const struct {
        const char *pattern, *name;
        bool matches;
    } rows[] = {
        {"orders", "orders", true},
        {"orders", "orders-eu", false},
        {"orders.*", "orders-eu", true},
        {".*", "a", true},
        {"", "a", false},
        {"a|b|cd", "cd", true},
        {"a|b|cd", "ab", false},
        {"(a|b)+", "abba", true},
        {"(a|)b", "b", true},
        {"a||b", "b", true},
        {"[a-c]+-[^0-9]", "abc-x", true},
        {"[a-c]+-[^0-9]", "abc-1", false},
        {"[]a]", "a", true},
        {"[a-]+", "a-a", true},
        {"[[:alpha:]]+[[:^digit:]]", "ab_", true},
        {"[[:word:].]+", "a.B_9", true},
        {"\\w+\\.\\d{3}", "log.123", true},
        {"\\w+\\.\\d{3}", "log.12", false},
        {"[\\d-]+", "1-2", true},
        {"a{2,4}", "aaa", true},
        {"a{2,4}", "aaaaa", false},
        {"a{2,}", "aaaaa", true},
        {"a{0}b", "b", true},
        {"a{,2}", "a{,2}", true},
        {"(ab){2}c?", "abab", true},
        {"x*?y+?z??", "yy", true},
        {"^a.c$", "abc", true},
        {"a^b", "ab", false},
        {"\\Aabc\\z", "abc", true},
        {"a\\b-\\Bc", "a-c", false},
        {"a\\b-\\bc", "a-c", true},
        {"(?i)Orders", "oRDERS", true},
        {"(?i:a)B", "AB", true},
        {"(?i:a)B", "Ab", false},
        {"(?:ab)(?P<n>c)(?<m>d)", "abcd", true},
        {"\\Qa.b\\E.", "a.bc", true},
        {"\\Qa.b\\E.", "axbc", false},
        {"\\x41\\x{42}\\103", "ABC", true},
        {"a\\.b", "axb", false},
        {"[^\xC3\xA9]", "e", true},
        {"\xC3\xA9", "e", false},
        {"((((a))))*", "aaaa", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_assert(eq(int, matches(rows[i].pattern, rows[i].name), rows[i].matches), "%s ~ %s",
                  rows[i].pattern, rows[i].name);
}

/* The words are RE2J's, which Kafka quotes: compared with a real one, tests/integration. */
Test(topic_regex, says_what_is_wrong)
{
    cr_assert(eq(str, (char *)why_not("(a"), "missing closing )"));
    cr_assert(eq(str, (char *)why_not("[a"), "missing closing ]"));
    cr_assert(eq(str, (char *)why_not("a)"), "regexp/syntax: internal error"));
    cr_assert(eq(str, (char *)why_not("a**"), "invalid nested repetition operator"));
    cr_assert(eq(str, (char *)why_not("*a"), "missing argument to repetition operator"));
    cr_assert(eq(str, (char *)why_not("a{3,2}"), "invalid repeat count"));
    cr_assert(eq(str, (char *)why_not("a{1001}"), "invalid repeat count"));
    cr_assert(eq(str, (char *)why_not("[z-a]"), "invalid character class range"));
    cr_assert(eq(str, (char *)why_not("\\p{Greek}"), "invalid character class range"));
    cr_assert(eq(str, (char *)why_not("\\y"), "invalid escape sequence"));
    cr_assert(eq(str, (char *)why_not("a\\"), "trailing backslash at end of expression"));
    cr_assert(eq(str, (char *)why_not("(?z)"), "invalid or unsupported Perl syntax"));
    cr_assert(eq(str, (char *)why_not("(?P<n"), "invalid named capture"));
    cr_assert(eq(str, (char *)why_not("\xFF"), "invalid UTF-8"));
}

/* Backtracking would take 2^30 steps. */
Test(topic_regex, takes_time_linear_in_the_name)
{
    char name[201], pattern[400] = "";
    memset(name, 'a', 200);
    name[200] = 0;
    cr_assert(eq(int, matches("(a*)*b", name), false));
    cr_assert(eq(int, matches("(a|aa)+", name), true));
    for (int i = 0; i < 30; i++)
        strcat(pattern, "a?");
    for (int i = 0; i < 30; i++)
        strcat(pattern, "a");
    name[30] = 0;
    cr_assert(eq(int, matches(pattern, name), true));
}

Test(topic_regex, refuses_to_grow_without_bounds)
{
    char pattern[1024];
    size_t used = 0;
    cr_assert(eq(str, (char *)why_not("((a{100}){100}){100}"), "invalid repeat count"));
    cr_assert(eq(str, (char *)why_not("(((a{1000})*)?){1000}"), "invalid repeat count"));
    for (; used < 300; used++)
        pattern[used] = '(';
    pattern[used] = 0;
    cr_assert(eq(str, (char *)why_not(pattern), "expression nests too deeply"));
}

Test(topic_regex, stops_matching_when_its_steps_are_used_up)
{
    struct kf__regex *regex = NULL;
    const char *why = NULL;
    int64_t steps = 1000;
    cr_assert(eq(int, kf__regex_compile(&kf_default_allocator, kf__text("(.?){900}"), &regex, &why),
                 KF_OK));
    cr_assert(eq(int, kf__regex_matches(regex, kf__text("abcdef"), &steps), false));
    cr_assert(le(i64, steps, 0));
    steps = 1000000;
    cr_assert(eq(int, kf__regex_matches(regex, kf__text("abcdef"), &steps), true));
    kf__regex_free(regex);
}
