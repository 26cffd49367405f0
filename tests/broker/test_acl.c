#include "tools/broker/admin/acl.h"
#include "tools/broker/text.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static struct kf__acls acls;

static void open_acls(void)
{
    kf__acls_init(&acls, &kf_default_allocator);
    acls.enforced = true;
}

static void close_acls(void) { kf__acls_free(&acls); }

TestSuite(acl, .init = open_acls, .fini = close_acls);

static void add(int8_t permission, const char *principal, int8_t operation, int8_t resource,
                int8_t pattern, const char *name)
{
    struct kf__acl acl = {.name = kf__text(name),
                          .principal = kf__text(principal),
                          .host = kf__text("*"),
                          .resource = resource,
                          .pattern = pattern,
                          .operation = operation,
                          .permission = permission};
    cr_assert(eq(int, kf__acls_add(&acls, &acl), KF_OK));
}

static bool may(const char *principal, int8_t operation, const char *topic)
{
    struct kf__acl_caller caller = {.principal = kf__text(principal), .host = kf__text("10.0.0.1")};
    return kf__acls_allow(&acls, caller, operation, KF__ACL_TOPIC, kf__text(topic));
}

static bool may_some(const char *principal, int8_t operation)
{
    struct kf__acl_caller caller = {.principal = kf__text(principal), .host = kf__text("10.0.0.1")};
    return kf__acls_allow_some(&acls, caller, operation, KF__ACL_TOPIC);
}

enum {
    TOPIC = KF__ACL_TOPIC,
    LITERAL = KF__ACL_LITERAL,
    PREFIXED = KF__ACL_PREFIXED,
    ALLOW = KF__ACL_ALLOW,
    DENY = KF__ACL_DENY,
    READ = KF__ACL_READ,
    WRITE = KF__ACL_WRITE,
    DESCRIBE = KF__ACL_DESCRIBE,
};

Test(acl, nothing_is_allowed_without_an_entry)
{
    cr_assert(not(may("User:bob", READ, "orders")));
    acls.allow_if_none = true;
    cr_assert(may("User:bob", READ, "orders"));
    add(ALLOW, "User:al", READ, TOPIC, LITERAL, "orders");
    cr_assert(not(may("User:bob", READ, "orders"))); /* there is one for it now */
    cr_assert(may("User:bob", READ, "others"));
    acls.enforced = false;
    cr_assert(may("User:bob", READ, "orders"));
}

Test(acl, names_match_literally_by_prefix_and_all)
{
    add(ALLOW, "User:bob", READ, TOPIC, LITERAL, "orders");
    add(ALLOW, "User:bob", WRITE, TOPIC, PREFIXED, "or");
    add(ALLOW, "User:al", READ, TOPIC, LITERAL, "*");
    cr_assert(may("User:bob", READ, "orders"));
    cr_assert(not(may("User:bob", READ, "orders2")));
    cr_assert(may("User:bob", WRITE, "orders2"));
    cr_assert(not(may("User:bob", WRITE, "o")));
    cr_assert(may("User:al", READ, "anything"));
    cr_assert(not(may("User:al", WRITE, "anything")));
}

Test(acl, a_deny_wins_whatever_else_is_allowed)
{
    add(ALLOW, "User:*", KF__ACL_ALL, TOPIC, LITERAL, "*");
    add(DENY, "User:bob", READ, TOPIC, PREFIXED, "secret");
    cr_assert(may("User:bob", READ, "orders"));
    cr_assert(not(may("User:bob", READ, "secret-1")));
    cr_assert(may("User:bob", DESCRIBE, "secret-1")); /* a DENY implies nothing more */
    cr_assert(may("User:al", READ, "secret-1"));
    acls.super_users = "User:al;User:bob";
    cr_assert(may("User:bob", READ, "secret-1"));
    acls.super_users = "User:al;User:bobby";
    cr_assert(not(may("User:bob", READ, "secret-1")));
}

