#include "tools/broker/admin/acl.h"

#include "tools/broker/text.h"

void kf__acls_init(struct kf__acls *acls, const kf_allocator *alloc)
{
    *acls = (struct kf__acls){.alloc = alloc};
}

static void free_acl(const kf_allocator *alloc, struct kf__acl *acl)
{
    kf__text_free(alloc, &acl->name);
    kf__text_free(alloc, &acl->principal);
    kf__text_free(alloc, &acl->host);
}

void kf__acls_free(struct kf__acls *acls)
{
    for (size_t i = 0; i < acls->count; i++)
        free_acl(acls->alloc, &acls->items[i]);
    kf_free(acls->alloc, acls->items);
    acls->items = NULL;
    acls->count = acls->capacity = 0;
}

static int compare(const struct kf__acl *a, const struct kf__acl *b)
{
    int order = a->resource - b->resource;
    if (order == 0)
        order = kf__text_compare(a->name, b->name);
    if (order == 0)
        order = a->pattern - b->pattern;
    if (order == 0)
        order = kf__text_compare(a->principal, b->principal);
    if (order == 0)
        order = kf__text_compare(a->host, b->host);
    if (order == 0)
        order = a->operation - b->operation;
    return order != 0 ? order : a->permission - b->permission;
}

static kf_err copy_acl(const kf_allocator *alloc, const struct kf__acl *from, struct kf__acl *copy)
{
    *copy = *from;
    copy->name = copy->principal = copy->host = (kf_string){0};
    kf_err err = kf__text_copy(alloc, from->name, &copy->name);
    if (!err)
        err = kf__text_copy(alloc, from->principal, &copy->principal);
    if (!err)
        err = kf__text_copy(alloc, from->host, &copy->host);
    if (err)
        free_acl(alloc, copy);
    return err;
}

kf_err kf__acls_add(struct kf__acls *acls, const struct kf__acl *acl)
{
    size_t at = 0, high = acls->count;
    while (at < high) {
        size_t middle = at + (high - at) / 2;
        if (compare(&acls->items[middle], acl) < 0)
            at = middle + 1;
        else
            high = middle;
    }
    if (at < acls->count && compare(&acls->items[at], acl) == 0)
        return KF_OK;
    if (acls->count == acls->capacity) {
        size_t capacity = acls->capacity ? acls->capacity * 2 : 8;
        struct kf__acl *items = kf_realloc(acls->alloc, acls->items, capacity * sizeof *items);
        if (!items)
            return KF_ERR_NO_MEMORY;
        acls->items = items;
        acls->capacity = capacity;
    }
    struct kf__acl copy;
    kf_err err = copy_acl(acls->alloc, acl, &copy);
    if (err)
        return err;
    memmove(acls->items + at + 1, acls->items + at, (acls->count - at) * sizeof *acls->items);
    acls->items[at] = copy;
    acls->count++;
    return KF_OK;
}

void kf__acls_remove_marked(struct kf__acls *acls, const bool *marked)
{
    size_t kept = 0;
    for (size_t i = 0; i < acls->count; i++) {
        if (marked[i])
            free_acl(acls->alloc, &acls->items[i]);
        else
            acls->items[kept++] = acls->items[i];
    }
    acls->count = kept;
}

/* ---- filters ---- */

static bool is_all(kf_string text) { return text.size == 1 && text.data[0] == '*'; }

/* Does an entry of that pattern and name apply to the resource `name`? */
static bool applies(int8_t pattern, kf_string of, kf_string name)
{
    if (pattern == KF__ACL_PREFIXED)
        return of.size <= name.size && (of.size == 0 || memcmp(of.data, name.data, of.size) == 0);
    return is_all(of) || kf__text_equal(of, name);
}

static bool fits_name(const struct kf__acl *filter, const struct kf__acl *acl)
{
    bool pattern = filter->pattern == KF__ACL_ANY_PATTERN || filter->pattern == KF__ACL_MATCH ||
                   filter->pattern == acl->pattern;
    if (!pattern || !filter->name.data)
        return pattern;
    if (filter->pattern == KF__ACL_MATCH)
        return applies(acl->pattern, acl->name, filter->name);
    return kf__text_equal(filter->name, acl->name);
}

