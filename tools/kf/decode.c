/*
 * decode: `kf decode`: what went over the wire, as a tree or as JSON. Here:
 * the command line, the file, and what kind of file it is.
 */
#include "tools/kf/decode.h"
#include "tools/kf/options.h"
#include "tools/kf/verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: kf decode [FILE]\n"
    "       kf decode --response API VERSION [FILE]\n"
    "\n"
    "Kafka frames as a tree: offset, bytes, field, type, value; record batches opened. FILE (or\n"
    "stdin) is a capture (pcap, pcapng), a raw stream of frames, or hex of one; which, it says\n"
    "itself. Damage is shown where it stands. Exit 1 when something could not be decoded.\n"
    "\n"
    "      --json       one JSON object a line for each frame, the message in Kafka's own form\n"
    "      --request    no capture: all frames are requests\n"
    "      --response API VERSION   no capture: all frames are responses of this API\n"
    "      --hex        it is hex: plain, xxd, hexdump -C; # begins a comment\n"
    "      --all        also structs' empty tag sections\n"
    "\n"
    "  timeout 10 tcpdump -i lo -w - port 9092 | kf decode\n"
    "  kf decode session.pcapng --json | jq 'select(.api == \"Fetch\") | .message'\n";

struct wishes {
    struct kf__command command;
    const char *response;
    bool request;
    bool hex;
    bool all;
};

static const struct kf__option options[] = {
    {0, "request", KF__OPTION_FLAG, offsetof(struct wishes, request)},
    {0, "response", KF__OPTION_TEXT, offsetof(struct wishes, response)},
    {0, "hex", KF__OPTION_FLAG, offsetof(struct wishes, hex)},
    {0, "all", KF__OPTION_FLAG, offsetof(struct wishes, all)},
};

struct input {
    uint8_t *bytes;
    size_t size;
    const char *name;
};

static bool read_all(FILE *file, struct input *input)
{
    enum {
        FIRST_ROOM = 1 << 16
    };
    size_t room = 0;
    for (;;) {
        if (input->size == room) {
            room = room ? room * 2 : FIRST_ROOM;
            uint8_t *bytes = realloc(input->bytes, room);
            if (!bytes)
                return false;
            input->bytes = bytes;
        }
        size_t got = fread(input->bytes + input->size, 1, room - input->size, file);
        input->size += got;
        if (got == 0)
            return !ferror(file);
    }
}

static int read_input(const struct kf__command *command, struct input *input)
{
    FILE *file = strcmp(input->name, "-") == 0 ? stdin : fopen(input->name, "rb");
    if (!file)
        return kf__usage_error(command, "%s: %s", input->name, strerror(errno));
    bool good = read_all(file, input);
    int error = errno;
    if (file != stdin)
        fclose(file);
    if (good)
        return KF__GO_ON;
    fprintf(stderr, "kf decode: %s: %s\n", input->name, strerror(error));
    return KF__EXIT_PARTLY;
}

/* `--response API VERSION [FILE]`: the version is the first argument. */
static int read_hints(struct wishes *wishes, struct kf__raw *raw, size_t *file_at)
{
    struct kf__command *command = &wishes->command;
    int64_t version;
    *file_at = 0;
    raw->direction = wishes->request ? KF__REQUESTS : KF__EITHER;
    if (!wishes->response)
        return KF__GO_ON;
    if (wishes->request)
        return kf__usage_error(command, "--request and --response: one of them");
    raw->direction = KF__RESPONSES;
    raw->api_key = kf_api_find(wishes->response);
    if (raw->api_key < 0)
        return kf__usage_error(command, "--response %s: there is no such API", wishes->response);
    if (command->arguments.count == 0 || !kf__read_number(command->arguments.items[0], &version) ||
        version < 0 || version > INT16_MAX)
        return kf__usage_error(command, "--response wants an API and a version");
    raw->api_version = (int16_t)version;
    *file_at = 1;
    return KF__GO_ON;
}

