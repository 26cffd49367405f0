/* consume: `kf consume`: its options, and reading without a group; see consume.h. */
#include "tools/kf/consume.h"

#include "tools/kf/verbs.h"
#include <kafiber/reader.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOK_MS = 100 /* how often a signal or the end is looked for while nothing comes */
};

static const char usage[] =
    "usage: kf consume TOPIC... [OPTION]...             read partitions, touch no group\n"
    "       kf consume -g GROUP TOPIC... [OPTION]...    be a member of a group\n"
    "\n"
    "  -n, --count N        end after N records\n"
    "  -e, --end            end where the partitions ended at the start\n"
    "  -f, --format FORMAT  %t topic %p partition %o offset %k key %v value %d timestamp\n"
    "                       %h{...} headers; {hex} {base64} {len} behind %k %v; \\n \\t \\0\n"
    "      --json           one JSON object a line, lossless; default: the value and a newline\n"
    "without a group:\n"
    "  -p, --partition N    only this one\n"
    "  -o, --offset FROM    start (default), end, N, -N (the last N) or @MILLISECONDS\n"
    "with a group:\n"
    "  -g, --group GROUP    whose member to be\n"
    "  -o, --offset FROM    start (default) or end, where the group has no offset yet\n"
    "      --semantics S    at-least-once (default) or at-most-once\n"
    "      --instance-id ID a static member\n"
    "      --exec COMMAND   hand records to a program for each partition; it answers \"ok\" or\n"
    "                       \"fail REASON\" for each line\n"
    "      --exec-window N  records that it may hold unanswered; only 1 for now\n"
    "common: -b HOST:PORT,...  -F client.properties  -X key=value  --timeout MS  --verbose\n"
    "\n"
    "  kf consume orders -o -10 -e --json\n"
    "  kf consume -g billing orders --exec './charge.sh'\n";

#define AT(member) offsetof(struct kf__consume, member)
static const struct kf__option options[] = {
    {'p', "partition", KF__OPTION_TEXT, AT(partition)},
    {'o', "offset", KF__OPTION_TEXT, AT(from)},
    {'n', "count", KF__OPTION_NUMBER, AT(count)},
    {'e', "end", KF__OPTION_FLAG, AT(until_end)},
    {'f', "format", KF__OPTION_TEXT, AT(format_text)},
    {'g', "group", KF__OPTION_TEXT, AT(group)},
    {0, "semantics", KF__OPTION_TEXT, AT(semantics)},
    {0, "instance-id", KF__OPTION_TEXT, AT(instance_id)},
    {0, "exec", KF__OPTION_TEXT, AT(exec)},
    {0, "exec-window", KF__OPTION_NUMBER, AT(exec_window)},
};
#undef AT

atomic_int kf__consume_signal;

/* ---- printing ---- */

bool kf__consume_print(struct kf__consume *consume, const kf_message *message)
{
    kf_writer *line = &consume->line;
    kf_writer_reset(line);
    if (consume->command.json) {
        kf__line_json(line, message);
        kf_writer_put(line, "\n", 1);
    } else if (consume->format_text) {
        kf__line_format(line, &consume->format, message);
    } else {
        kf_writer_put(line, message->value.data, message->value.size);
        kf_writer_put(line, "\n", 1);
    }
    return !line->err && fwrite(line->bytes, 1, line->used, stdout) == line->used;
}

/* ---- one partition to be read ---- */

struct part {
    const char *topic;
    int32_t number;
    int64_t end; /* with -e: read up to here */
    bool over;
};

struct reading {
    struct kf__consume *consume;
    kf_reader *reader;
    struct part *parts;
    size_t count;
    size_t left; /* not over yet */
    kf_seek seek;
    int64_t value;
    int64_t printed;
};

static int parse_from(struct reading *reading)
{
    const char *from = reading->consume->from;
    if (!from || strcmp(from, "start") == 0) {
        reading->seek = KF_SEEK_EARLIEST;
    } else if (strcmp(from, "end") == 0) {
        reading->seek = KF_SEEK_LATEST;
    } else if (from[0] == '@' && kf__read_number(from + 1, &reading->value) &&
               reading->value >= 0) {
        reading->seek = KF_SEEK_TIME;
    } else if (kf__read_number(from, &reading->value)) {
        bool tail = from[0] == '-';
        reading->seek = tail ? KF_SEEK_LATEST : KF_SEEK_OFFSET;
        reading->value = tail ? -reading->value : reading->value;
    } else {
        return kf__usage_error(&reading->consume->command,
                               "-o takes start, end, N, -N or @MILLISECONDS, not \"%s\"", from);
    }
    return KF__GO_ON;
}

