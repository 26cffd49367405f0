/*
 * acl: access control entries and the authorizer over them, as Kafka's
 * StandardAuthorizer decides:
 *
 *   super user ─▶ yes;  a DENY that fits ─▶ no;  an ALLOW that fits ─▶ yes;
 *   no entry for the resource ─▶ allow.everyone.if.no.acl.found;  else no
 *
 * ALLOW of READ, WRITE, DELETE or ALTER lets DESCRIBE too, and ALTER_CONFIGS
 * DESCRIBE_CONFIGS. Pure. Who asks for what: authorize.h. Called by the ACL
 * APIs, authorize.c and broker.c.
 */
#ifndef KF_BROKER_ACL_H
#define KF_BROKER_ACL_H

#include <kafiber/alloc.h>
#include <kafiber/error.h>
#include <kafiber/types.h>

/* Kafka's numbers, all three. */
enum kf__acl_resource {
    KF__ACL_ANY_RESOURCE = 1,
    KF__ACL_TOPIC = 2,
    KF__ACL_GROUP = 3,
    KF__ACL_CLUSTER = 4,
    KF__ACL_TRANSACTIONAL_ID = 5,
    KF__ACL_DELEGATION_TOKEN = 6,
    KF__ACL_USER = 7,
};

enum kf__acl_operation {
    KF__ACL_ANY = 1,
    KF__ACL_ALL = 2,
    KF__ACL_READ = 3,
    KF__ACL_WRITE = 4,
    KF__ACL_CREATE = 5,
    KF__ACL_DELETE = 6,
    KF__ACL_ALTER = 7,
    KF__ACL_DESCRIBE = 8,
    KF__ACL_CLUSTER_ACTION = 9,
    KF__ACL_DESCRIBE_CONFIGS = 10,
    KF__ACL_ALTER_CONFIGS = 11,
    KF__ACL_IDEMPOTENT_WRITE = 12,
    KF__ACL_CREATE_TOKENS = 13,
    KF__ACL_DESCRIBE_TOKENS = 14,
    KF__ACL_TWO_PHASE_COMMIT = 15,
};

enum kf__acl_pattern {
    KF__ACL_ANY_PATTERN = 1,
    KF__ACL_MATCH = 2, /* filters: whatever applies to the name */
    KF__ACL_LITERAL = 3,
    KF__ACL_PREFIXED = 4,
};

enum kf__acl_permission {
    KF__ACL_ANY_PERMISSION = 1,
    KF__ACL_DENY = 2,
    KF__ACL_ALLOW = 3,
};

/* An entry; as a filter, null texts and the ANYs fit all. */
struct kf__acl {
    kf_string name;      /* of the resource; literal "*" is every one */
    kf_string principal; /* "User:alice", "User:*" */
    kf_string host;      /* an address, or "*" */
    int8_t resource;
    int8_t pattern;
    int8_t operation;
    int8_t permission;
};

struct kf__acls {
    const kf_allocator *alloc;
    struct kf__acl *items; /* by resource, name, pattern: those of one resource stand together */
    size_t count;
    size_t capacity;
    bool enforced;           /* else everything is allowed */
    bool allow_if_none;      /* allow.everyone.if.no.acl.found */
    const char *super_users; /* "User:a;User:b"; NULL: none. Borrowed */
};

void kf__acls_init(struct kf__acls *acls, const kf_allocator *alloc);
void kf__acls_free(struct kf__acls *acls);

/* Copies; one that is there already changes nothing. */
kf_err kf__acls_add(struct kf__acls *acls, const struct kf__acl *acl);
/* A mark for each entry, in their order. */
void kf__acls_remove_marked(struct kf__acls *acls, const bool *marked);
bool kf__acl_fits(const struct kf__acl *filter, const struct kf__acl *acl);

/* Who asks, from where. */
struct kf__acl_caller {
    kf_string principal;
    kf_string host;
};

bool kf__acls_allow(const struct kf__acls *acls, struct kf__acl_caller caller, int8_t operation,
                    int8_t resource, kf_string name);
/* Is there any resource of the kind where it is allowed? */
bool kf__acls_allow_some(const struct kf__acls *acls, struct kf__acl_caller caller,
                         int8_t operation, int8_t resource);

#endif