static void tell_capture(const struct kf__capture *capture, struct kf__printer *printer)
{
    if (capture->damage) {
        printer->losses++;
        fprintf(stderr, "kf decode: offset %zu of the capture: %s\n", capture->damage_at,
                capture->damage);
    }
    if (capture->fragments) {
        printer->losses++;
        fprintf(stderr, "kf decode: %llu IP fragments were left out: they are not put together\n",
                (unsigned long long)capture->fragments);
    }
    if (capture->other_links)
        fprintf(stderr, "kf decode: %llu packets of link type %u were left out\n",
                (unsigned long long)capture->other_links, capture->link);
}

kf_err kf__decode_capture(const uint8_t *bytes, size_t size, struct kf__printer *printer)
{
    struct kf__streams_events events = {kf__print_frame, kf__print_remark, printer};
    kf__streams *streams = kf__streams_open(&events);
    struct kf__capture capture;
    struct kf__segment segment;
    kf_err err = streams ? KF_OK : KF_ERR_NO_MEMORY;
    bool open = kf__capture_open(&capture, bytes, size);
    while (!err && open && kf__capture_next(&capture, &segment))
        err = kf__streams_feed(streams, &segment);
    if (!err)
        err = kf__streams_end(streams);
    kf__streams_close(streams);
    tell_capture(&capture, printer);
    return err ? err : printer->err;
}

/* What the file is, it says itself. */
static int decode(struct wishes *wishes, const struct kf__raw *raw, struct input *input,
                  struct kf__printer *printer)
{
    kf_err err;
    size_t line;
    bool capture = kf__capture_is(input->bytes, input->size);
    if (wishes->hex || (!capture && kf__is_hex_text(input->bytes, input->size))) {
        if (!kf__hex_to_bytes(input->bytes, &input->size, &line))
            return kf__usage_error(&wishes->command, "%s: line %zu is no hex", input->name, line);
        capture = kf__capture_is(input->bytes, input->size);
    }
    err = capture ? kf__decode_capture(input->bytes, input->size, printer)
                  : kf__decode_raw(raw, input->bytes, input->size, printer);
    if (err) {
        fprintf(stderr, "kf decode: %s\n", kf_err_text(err));
        return KF__EXIT_PARTLY;
    }
    if (printer->frames == 0)
        fprintf(stderr, "kf decode: %s: no Kafka frame in it\n", input->name);
    else if (printer->damaged || printer->losses)
        fprintf(stderr, "kf decode: %llu frames, %llu of them damaged, %llu bytes not decoded\n",
                (unsigned long long)printer->frames, (unsigned long long)printer->damaged,
                (unsigned long long)printer->undecoded);
    bool whole = printer->frames && !printer->damaged && !printer->losses;
    return whole ? KF__EXIT_DONE : KF__EXIT_PARTLY;
}

int kf__verb_decode(int argc, char **argv)
{
    struct wishes wishes = {
        .command = {.verb = "decode",
                    .usage = usage,
                    .options = options,
                    .option_count = sizeof options / sizeof *options},
    };
    struct kf__raw raw = {0};
    struct input input = {0};
    struct kf__printer printer;
    size_t file_at;
    kf__printer_init(&printer, stdout, false, false);

    int code = kf__command_read(&wishes.command, argc, argv, &wishes);
    if (code == KF__GO_ON)
        code = read_hints(&wishes, &raw, &file_at);
    if (code == KF__GO_ON) {
        const struct kf__texts *arguments = &wishes.command.arguments;
        input.name = file_at < arguments->count ? arguments->items[file_at] : "-";
        printer.json = wishes.command.json;
        printer.all = wishes.all;
        code = arguments->count > file_at + 1
                   ? kf__usage_error(&wishes.command, "one file at a time")
                   : read_input(&wishes.command, &input);
    }
    if (code == KF__GO_ON)
        code = kf__finish(&wishes.command, decode(&wishes, &raw, &input, &printer));

    free(input.bytes);
    kf__printer_free(&printer);
    kf__command_free(&wishes.command);
    return code;
}
