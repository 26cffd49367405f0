/*
 * dissect: a frame: its size, its header, and which message follows. The
 * message itself is dissect_rows.c's.
 */
#include "proto/codec/frame.h"
#include "proto/dissect/dissect_walk.h"

#include <kafiber/messages.h>
#include <stdio.h>
#include <stdlib.h>

const char *kf_api_name(int16_t api_key, size_t *size)
{
    static const char tail[] = "Request";
    const kf_schema *schema = kf_schema_request(api_key);
    if (!schema)
        return NULL;
    *size = strlen(schema->name) - (sizeof tail - 1);
    return schema->name;
}

int16_t kf_api_find(const char *name)
{
    char *end;
    long number = strtol(name, &end, 10);
    if (*name && !*end)
        return number >= 0 && number <= INT16_MAX && kf_schema_request((int16_t)number)
                   ? (int16_t)number
                   : -1;
    const kf_schema *schema;
    for (size_t i = 0; (schema = kf_schema_at(i)); i++) {
        size_t size;
        const char *known =
            schema->kind == KF__REQUEST ? kf_api_name(schema->api_key, &size) : NULL;
        if (known && strlen(name) == size && memcmp(known, name, size) == 0)
            return schema->api_key;
    }
    return -1;
}

/* The size that a frame begins with, and what of the frame is there. */
static void read_size(struct kf__dissector *d)
{
    const uint8_t *at = d->in.at;
    int64_t size = kf__read_int(d, "size", 4);
    if (d->in.err)
        return;
    size_t have = kf__left(&d->in);
    kf__text_add(&d->text, "%lld", (long long)size);
    kf__node_field(d, at, "size", "int32");
    if (size < 0 || (uint64_t)size > have) {
        kf__text_add(&d->text, "the frame announces %lld bytes, %zu are here", (long long)size,
                     have);
        kf__node_problem(d, at, "size");
    }
    if (size >= 0 && (uint64_t)size < have) {
        kf__text_add(&d->text, "the frame announces %lld bytes, %zu are here", (long long)size,
                     have);
        kf__node_problem(d, at, "size");
    }
}

/* The header by its own rows; where they end the message begins. */
static void read_header(struct kf__dissector *d, const kf_schema *header, int16_t version)
{
    kf__node_enter(d, kf_schema_name(header), "");
    kf__dissect_embedded(d, header, version);
    kf__node_leave(d);
}

static void read_body(struct kf__dissector *d, const kf_schema *schema, int16_t version)
{
    if (d->in.err)
        return;
    kf__text_add(&d->text, "version %d", version);
    kf__node_enter(d, kf_schema_name(schema), "");
    if (!kf__has_version(schema, &version)) {
        kf__text_add(&d->text, "version %d is not known, %d to %d are", version,
                     schema->min_version, schema->max_version);
        kf__node_fail(d, d->in.at, kf_schema_name(schema), KF_ERR_BAD_VERSION);
    } else {
        kf__dissect_embedded(d, schema, version);
    }
    kf__node_leave(d);
}

static void read_message(struct kf__dissector *d, const kf_schema *schema, int16_t version)
{
    if (!d->in.err)
        d->facts->message_at = (size_t)(d->in.at - d->base);
    read_body(d, schema, version);
}

static void peek_facts(struct kf__dissector *d)
{
    struct kf__cursor in = d->in;
    d->facts->api_key = kf__take_i16(&in);
    d->facts->api_version = kf__take_i16(&in);
    d->facts->correlation_id = kf__take_i32(&in);
}

static void read_request(struct kf__dissector *d)
{
    kf_dissection *facts = d->facts;
    peek_facts(d);
    const kf_schema *schema = kf_schema_request(facts->api_key);
    facts->schema = schema;
    if (!schema) {
        if (kf__left(&d->in) < 8)
            kf__text_add(&d->text, "%zu bytes are no request", kf__left(&d->in));
        else
            kf__text_add(&d->text, "no API has the key %d", facts->api_key);
        kf__node_fail(d, d->in.at, "requestApiKey", KF_ERR_API_NOT_SUPPORTED);
        return;
    }
    int16_t version = facts->api_version;
    int16_t nearest = version > schema->max_version   ? schema->max_version
                      : version < schema->min_version ? schema->min_version
                                                      : version;
    read_header(d, &kf_schema_of_request_header, kf__request_header_version(schema, nearest));
    read_message(d, schema, version);
}