static int add_part(struct reading *reading, const char *topic, int32_t number)
{
    struct part *parts = realloc(reading->parts, (reading->count + 1) * sizeof *parts);
    if (!parts)
        return KF__EXIT_PARTLY;
    reading->parts = parts;
    parts[reading->count++] = (struct part){.topic = topic, .number = number};
    reading->left++;
    return KF__GO_ON;
}

static int add_topic(struct reading *reading, const char *topic)
{
    const struct kf__command *command = &reading->consume->command;
    kf_error error = KF_ERROR_INIT;
    int32_t count = 0;
    int64_t only = -1;
    if (kf_reader_partitions(reading->reader, topic, kf__command_deadline(command), &count, &error))
        return kf__report(command, &error);
    if (reading->consume->partition) {
        if (!kf__read_number(reading->consume->partition, &only) || only < 0)
            return kf__usage_error(command, "-p wants a number, not \"%s\"",
                                   reading->consume->partition);
        if (only >= count) {
            kf_error_set(&error, KF_ERR_UNKNOWN_TOPIC_OR_PARTITION,
                         "topic \"%s\" has no partition %lld: it has %d", topic, (long long)only,
                         (int)count);
            return kf__report(command, &error);
        }
        return add_part(reading, topic, (int32_t)only);
    }
    int code = KF__GO_ON;
    for (int32_t i = 0; i < count && code == KF__GO_ON; i++)
        code = add_part(reading, topic, i);
    return code;
}

static void finish_part(struct reading *reading, struct part *part)
{
    part->over = true;
    reading->left--;
    kf_reader_unassign(reading->reader, part->topic, part->number);
}

/* -e means the end as it was at the start; an offset beyond it would be "there" at once. */
static int look_at_bounds(struct reading *reading, struct part *part)
{
    const struct kf__command *command = &reading->consume->command;
    kf_error error = KF_ERROR_INIT;
    int64_t begin;
    if (kf_reader_bounds(reading->reader, part->topic, part->number, kf__command_deadline(command),
                         &begin, &part->end, &error))
        return kf__report(command, &error);
    if (reading->seek != KF_SEEK_OFFSET || (reading->value >= begin && reading->value <= part->end))
        return KF__GO_ON;
    kf_error_set(&error, KF_ERR_OFFSET_OUT_OF_RANGE,
                 "topic %s partition %d has no offset %lld: its first is %lld, its end %lld",
                 part->topic, (int)part->number, (long long)reading->value, (long long)begin,
                 (long long)part->end);
    return kf__report(command, &error);
}

static int begin_parts(struct reading *reading)
{
    const struct kf__command *command = &reading->consume->command;
    kf_error error = KF_ERROR_INIT;
    for (size_t i = 0; i < reading->count; i++) {
        struct part *part = &reading->parts[i];
        int code = reading->consume->until_end ? look_at_bounds(reading, part) : KF__GO_ON;
        if (code != KF__GO_ON)
            return code;
        if (kf_reader_assign(reading->reader, part->topic, part->number, reading->seek,
                             reading->value, &error))
            return kf__report(command, &error);
    }
    return KF__GO_ON;
}

static struct part *part_of(struct reading *reading, const kf_message *message)
{
    for (size_t i = 0; i < reading->count; i++)
        if (reading->parts[i].number == message->partition &&
            strcmp(reading->parts[i].topic, message->topic) == 0)
            return &reading->parts[i];
    return NULL;
}

/* Partitions whose position has come to the end, past control records too. */
static void look_for_ends(struct reading *reading)
{
    for (size_t i = 0; reading->consume->until_end && i < reading->count; i++) {
        struct part *part = &reading->parts[i];
        if (!part->over &&
            kf_reader_position(reading->reader, part->topic, part->number) >= part->end)
            finish_part(reading, part);
    }
}