Test(acl, what_is_allowed_implies_describing)
{
    static const int8_t implying[] = {KF__ACL_READ, KF__ACL_WRITE, KF__ACL_DELETE, KF__ACL_ALTER};
    for (size_t i = 0; i < sizeof implying; i++) {
        add(ALLOW, "User:bob", implying[i], TOPIC, LITERAL, "orders");
        cr_assert(may("User:bob", DESCRIBE, "orders"));
        cr_assert(not(may("User:bob", KF__ACL_DESCRIBE_CONFIGS, "orders")));
        kf__acls_remove_marked(&acls, (const bool[]){true});
    }
    add(ALLOW, "User:bob", KF__ACL_ALTER_CONFIGS, TOPIC, LITERAL, "orders");
    cr_assert(may("User:bob", KF__ACL_DESCRIBE_CONFIGS, "orders"));
    cr_assert(not(may("User:bob", DESCRIBE, "orders")));
}

Test(acl, hosts_count)
{
    struct kf__acl acl = {.name = kf__text("orders"),
                          .principal = kf__text("User:bob"),
                          .host = kf__text("10.0.0.2"),
                          .resource = TOPIC,
                          .pattern = LITERAL,
                          .operation = READ,
                          .permission = ALLOW};
    cr_assert(eq(int, kf__acls_add(&acls, &acl), KF_OK));
    cr_assert(not(may("User:bob", READ, "orders")));
    acl.host = kf__text("10.0.0.1");
    cr_assert(eq(int, kf__acls_add(&acls, &acl), KF_OK));
    cr_assert(may("User:bob", READ, "orders"));
}

Test(acl, knows_whether_there_is_any_topic)
{
    cr_assert(not(may_some("User:bob", WRITE)));
    add(ALLOW, "User:bob", WRITE, TOPIC, PREFIXED, "or");
    cr_assert(may_some("User:bob", WRITE));
    add(DENY, "User:bob", WRITE, TOPIC, PREFIXED, "o");
    cr_assert(not(may_some("User:bob", WRITE)));
    add(ALLOW, "User:bob", WRITE, TOPIC, LITERAL, "x");
    cr_assert(may_some("User:bob", WRITE));
    add(DENY, "User:*", WRITE, TOPIC, LITERAL, "*");
    cr_assert(not(may_some("User:bob", WRITE)));
}

Test(acl, an_entry_is_kept_once)
{
    add(ALLOW, "User:bob", WRITE, TOPIC, LITERAL, "a");
    add(ALLOW, "User:bob", WRITE, TOPIC, LITERAL, "a");
    add(ALLOW, "User:bob", READ, TOPIC, LITERAL, "a");
    cr_assert(eq(sz, acls.count, 2));
}

Test(acl, a_filter_matches_what_applies_to_a_name)
{
    struct kf__acl filter = {.resource = KF__ACL_ANY_RESOURCE,
                             .name = kf__text("orders"),
                             .pattern = KF__ACL_MATCH,
                             .operation = KF__ACL_ANY,
                             .permission = KF__ACL_ANY_PERMISSION};
    add(ALLOW, "User:bob", READ, TOPIC, LITERAL, "orders");
    add(ALLOW, "User:bob", READ, TOPIC, PREFIXED, "or");
    add(ALLOW, "User:bob", READ, TOPIC, LITERAL, "*");
    add(ALLOW, "User:bob", READ, TOPIC, LITERAL, "or");
    size_t fitting = 0;
    for (size_t i = 0; i < acls.count; i++)
        fitting += kf__acl_fits(&filter, &acls.items[i]);
    cr_assert(eq(sz, fitting, 3));
    filter.pattern = LITERAL;
    fitting = 0;
    for (size_t i = 0; i < acls.count; i++)
        fitting += kf__acl_fits(&filter, &acls.items[i]);
    cr_assert(eq(sz, fitting, 1));
}