/* The facts are the Envelope's, but for what is inside it. */
static void read_forwarded_request(struct kf__dissector *d)
{
    kf_dissection *facts = d->facts;
    struct kf__cursor in = d->in;
    int16_t key = kf__take_i16(&in), version = kf__take_i16(&in);
    const kf_schema *schema = kf_schema_request(key);
    if (in.err || !schema || !kf__has_version(schema, &version)) {
        kf__text_add(&d->text, "no request that is known");
        kf__node_fail(d, d->in.at, "requestData", KF_ERR_API_NOT_SUPPORTED);
        return;
    }
    facts->forwards = true;
    facts->forwarded_api_key = key;
    facts->forwarded_api_version = version;
    read_header(d, &kf_schema_of_request_header, kf__request_header_version(schema, version));
    read_body(d, schema, version);
}

static void read_forwarded_response(struct kf__dissector *d)
{
    const kf_schema *schema = kf_schema_response(d->known->forwarded_api_key);
    int16_t version = d->known->forwarded_api_version;
    if (!schema) {
        kf__text_add(&d->text, "no API has the key %d", d->known->forwarded_api_key);
        kf__node_fail(d, d->in.at, "responseData", KF_ERR_API_NOT_SUPPORTED);
        return;
    }
    read_header(d, &kf_schema_of_response_header, kf__response_header_version(schema, version));
    read_body(d, schema, version);
}

void kf__dissect_forwarded(struct kf__dissector *d, bool request)
{
    if (request)
        read_forwarded_request(d);
    else
        read_forwarded_response(d);
}

/* A broker that doesn't know the version asked answers in version 0 that it doesn't. */
static int16_t version_answered(const struct kf__dissector *d, int16_t api_key, int16_t version)
{
    enum {
        AT_ERROR = 4 /* behind the correlation id */
    };
    const uint8_t *at = d->in.at;
    bool refused = api_key == KF_API_API_VERSIONS && kf__left(&d->in) >= AT_ERROR + 2 &&
                   (at[AT_ERROR] << 8 | at[AT_ERROR + 1]) == KF_ERR_UNSUPPORTED_VERSION;
    return refused ? 0 : version;
}

static void read_response(struct kf__dissector *d)
{
    kf_dissection *facts = d->facts;
    struct kf__cursor in = d->in;
    facts->correlation_id = kf__take_i32(&in);
    const kf_schema *schema = kf_schema_response(facts->api_key);
    facts->schema = schema;
    if (!schema) {
        kf__text_add(&d->text, "no API has the key %d", facts->api_key);
        kf__node_fail(d, d->in.at, "response", KF_ERR_API_NOT_SUPPORTED);
        return;
    }
    facts->api_version = version_answered(d, facts->api_key, facts->api_version);
    read_header(d, &kf_schema_of_response_header,
                kf__response_header_version(schema, facts->api_version));
    read_message(d, schema, facts->api_version);
}

static void read_sasl_from_client(struct kf__dissector *d) { kf__dissect_sasl(d, true); }
static void read_sasl_from_broker(struct kf__dissector *d) { kf__dissect_sasl(d, false); }

static kf_err dissect(const void *frame, size_t size, kf_dissect_memory *known,
                      const kf_allocator *alloc, kf_node_fn visit, void *context,
                      kf_dissection *facts, void (*read)(struct kf__dissector *d))
{
    struct kf__codecs codecs;
    kf__codecs_init(&codecs, alloc);
    struct kf__dissector d = {
        .in = kf__cursor_over(frame, size),
        .visit = visit,
        .context = context,
        .facts = facts,
        .alloc = alloc,
        .codecs = &codecs,
        .known = known,
    };
    d.base = d.in.at;
    read_size(&d);
    if (!d.in.err)
        read(&d);
    struct kf__outer outer = {.in = d.in};
    kf__region_leave(&d, outer, "message");
    kf__codecs_free(&codecs);
    return d.memory;
}

kf_err kf_dissect_request(const void *frame, size_t size, kf_dissect_memory *memory,
                          const kf_allocator *alloc, kf_node_fn visit, void *context,
                          kf_dissection *facts)
{
    memset(facts, 0, sizeof *facts);
    return dissect(frame, size, memory, alloc, visit, context, facts, read_request);
}

kf_err kf_dissect_response(int16_t api_key, int16_t api_version, const void *frame, size_t size,
                           kf_dissect_memory *memory, const kf_allocator *alloc, kf_node_fn visit,
                           void *context, kf_dissection *facts)
{
    memset(facts, 0, sizeof *facts);
    facts->api_key = api_key;
    facts->api_version = api_version;
    return dissect(frame, size, memory, alloc, visit, context, facts, read_response);
}

kf_err kf_dissect_sasl(bool from_client, const void *frame, size_t size, kf_node_fn visit,
                       void *context, kf_dissection *facts)
{
    memset(facts, 0, sizeof *facts);
    return dissect(frame, size, NULL, &kf_default_allocator, visit, context, facts,
                   from_client ? read_sasl_from_client : read_sasl_from_broker);
}
