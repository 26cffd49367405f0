/*
 * decode_print: frames as a tree for people, or as one JSON object a line.
 * Called for each frame that streams.c or decode_text.c found.
 */
#include "tools/kf/decode.h"
#include "tools/kf/lines.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SHOWN_BYTES = 8, /* of a field, in hex */
    NAME_WIDTH = 36,
    TYPE_WIDTH = 16,
};

void kf__printer_init(struct kf__printer *printer, FILE *out, bool json, bool all)
{
    *printer = (struct kf__printer){.out = out, .json = json, .all = all};
    kf_arena_init(&printer->arena, &kf_default_allocator, 0);
    kf_writer_init(&printer->text, &kf_default_allocator);
}

void kf__printer_free(struct kf__printer *printer)
{
    free(printer->message);
    kf_writer_free(&printer->text);
    kf_arena_free(&printer->arena);
}

/* "2026-11-21T13:38:09.123456Z" */
static void format_time(int64_t time, char *text, size_t size)
{
    time_t seconds = (time_t)(time / 1000000000);
    struct tm tm;
    char date[32];
    text[0] = '\0';
    if (time <= 0 || !gmtime_r(&seconds, &tm))
        return;
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text, size, "%s.%06dZ", date, (int)(time / 1000 % 1000000));
}

static void format_end(const struct kf__endpoint *end, char *text, size_t size)
{
    char address[INET6_ADDRSTRLEN] = "";
    inet_ntop(end->ipv6 ? AF_INET6 : AF_INET, end->address, address, sizeof address);
    snprintf(text, size, end->ipv6 ? "[%s]:%u" : "%s:%u", address, end->port);
}

static kf_err dissect(const struct kf__frame_seen *frame, struct kf__printer *printer,
                      kf_node_fn visit, void *context, kf_dissection *facts)
{
    kf_dissect_memory *memory = &printer->memory;
    const kf_allocator *alloc = printer->arena.alloc;
    if (frame->sasl)
        return kf_dissect_sasl(frame->request, frame->bytes, frame->size, visit, context, facts);
    if (frame->request)
        return kf_dissect_request(frame->bytes, frame->size, memory, alloc, visit, context, facts);
    memory->forwarded = frame->forwarded_key >= 0;
    memory->forwarded_api_key = frame->forwarded_key;
    memory->forwarded_api_version = frame->forwarded_version;
    return kf_dissect_response(frame->api_key, frame->api_version, frame->bytes, frame->size,
                               memory, alloc, visit, context, facts);
}

/* A response whose request nobody saw: its API is not known. */
static bool is_lost(const struct kf__frame_seen *frame)
{
    return !frame->request && !frame->paired && !frame->sasl;
}

static const char lost_text[] = "a response to a request that is not here: its API is not known";

/* ---- the tree ---- */

/* The last `secret` of them are none of the reader's business. */
static void print_hex(FILE *out, const uint8_t *bytes, size_t size, size_t secret)
{
    size_t shown = size > SHOWN_BYTES ? SHOWN_BYTES - 1 : size;
    for (size_t i = 0; i < shown; i++)
        if (i < size - secret)
            fprintf(out, "%02x ", bytes[i]);
        else
            fputs("** ", out);
    if (shown < size)
        fputs("…  ", out);
    for (size_t i = shown + (shown < size); i < SHOWN_BYTES; i++)
        fputs("   ", out);
}

static void print_node(const kf_node *node, void *context)
{
    struct kf__printer *printer = context;
    FILE *out = printer->out;
    int indent = (int)node->depth * 2;
    if (node->empty && !printer->all)
        return;
    fprintf(out, "%c%6zu  ", node->space ? '+' : ' ', node->offset);
    if (node->kind == KF_NODE_FIELD || node->kind == KF_NODE_UNKNOWN)
        print_hex(out, node->bytes, node->size, node->secret);
    else
        fprintf(out, "%*s", SHOWN_BYTES * 3, "");

    if (node->kind == KF_NODE_PROBLEM) {
        fprintf(out, " %*s!! %s: %s\n", indent, "", node->name, node->value);
    } else if (node->kind == KF_NODE_UNKNOWN) {
        fprintf(out, " %*s!! %zu bytes not decoded\n", indent, "", node->size);
    } else if (node->kind == KF_NODE_NOTE) {
        fprintf(out, " %*s(%s)\n", indent, "", node->value);
    } else if (node->kind == KF_NODE_GROUP) {
        fprintf(out, " %*s%s%s%s\n", indent, "", node->name, *node->value ? ", " : "", node->value);
    } else {
        int width = NAME_WIDTH - indent > 8 ? NAME_WIDTH - indent : 8;
        fprintf(out, " %*s%-*s %-*s %s\n", indent, "", width, node->name, TYPE_WIDTH, node->type,
                node->value);
    }
}

