/* snapshot_settings: configs, ACLs, quotas, SCRAM users, features; see snapshot.h. */
#include "tools/broker/instrument/snapshot.h"

/* ---- configs: a flat list of what was set ---- */

struct setting {
    int64_t resource;
    kf_string name, key, value;
};

static void archive_setting(struct kf__archive *archive, struct setting *one)
{
    one->resource = kf__archive_number(archive, one->resource);
    kf__archive_text(archive, &one->name);
    kf__archive_text(archive, &one->key);
    kf__archive_text(archive, &one->value);
}

static void read_setting(struct kf__archive *archive, struct kf__configs *configs)
{
    struct setting one = {0};
    archive_setting(archive, &one);
    if (!archive->err && one.name.data && one.key.data && one.value.data)
        kf__archive_fail(
            archive, kf__configs_set(configs, (int8_t)one.resource, one.name, one.key, one.value));
    kf__text_free(archive->alloc, &one.name);
    kf__text_free(archive->alloc, &one.key);
    kf__text_free(archive->alloc, &one.value);
}

static void write_resource(struct kf__archive *archive, const struct kf__config_resource *resource)
{
    for (size_t i = 0; i < resource->count; i++) {
        struct setting one = {resource->type, resource->name, resource->items[i].name,
                              resource->items[i].value};
        archive_setting(archive, &one);
    }
}

void kf__archive_configs(struct kf__archive *archive, struct kf__configs *configs)
{
    bool reads = kf__archive_reads(archive);
    size_t count = 0;
    for (size_t i = 0; !reads && i < configs->count; i++)
        if (configs->items[i].type != KF__RESOURCE_STATIC)
            count += configs->items[i].count;
    count = kf__archive_count(archive, count);
    for (size_t i = 0; reads && i < count && !archive->err; i++)
        read_setting(archive, configs);
    for (size_t i = 0; !reads && i < configs->count; i++)
        if (configs->items[i].type != KF__RESOURCE_STATIC)
            write_resource(archive, &configs->items[i]);
}

/* ---- ACLs ---- */

static void archive_acl(struct kf__archive *archive, struct kf__acl *one)
{
    kf__archive_text(archive, &one->name);
    kf__archive_text(archive, &one->principal);
    kf__archive_text(archive, &one->host);
    one->resource = (int8_t)kf__archive_number(archive, one->resource);
    one->pattern = (int8_t)kf__archive_number(archive, one->pattern);
    one->operation = (int8_t)kf__archive_number(archive, one->operation);
    one->permission = (int8_t)kf__archive_number(archive, one->permission);
}

void kf__archive_acls(struct kf__archive *archive, struct kf__acls *acls)
{
    size_t count = kf__archive_count(archive, acls->count);
    for (size_t i = 0; i < count && !archive->err; i++) {
        if (!kf__archive_reads(archive)) {
            archive_acl(archive, &acls->items[i]);
            continue;
        }
        struct kf__acl one = {0};
        archive_acl(archive, &one);
        if (!archive->err && one.name.data && one.principal.data && one.host.data)
            kf__archive_fail(archive, kf__acls_add(acls, &one));
        kf__text_free(archive->alloc, &one.name);
        kf__text_free(archive->alloc, &one.principal);
        kf__text_free(archive->alloc, &one.host);
    }
}

/* ---- quotas: the limits, not what was measured ---- */