static int take_record(struct reading *reading, const kf_message *message)
{
    struct kf__consume *consume = reading->consume;
    struct part *part = part_of(reading, message);
    bool beyond = consume->until_end && message->offset >= part->end;
    if (!beyond) {
        if (!kf__consume_print(consume, message))
            return kf__finish(&consume->command, KF__EXIT_PARTLY);
        reading->printed++;
    }
    if (consume->until_end && message->offset + 1 >= part->end)
        finish_part(reading, part);
    return KF__GO_ON;
}

static bool is_over(const struct reading *reading)
{
    const struct kf__consume *consume = reading->consume;
    return atomic_load(&kf__consume_signal) ||
           (consume->count >= 0 && reading->printed >= consume->count) ||
           (consume->until_end && reading->left == 0);
}

/* What has come is printed without a pause; only then stdout is flushed and the rest awaited. */
static int read_on(struct reading *reading)
{
    const struct kf__command *command = &reading->consume->command;
    kf_time wait = 0;
    while (!is_over(reading)) {
        kf_error error = KF_ERROR_INIT;
        kf_message message;
        kf_err err = kf_reader_read(reading->reader, wait, &message, &error);
        int code = KF__GO_ON;
        if (!err) {
            code = take_record(reading, &message);
            wait = 0;
        } else if (err == KF_ERR_TIMED_OUT) {
            look_for_ends(reading);
            if (fflush(stdout))
                code = kf__finish(command, KF__EXIT_PARTLY);
            wait = kf_now() + LOOK_MS * KF_MILLISECOND;
        } else {
            code = kf__report(command, &error);
        }
        if (code != KF__GO_ON)
            return code;
    }
    int number = atomic_load(&kf__consume_signal);
    return number ? KF__EXIT_SIGNAL + number : KF__EXIT_DONE;
}

static int read_partitions(struct kf__consume *consume)
{
    struct reading reading = {.consume = consume};
    kf_error error = KF_ERROR_INIT;
    int code = parse_from(&reading);
    if (code == KF__GO_ON) {
        reading.reader = kf_reader_new(consume->command.config, &error);
        code = reading.reader ? KF__GO_ON : kf__report(&consume->command, &error);
    }
    for (size_t i = 0; i < consume->command.arguments.count && code == KF__GO_ON; i++)
        code = add_topic(&reading, consume->command.arguments.items[i]);
    if (code == KF__GO_ON)
        code = begin_parts(&reading);
    if (code == KF__GO_ON)
        code = read_on(&reading);
    kf_reader_close(reading.reader);
    free(reading.parts);
    return code;
}

/* ---- the verb ---- */

static void note_signal(int number) { atomic_store(&kf__consume_signal, number); }

static int check(struct kf__consume *consume)
{
    const struct kf__command *command = &consume->command;
    kf_error error = KF_ERROR_INIT;
    if (command->arguments.count == 0)
        return kf__usage_error(command, "name a topic");
    for (size_t i = 0; i < command->arguments.count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(command->arguments.items[i], command->arguments.items[j]) == 0)
                return kf__usage_error(command, "topic %s was named twice",
                                       command->arguments.items[i]);
    if (!consume->group && (consume->semantics || consume->instance_id || consume->exec))
        return kf__usage_error(command, "--semantics, --instance-id and --exec belong to a group: "
                                        "name it with -g");
    if (consume->group && consume->partition)
        return kf__usage_error(command, "a group member is assigned its partitions: -p is without "
                                        "-g only");
    if (consume->format_text && command->json)
        return kf__usage_error(command, "--json and -f contradict each other");
    if (consume->format_text && kf__format_parse(consume->format_text, &consume->format, &error))
        return kf__report(command, &error);
    return KF__GO_ON;
}

int kf__verb_consume(int argc, char **argv)
{
    struct kf__consume consume = {
        .command = {.verb = "consume",
                    .usage = usage,
                    .options = options,
                    .option_count = sizeof options / sizeof *options},
        .count = -1,
        .exec_window = 1,
    };
    kf_writer_init(&consume.line, &kf_default_allocator);
    int code = kf__command_read(&consume.command, argc, argv, &consume);
    if (code == KF__GO_ON)
        code = check(&consume);
    if (code == KF__GO_ON) {
        kf__catch_signals(note_signal);
        code = consume.group ? kf__consume_group(&consume) : read_partitions(&consume);
        code = kf__finish(&consume.command, code);
    }
    kf__format_free(&consume.format);
    kf_writer_free(&consume.line);
    kf__command_free(&consume.command);
    return code;
}
