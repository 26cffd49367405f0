#include "tools/broker/server/strict.h"

#include "proto/codec/frame.h"

#include <kafiber/dissect.h>

enum {
    MAX_DEPTH = 24,
    NAME_BYTES = 64,
    SHOWN_BYTES = 8, /* of the field, in hex */
};

/* Where the frames part, and the path to the field there. */
struct search {
    size_t at;
    char names[MAX_DEPTH][NAME_BYTES]; /* by depth */
    unsigned depth;                    /* of the field found */
    bool found;
    bool wants_tag; /* it is the count of tagged fields: the first of them says more */
    char tag[NAME_BYTES];
    unsigned tag_depth;
    size_t offset;
    size_t size;
};

/* "tag 0" and what is in it, or only "tag 99" where nobody knows it. */
static void note_tag(struct search *search, const kf_node *node)
{
    if (!search->wants_tag || node->kind != KF_NODE_FIELD)
        return;
    bool first = search->tag[0] == 0;
    search->wants_tag = first;
    if (first || node->depth > search->tag_depth)
        snprintf(search->tag, sizeof search->tag, "%s", node->name);
    search->tag_depth = node->depth;
}

static void visit(const kf_node *node, void *context)
{
    struct search *search = context;
    if (node->space != 0 || node->depth >= MAX_DEPTH)
        return;
    if (search->found) {
        note_tag(search, node);
        return;
    }
    snprintf(search->names[node->depth], NAME_BYTES, "%s", node->name);
    if (node->kind != KF_NODE_FIELD || search->at < node->offset ||
        search->at >= node->offset + node->size)
        return;
    search->found = true;
    search->depth = node->depth;
    search->offset = node->offset;
    search->size = node->size;
    search->wants_tag = strcmp(node->name, "_tags") == 0;
}

/* "topics[0].partitions[2].leaderEpoch", without the frame and the message around it. */
static void write_path(const struct search *search, char *path, size_t size)
{
    size_t used = 0;
    path[0] = 0;
    for (unsigned depth = 1; depth <= search->depth && used < size; depth++) {
        const char *name = search->names[depth];
        bool index = name[0] == '[';
        used += (size_t)snprintf(path + used, size - used, "%s%s", used && !index ? "." : "", name);
    }
    if (used == 0)
        snprintf(path, size, "%s", search->names[search->depth]);
    if (search->tag[0] && used < size)
        snprintf(path + used, size - used, " (%s)", search->tag);
}

static size_t first_difference(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    size_t at = KF__FRAME_SIZE_BYTES; /* the sizes may differ by what comes later */
    while (at < a_size && at < b_size && a[at] == b[at])
        at++;
    return at;
}

static void explain(const struct kf__exchange *exchange, const uint8_t *frame, size_t size,
                    size_t at, kf_error *why)
{
    struct search search = {.at = at};
    kf_dissection facts;
    char path[160], bytes[SHOWN_BYTES * 3 + 1] = "";
    size_t name_size = 0;
    const char *api = kf_api_name(exchange->api->key, &name_size);
    if (kf_dissect_request(frame, size, NULL, exchange->arena.alloc, visit, &search, &facts))
        return;
    if (!search.found) {
        kf_error_set(why, KF_ERR_INVALID_REQUEST,
                     "%.*s v%d: %zu bytes stand behind the message, from byte %zu on",
                     (int)name_size, api, exchange->version, size - at, at);
        return;
    }
    write_path(&search, path, sizeof path);
    for (size_t i = 0; i < search.size && i < SHOWN_BYTES; i++)
        snprintf(bytes + 3 * i, 4, " %02x", frame[search.offset + i]);
    kf_error_set(why, KF_ERR_INVALID_REQUEST, "%.*s v%d: %s at byte %zu is not canonical:%s%s",
                 (int)name_size, api, exchange->version, path, search.offset, bytes,
                 search.size > SHOWN_BYTES ? " …" : "");
}

bool kf__strict_check(const struct kf__exchange *exchange, const uint8_t *frame, size_t size,
                      kf_error *why)
{
    kf_writer again;
    kf_writer_init(&again, exchange->arena.alloc);
    kf_err err =
        kf__encode_request(&again, kf_schema_request(exchange->api->key), exchange->version,
                           exchange->correlation_id, exchange->client_id, exchange->request);
    bool same = !err && !again.err && again.used == size && memcmp(again.bytes, frame, size) == 0;
    if (!same) {
        if (err)
            kf_error_set(why, err, "a request could not be encoded again: %s", kf_err_text(err));
        size_t at = first_difference(frame, size, again.bytes, again.used);
        if (!err)
            explain(exchange, frame, size, at, why);
        kf_error_set(why, KF_ERR_INVALID_REQUEST, "a request is not canonical at byte %zu", at);
    }
    kf_writer_free(&again);
    return same;
}