static double archive_real(struct kf__archive *archive, double value)
{
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits = kf__archive_number(archive, bits);
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void archive_quota(struct kf__archive *archive, struct kf__quota *one)
{
    for (int part = 0; part < KF__QUOTA_PARTS; part++) {
        one->entity.has[part] = kf__archive_number(archive, one->entity.has[part]) != 0;
        kf__archive_text(archive, &one->entity.names[part]);
    }
    for (int key = 0; key < KF__QUOTA_KEYS; key++) {
        one->set[key] = kf__archive_number(archive, one->set[key]) != 0;
        one->values[key] = archive_real(archive, one->values[key]);
    }
}

static void read_quota(struct kf__archive *archive, struct kf__quotas *quotas)
{
    struct kf__quota one = {0};
    archive_quota(archive, &one);
    for (int key = 0; key < KF__QUOTA_KEYS && !archive->err; key++)
        if (one.set[key])
            kf__archive_fail(archive, kf__quotas_set(quotas, &one.entity, (enum kf__quota_key)key,
                                                     &one.values[key]));
    for (int part = 0; part < KF__QUOTA_PARTS; part++)
        kf__text_free(archive->alloc, &one.entity.names[part]);
}

void kf__archive_quotas(struct kf__archive *archive, struct kf__quotas *quotas)
{
    size_t count = kf__archive_count(archive, quotas->count);
    for (size_t i = 0; i < count && !archive->err; i++) {
        if (kf__archive_reads(archive))
            read_quota(archive, quotas);
        else
            archive_quota(archive, &quotas->items[i]);
    }
}

/* ---- SCRAM users ---- */

static void archive_key(struct kf__archive *archive, uint8_t key[KF__DIGEST_MAX])
{
    kf_bytes view = kf__archive_view(archive, (kf_bytes){key, KF__DIGEST_MAX});
    if (!archive->err && view.size != KF__DIGEST_MAX)
        kf__archive_fail(archive, KF_ERR_CORRUPT_MESSAGE);
    if (!archive->err && view.data != key)
        memcpy(key, view.data, KF__DIGEST_MAX);
}

/* Iterations 0: none of this digest. Reading, the salt borrows. */
static void archive_credential(struct kf__archive *archive, struct kf__credential *one)
{
    int64_t iterations = kf__archive_number(archive, one->iterations);
    if (iterations < 0 || iterations > KF__USER_MAX_ITERATIONS)
        kf__archive_fail(archive, KF_ERR_CORRUPT_MESSAGE);
    one->iterations = (int32_t)iterations;
    if (iterations == 0)
        return;
    one->salt = kf__archive_view(archive, one->salt);
    archive_key(archive, one->stored);
    archive_key(archive, one->server);
}

static void read_user(struct kf__archive *archive, struct kf__users *users)
{
    kf_string name = {0};
    kf__archive_text(archive, &name);
    struct kf__user *user = archive->err || !name.data ? NULL : kf__users_put(users, name);
    if (!archive->err && !user)
        kf__archive_fail(archive, name.data ? KF_ERR_NO_MEMORY : KF_ERR_CORRUPT_MESSAGE);
    kf__text_free(archive->alloc, &name);
    for (int digest = 0; digest < KF__USER_DIGESTS && !archive->err; digest++) {
        struct kf__credential one = {0};
        archive_credential(archive, &one);
        if (!archive->err && one.iterations > 0)
            kf__archive_fail(archive, kf__user_keep(users, user, (enum kf__digest)digest, &one));
        kf__wipe(&one, sizeof one);
    }
}

void kf__archive_users(struct kf__archive *archive, struct kf__users *users)
{
    size_t count = kf__archive_count(archive, (size_t)users->count);
    for (size_t i = 0; i < count && !archive->err; i++) {
        if (kf__archive_reads(archive)) {
            read_user(archive, users);
            continue;
        }
        kf__archive_text(archive, &users->items[i]->name);
        for (int digest = 0; digest < KF__USER_DIGESTS; digest++)
            archive_credential(archive, &users->items[i]->credentials[digest]);
    }
}

/* ---- features: a level that this release doesn't know is left out ---- */

void kf__archive_features(struct kf__archive *archive, struct kf__features *features)
{
    bool reads = kf__archive_reads(archive);
    size_t count = kf__archive_count(archive, features->count);
    for (size_t i = 0; i < count && !archive->err; i++) {
        kf_string name = reads ? (kf_string){0} : kf__text(features->items[i].name);
        kf__archive_text(archive, &name);
        int64_t level = kf__archive_number(archive, reads ? 0 : features->items[i].level);
        if (reads && !archive->err && name.data && level >= 0 && level <= INT16_MAX)
            kf__feature_set(features, name, (int16_t)level);
        if (reads)
            kf__text_free(archive->alloc, &name);
    }
    features->epoch = kf__archive_number(archive, features->epoch);
}