/* What the head line says of the message; the facts are those of a first, silent pass. */
static void print_head(const struct kf__printer *printer, const struct kf__frame_seen *frame,
                       const kf_dissection *facts)
{
    FILE *out = printer->out;
    char text[64];
    fprintf(out, "── frame %llu", (unsigned long long)printer->frames);
    format_time(frame->time, text, sizeof text);
    if (*text)
        fprintf(out, " · %s", text);
    if (frame->connection) {
        format_end(&frame->from, text, sizeof text);
        fprintf(out, " · connection %llu %s", (unsigned long long)frame->connection, text);
        format_end(&frame->to, text, sizeof text);
        fprintf(out, " → %s", text);
    }
    fprintf(out, " · %zu bytes", frame->size);
    if (frame->missing)
        fprintf(out, ", %zu missing", frame->missing);
    fputc('\n', out);
    size_t size;
    const char *name = is_lost(frame) || frame->sasl ? NULL : kf_api_name(facts->api_key, &size);
    if (frame->sasl)
        fprintf(out, "   SASL message of the %s\n", frame->request ? "client" : "broker");
    if (name)
        fprintf(out, "   %.*s v%d %s, correlation id %d\n", (int)size, name, facts->api_version,
                frame->request ? "request" : "response", facts->correlation_id);
}

static void print_tree(struct kf__printer *printer, const struct kf__frame_seen *frame,
                       kf_dissection *facts)
{
    print_head(printer, frame, facts);
    if (is_lost(frame)) {
        fprintf(printer->out, "        !! %s\n", lost_text);
        print_node(&(kf_node){.kind = KF_NODE_UNKNOWN, .bytes = frame->bytes, .size = frame->size},
                   printer);
    } else {
        printer->err = dissect(frame, printer, print_node, printer, facts);
    }
    fputc('\n', printer->out);
}

/* ---- JSON ---- */

static void KF_PRINTF(2, 3) put(kf_writer *out, const char *format, ...)
{
    char text[128];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    kf_writer_put(out, text, (size_t)length);
}

static void put_key_text(kf_writer *out, const char *key, const char *text)
{
    put(out, ",\"%s\":", key);
    kf__json_string(out, text, strlen(text));
}

static void put_where(kf_writer *out, const struct kf__frame_seen *frame)
{
    char text[64];
    format_time(frame->time, text, sizeof text);
    if (*text)
        put_key_text(out, "time", text);
    if (frame->connection) {
        put(out, ",\"connection\":%llu", (unsigned long long)frame->connection);
        format_end(&frame->from, text, sizeof text);
        put_key_text(out, "from", text);
        format_end(&frame->to, text, sizeof text);
        put_key_text(out, "to", text);
    }
    put_key_text(out, "direction", frame->request ? "request" : "response");
    put(out, ",\"size\":%zu", frame->size);
}

static void put_client_id(kf_writer *out, kf_string client_id)
{
    put(out, ",\"client_id\":");
    if (!client_id.data)
        put(out, "null");
    else if (kf__is_utf8(client_id.data, client_id.size))
        kf__json_string(out, client_id.data, client_id.size);
    else
        put(out, "\"?\"");
}

static void put_facts(kf_writer *out, const struct kf__frame_seen *frame,
                      const kf_dissection *facts)
{
    size_t size;
    const char *name = kf_api_name(facts->api_key, &size);
    put(out, ",\"api\":");
    if (name)
        kf__json_string(out, name, size);
    else
        put(out, "null");
    put(out, ",\"api_key\":%d,\"version\":%d,\"correlation_id\":%d", facts->api_key,
        facts->api_version, facts->correlation_id);
    if (frame->request)
        put_client_id(out, facts->client_id);
}

static void hide_node(const kf_node *node, void *context)
{
    uint8_t *frame = context;
    if (node->space == 0)
        memset(frame + node->offset + node->size - node->secret, '*', node->secret);
}

/* The frame; where it has secrets, a copy of it in the arena in which they are asterisks. */
static const uint8_t *without_secrets(struct kf__printer *printer,
                                      const struct kf__frame_seen *frame,
                                      const kf_dissection *facts)
{
    kf_dissection again;
    if (facts->secrets == 0)
        return frame->bytes;
    uint8_t *copy = kf_arena_alloc(&printer->arena, frame->size);
    if (copy)
        memcpy(copy, frame->bytes, frame->size);
    return copy && dissect(frame, printer, hide_node, copy, &again) == KF_OK ? copy : NULL;
}

