/* log: an event as one line of logfmt. Writes nothing and keeps nothing. */
#include <kafiber/log.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

const char *kf_log_level_name(kf_log_level level)
{
    switch (level) {
    case KF_LOG_ERROR:
        return "error";
    case KF_LOG_WARNING:
        return "warning";
    case KF_LOG_INFO:
        return "info";
    case KF_LOG_DEBUG:
        return "debug";
    }
    return "unknown";
}

/* Counts on beyond the end, as snprintf does. */
struct line {
    char *text;
    size_t size; /* room, the last NUL included */
    size_t used;
};

static void put(struct line *line, char c)
{
    if (line->used + 1 < line->size)
        line->text[line->used] = c;
    line->used++;
}

static void put_text(struct line *line, const char *text)
{
    while (*text)
        put(line, *text++);
}

static void put_name(struct line *line, const char *name)
{
    if (line->used)
        put(line, ' ');
    put_text(line, name);
    put(line, '=');
}

static void put_escaped(struct line *line, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";
    if (c == '"' || c == '\\') {
        put(line, '\\');
        put(line, (char)c);
    } else if (c == '\n') {
        put_text(line, "\\n");
    } else if (c == '\t') {
        put_text(line, "\\t");
    } else if (c < 0x20 || c == 0x7f) {
        put_text(line, "\\u00");
        put(line, digits[c >> 4]);
        put(line, digits[c & 15]);
    } else {
        put(line, (char)c);
    }
}

static void put_quoted(struct line *line, const char *text)
{
    put(line, '"');
    for (; *text; text++)
        put_escaped(line, (unsigned char)*text);
    put(line, '"');
}

static bool needs_quotes(const char *text)
{
    if (!*text)
        return true;
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || *text == '=' || *text == '"' || *text == '\\' ||
            *text == 0x7f)
            return true;
    return false;
}

static void put_field(struct line *line, const char *name, const char *value)
{
    if (!value)
        return;
    put_name(line, name);
    if (needs_quotes(value))
        put_quoted(line, value);
    else
        put_text(line, value);
}

static void put_number(struct line *line, const char *name, int64_t value)
{
    char digits[24];
    if (value < 0)
        return;
    snprintf(digits, sizeof digits, "%" PRId64, value);
    put_field(line, name, digits);
}

size_t kf_log_format(const kf_log_event *event, char *text, size_t size)
{
    struct line line = {text, size, 0};
    put_field(&line, "level", kf_log_level_name(event->level));
    put_field(&line, "event", event->name);
    if (event->text) {
        put_name(&line, "text");
        put_quoted(&line, event->text);
    }
    put_field(&line, "messaging.consumer.group.name", event->group);
    put_field(&line, "messaging.destination.name", event->topic);
    if (event->topic)
        put_number(&line, "messaging.destination.partition.id", event->partition);
    put_number(&line, "messaging.kafka.offset", event->offset);
    put_number(&line, "node", event->node);
    if (event->error)
        put_field(&line, "error", kf_err_name(event->error));
    if (size)
        text[line.used < size ? line.used : size - 1] = '\0';
    return line.used;
}