bool kf__acl_fits(const struct kf__acl *filter, const struct kf__acl *acl)
{
    return (filter->resource == KF__ACL_ANY_RESOURCE || filter->resource == acl->resource) &&
           fits_name(filter, acl) &&
           (!filter->principal.data || kf__text_equal(filter->principal, acl->principal)) &&
           (!filter->host.data || kf__text_equal(filter->host, acl->host)) &&
           (filter->operation == KF__ACL_ANY || filter->operation == acl->operation) &&
           (filter->permission == KF__ACL_ANY_PERMISSION || filter->permission == acl->permission);
}

/* ---- decisions ---- */

static bool is_super(const struct kf__acls *acls, kf_string principal)
{
    const char *at = acls->super_users;
    while (at && *at) {
        size_t size = strcspn(at, ";");
        if (kf__text_equal((kf_string){.data = at, .size = size}, principal))
            return true;
        at += size + (at[size] == ';');
    }
    return false;
}

static bool is_about(const struct kf__acl *acl, struct kf__acl_caller caller)
{
    return (kf__text_equal(acl->principal, kf__text("User:*")) ||
            kf__text_equal(acl->principal, caller.principal)) &&
           (is_all(acl->host) || kf__text_equal(acl->host, caller.host));
}

/* Does the entry's operation speak of `operation`? What is allowed implies more than what isn't. */
static bool covers(const struct kf__acl *acl, int8_t operation)
{
    if (acl->operation == KF__ACL_ALL || acl->operation == operation)
        return true;
    if (acl->permission != KF__ACL_ALLOW)
        return false;
    switch (acl->operation) {
    case KF__ACL_READ:
    case KF__ACL_WRITE:
    case KF__ACL_DELETE:
    case KF__ACL_ALTER:
        return operation == KF__ACL_DESCRIBE;
    case KF__ACL_ALTER_CONFIGS:
        return operation == KF__ACL_DESCRIBE_CONFIGS;
    default:
        return false;
    }
}

bool kf__acls_allow(const struct kf__acls *acls, struct kf__acl_caller caller, int8_t operation,
                    int8_t resource, kf_string name)
{
    bool any = false, allowed = false;
    if (!acls->enforced || is_super(acls, caller.principal))
        return true;
    for (size_t i = 0; i < acls->count; i++) {
        const struct kf__acl *acl = &acls->items[i];
        if (acl->resource != resource || !applies(acl->pattern, acl->name, name))
            continue;
        any = true;
        if (!is_about(acl, caller) || !covers(acl, operation))
            continue;
        if (acl->permission == KF__ACL_DENY)
            return false;
        allowed = true;
    }
    return any ? allowed : acls->allow_if_none;
}

/* Does some DENY take away all that `allow` gives? */
static bool is_taken_away(const struct kf__acls *acls, struct kf__acl_caller caller,
                          int8_t operation, const struct kf__acl *allow)
{
    for (size_t i = 0; i < acls->count; i++) {
        const struct kf__acl *deny = &acls->items[i];
        if (deny->permission != KF__ACL_DENY || deny->resource != allow->resource ||
            !is_about(deny, caller) || !covers(deny, operation))
            continue;
        bool literal = deny->pattern == KF__ACL_LITERAL;
        if (literal && is_all(deny->name))
            return true;
        if (literal ? allow->pattern == KF__ACL_LITERAL && kf__text_equal(deny->name, allow->name)
                    : applies(KF__ACL_PREFIXED, deny->name, allow->name) && !is_all(allow->name))
            return true;
    }
    return false;
}

bool kf__acls_allow_some(const struct kf__acls *acls, struct kf__acl_caller caller,
                         int8_t operation, int8_t resource)
{
    if (!acls->enforced || is_super(acls, caller.principal))
        return true;
    struct kf__acl everything = {
        .resource = resource, .pattern = KF__ACL_LITERAL, .name = kf__text("*")};
    for (size_t i = 0; i < acls->count; i++) {
        const struct kf__acl *acl = &acls->items[i];
        if (acl->permission == KF__ACL_ALLOW && acl->resource == resource &&
            is_about(acl, caller) && covers(acl, operation) &&
            !is_taken_away(acls, caller, operation, acl))
            return true;
    }
    return acls->allow_if_none && !is_taken_away(acls, caller, operation, &everything);
}