static kf_err put_message(struct kf__printer *printer, const struct kf__frame_seen *frame,
                          const kf_dissection *facts)
{
    size_t size = kf_schema_struct_size(facts->schema);
    if (size > printer->message_size) {
        void *message = realloc(printer->message, size);
        if (!message)
            return KF_ERR_NO_MEMORY;
        printer->message = message;
        printer->message_size = size;
    }
    const uint8_t *bytes = without_secrets(printer, frame, facts);
    if (!bytes)
        return KF_ERR_NO_MEMORY;
    put(&printer->text, ",\"message\":");
    kf_err err = kf_decode(facts->schema, facts->api_version, bytes + facts->message_at,
                           frame->size - facts->message_at, &printer->arena, printer->message);
    if (!err)
        err = kf_to_json(facts->schema, facts->api_version, printer->message, &printer->text);
    kf_arena_reset(&printer->arena);
    return err;
}

/* "name":"value" of each piece; their values are quoted already, or say that they are not shown. */
static void put_piece(const kf_node *node, void *context)
{
    struct kf__printer *printer = context;
    kf_writer *out = &printer->text;
    size_t size = strlen(node->value);
    const char *value = node->value;
    if (node->kind != KF_NODE_FIELD || node->offset < KF__SIZE_FIELD)
        return;
    if (size >= 2 && value[0] == '"' && value[size - 1] == '"') {
        value++;
        size -= 2;
    }
    put(out, out->bytes[out->used - 1] == '{' ? "" : ",");
    kf__json_string(out, node->name, strlen(node->name));
    put(out, ":");
    kf__json_string(out, value, size);
}

static void put_sasl(struct kf__printer *printer, const struct kf__frame_seen *frame)
{
    kf_dissection facts;
    put(&printer->text, ",\"sasl\":{");
    printer->err = dissect(frame, printer, put_piece, printer, &facts);
    put(&printer->text, "}");
}

static void put_problem(kf_writer *out, const kf_dissection *facts)
{
    if (!facts->problems)
        return;
    put_key_text(out, "problem", facts->problem);
    put(out, ",\"problem_at\":%zu,\"undecoded\":%zu", facts->problem_at, facts->undecoded);
}

static void print_json(struct kf__printer *printer, const struct kf__frame_seen *frame,
                       const kf_dissection *facts)
{
    kf_writer *out = &printer->text;
    kf_writer_reset(out);
    put(out, "{\"frame\":%llu", (unsigned long long)printer->frames);
    put_where(out, frame);
    if (is_lost(frame)) {
        put_key_text(out, "problem", lost_text);
        put(out, ",\"problem_at\":0,\"undecoded\":%zu", frame->size);
    } else if (frame->sasl) {
        put_problem(out, facts);
        put_sasl(printer, frame);
    } else {
        put_facts(out, frame, facts);
        put_problem(out, facts);
        if (!facts->err && facts->schema && facts->message_at)
            printer->err = put_message(printer, frame, facts);
    }
    put(out, "}\n");
    if (!printer->err)
        printer->err = out->err;
    if (!printer->err)
        fwrite(out->bytes, 1, out->used, printer->out);
}

/* ---- the face ---- */

void kf__print_frame(const struct kf__frame_seen *frame, void *context)
{
    struct kf__printer *printer = context;
    kf_dissection facts;
    memset(&facts, 0, sizeof facts);
    printer->frames++;
    if (printer->err)
        return;
    if (is_lost(frame)) {
        facts.problems = 1;
        facts.undecoded = frame->size;
    } else {
        printer->err = dissect(frame, printer, NULL, NULL, &facts);
    }
    if (printer->err)
        return;
    printer->damaged += facts.problems > 0 || frame->missing;
    printer->undecoded += facts.undecoded + frame->missing;
    if (printer->json)
        print_json(printer, frame, &facts);
    else
        print_tree(printer, frame, &facts);
}

void kf__print_remark(uint64_t connection, bool loss, const char *text, void *context)
{
    struct kf__printer *printer = context;
    printer->losses += loss;
    if (printer->json)
        fprintf(stderr, "kf decode: connection %llu: %s\n", (unsigned long long)connection, text);
    else
        fprintf(printer->out, "── connection %llu: %s\n\n", (unsigned long long)connection, text);
}
