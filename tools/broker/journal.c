#include "tools/broker/journal.h"

#include "tools/broker/state.h"

#include <inttypes.h>

static void put(kf_writer *line, const char *text) { kf_writer_put(line, text, strlen(text)); }

static void put_quoted(kf_writer *line, kf_string text)
{
    if (!text.data) {
        put(line, "null");
        return;
    }
    put(line, "\"");
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        char escaped[8];
        if (c == '"' || c == '\\' || c < 0x20)
            snprintf(escaped, sizeof escaped, "\\u%04x", c);
        else
            snprintf(escaped, sizeof escaped, "%c", c);
        put(line, escaped);
    }
    put(line, "\"");
}

void kf__journal_write(struct kf_broker *broker, const struct kf__exchange *exchange)
{
    if (!broker->journal)
        return;
    const kf_schema *request = kf_schema_request(exchange->api->key);
    const kf_schema *response = kf_schema_response(exchange->api->key);
    kf_writer line;
    kf_writer_init(&line, broker->alloc);
    char text[256];
    snprintf(text, sizeof text,
             "{\"time_ms\":%" PRId64 ",\"node\":%" PRId32 ",\"connection\":%" PRIu64
             ",\"api\":\"%.*s\",\"version\":%d,\"correlation_id\":%" PRId32 ",\"client_id\":",
             kf__broker_wall_ms(), exchange->node, exchange->connection_id,
             (int)strcspn(kf_schema_name(request), "\n"), kf_schema_name(request),
             exchange->version, exchange->correlation_id);
    put(&line, text);
    put_quoted(&line, exchange->client_id);
    bool known = exchange->version <= exchange->api->max_version;
    if (known) {
        put(&line, ",\"request\":");
        kf_to_json(request, exchange->version, exchange->request, &line);
        put(&line, ",\"response\":");
        kf_to_json(response, exchange->version, exchange->response, &line);
    }
    put(&line, "}\n");
    if (!line.err)
        fwrite(line.bytes, 1, line.used, broker->journal);
    fflush(broker->journal);
    kf_writer_free(&line);
}
