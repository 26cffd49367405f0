/* users: see users.h. */
#include "tools/broker/admin/users.h"

enum {
    SALT_BYTES = 16,
};

static void free_password(const kf_allocator *alloc, struct kf__user *user)
{
    kf__free_secret(alloc, (void *)(uintptr_t)user->password.data, user->password.size);
    user->password = (kf_string){0};
}

static void drop_credential(const kf_allocator *alloc, struct kf__credential *credential)
{
    kf__bytes_free(alloc, &credential->salt);
    kf__wipe(credential, sizeof *credential);
}

static void free_user(const kf_allocator *alloc, struct kf__user *user)
{
    for (int i = 0; i < KF__USER_DIGESTS; i++)
        drop_credential(alloc, &user->credentials[i]);
    free_password(alloc, user);
    kf__text_free(alloc, &user->name);
    kf_free(alloc, user);
}

void kf__users_init(struct kf__users *users, const kf_allocator *alloc)
{
    *users = (struct kf__users){.alloc = alloc};
}

void kf__users_free(struct kf__users *users)
{
    for (int32_t i = 0; i < users->count; i++)
        free_user(users->alloc, users->items[i]);
    kf_free(users->alloc, users->items);
    *users = (struct kf__users){.alloc = users->alloc};
}

/* The first place whose name is not smaller. */
static int32_t place_of(const struct kf__users *users, kf_string name)
{
    int32_t low = 0, high = users->count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (kf__text_compare(users->items[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct kf__user *kf__users_find(const struct kf__users *users, kf_string name)
{
    int32_t at = place_of(users, name);
    bool there = at < users->count && kf__text_compare(users->items[at]->name, name) == 0;
    return there ? users->items[at] : NULL;
}

struct kf__user *kf__users_put(struct kf__users *users, kf_string name)
{
    struct kf__user *user = kf__users_find(users, name);
    if (user)
        return user;
    size_t bytes = ((size_t)users->count + 1) * sizeof(struct kf__user *);
    struct kf__user **items = kf_realloc(users->alloc, users->items, bytes);
    if (!items)
        return NULL;
    users->items = items;
    user = kf_alloc_zero(users->alloc, sizeof *user);
    if (!user || kf__text_copy(users->alloc, name, &user->name)) {
        kf_free(users->alloc, user);
        return NULL;
    }
    int32_t at = place_of(users, name);
    memmove(items + at + 1, items + at, (size_t)(users->count - at) * sizeof *items);
    items[at] = user;
    users->count++;
    return user;
}

/* The user is made, where there is none, when nothing else can fail. */
static kf_err put_credential(struct kf__users *users, kf_string name, enum kf__digest digest,
                             int32_t iterations, kf_bytes salt, const uint8_t *salted)
{
    struct kf__scram_keys keys;
    kf_bytes copy;
    kf_err err = kf__bytes_copy(users->alloc, salt, &copy);
    if (err)
        return err;
    err = kf__scram_derive(digest, salted, &keys);
    struct kf__user *user = err ? NULL : kf__users_put(users, name);
    if (!user) {
        kf__bytes_free(users->alloc, &copy);
        kf__wipe(&keys, sizeof keys);
        return err ? err : KF_ERR_NO_MEMORY;
    }
    struct kf__credential *credential = &user->credentials[digest];
    drop_credential(users->alloc, credential);
    credential->iterations = iterations;
    credential->salt = copy;
    memcpy(credential->stored, keys.stored, sizeof keys.stored);
    memcpy(credential->server, keys.server, sizeof keys.server);
    kf__wipe(&keys, sizeof keys);
    return KF_OK;
}

static kf_err put_password(struct kf__users *users, kf_string name, enum kf__digest digest,
                           kf_string password)
{
    uint8_t salt[SALT_BYTES], salted[KF__DIGEST_MAX];
    kf_bytes bytes = {(const uint8_t *)password.data, password.size};
    kf_err err = kf__random_secret(salt, sizeof salt);
    if (!err)
        err = kf__pbkdf2(digest, bytes, (kf_bytes){salt, sizeof salt}, KF__USER_ITERATIONS, salted);
    if (!err)
        err = put_credential(users, name, digest, KF__USER_ITERATIONS,
                             (kf_bytes){salt, sizeof salt}, salted);
    kf__wipe(salted, sizeof salted);
    return err;
}

kf_err kf__users_set_password(struct kf__users *users, kf_string name, kf_string password)
{
    struct kf__user *user = kf__users_put(users, name);
    kf_string copy;
    if (!user || kf__text_copy(users->alloc, password, &copy))
        return KF_ERR_NO_MEMORY;
    free_password(users->alloc, user);
    user->password = copy;
    if (!kf__has_crypto())
        return KF_OK;
    kf_err err = put_password(users, name, KF__SHA256, password);
    return err ? err : put_password(users, name, KF__SHA512, password);
}

kf_err kf__users_set_scram(struct kf__users *users, kf_string name, enum kf__digest digest,
                           int32_t iterations, kf_bytes salt, kf_bytes salted_password)
{
    uint8_t salted[KF__DIGEST_MAX] = {0}; /* as a key it is the same with zeros behind it */
    if (salted_password.size > kf__digest_size(digest))
        return KF_ERR_UNACCEPTABLE_CREDENTIAL;
    if (salted_password.size > 0)
        memcpy(salted, salted_password.data, salted_password.size);
    kf_err err = put_credential(users, name, digest, iterations, salt, salted);
    kf__wipe(salted, sizeof salted);
    return err;
}

kf_err kf__users_remove_scram(struct kf__users *users, kf_string name, enum kf__digest digest)
{
    struct kf__user *user = kf__users_find(users, name);
    if (!user || !user->credentials[digest].iterations)
        return KF_ERR_RESOURCE_NOT_FOUND;
    drop_credential(users->alloc, &user->credentials[digest]);
    return KF_OK;
}

kf_err kf__user_keep(const struct kf__users *users, struct kf__user *user, enum kf__digest digest,
                     const struct kf__credential *credential)
{
    kf_bytes salt;
    kf_err err = kf__bytes_copy(users->alloc, credential->salt, &salt);
    if (err)
        return err;
    drop_credential(users->alloc, &user->credentials[digest]);
    user->credentials[digest] = *credential;
    user->credentials[digest].salt = salt;
    return KF_OK;
}

static kf_err adopt(struct kf__users *users, const struct kf__user *from)
{
    kf_string password;
    struct kf__user *user = kf__users_put(users, from->name);
    if (!user || kf__text_copy(users->alloc, from->password, &password))
        return KF_ERR_NO_MEMORY;
    free_password(users->alloc, user);
    user->password = password;
    kf_err err = KF_OK;
    for (int digest = 0; digest < KF__USER_DIGESTS && !err; digest++)
        if (!user->credentials[digest].iterations && from->credentials[digest].iterations)
            err = kf__user_keep(users, user, (enum kf__digest)digest, &from->credentials[digest]);
    return err;
}

kf_err kf__users_adopt(struct kf__users *users, const struct kf__users *from)
{
    kf_err err = KF_OK;
    for (int32_t i = 0; i < from->count && !err; i++)
        if (from->items[i]->password.data)
            err = adopt(users, from->items[i]);
    return err;
}
