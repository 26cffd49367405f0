/*
 * decode: `kf decode`: what went over the wire, as a tree or as JSON. Here:
 * the command line, the file, and what kind of file it is.
 */
#include "tools/kf/decode.h"
#include "tools/kf/input.h"
#include "tools/kf/options.h"
#include "tools/kf/verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: kf decode [FILE]\n"
    "       kf decode --response API VERSION [FILE]\n"
    "\n"
    "Kafka frames as a tree: offset, bytes, field, type, value; record batches opened. FILE (or\n"
    "stdin) is a capture (pcap, pcapng), a raw stream of frames, or hex of one; which, it says\n"
    "itself. A pipe is shown as it comes, damage where it stands, SASL without its secrets. Exit "
    "1\n"
    "when something could not be decoded.\n"
    "\n"
    "      --json       one JSON object a line for each frame, the message in Kafka's own form\n"
    "      --request    no capture: all frames are requests\n"
    "      --response API VERSION   no capture: all frames are responses of this API\n"
    "      --hex        it is hex: plain, xxd, hexdump -C; # begins a comment\n"
    "      --all        also structs' empty tag sections\n"
    "\n"
    "  tcpdump -i lo -U -w - port 9092 | kf decode\n"
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
        fprintf(stderr, "kf decode: offset %llu of the capture: %s\n",
                (unsigned long long)capture->damage_at, capture->damage);
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

/* Shows what there is before waiting for more: the file may be a pipe, and tcpdump at its end. */
static bool wait_for(struct kf__input *input, size_t size, struct kf__printer *printer)
{
    return input->end - input->at >= size ||
           (fflush(printer->out) == 0 && kf__input_wait(input, size));
}

static kf_err read_segments(struct kf__input *input, kf__streams *streams,
                            struct kf__capture *capture, struct kf__printer *printer)
{
    struct kf__segment segment;
    kf_err err = KF_OK;
    while (!err && !printer->err) {
        if (kf__capture_next(capture, &segment)) {
            err = kf__streams_feed(streams, &segment);
        } else if (capture->more) {
            size_t left = (size_t)(capture->end - capture->at);
            input->at = input->end - left;
            bool partial = wait_for(input, left + 1, printer);
            kf__capture_refill(capture, input->bytes + input->at, input->end - input->at, partial);
        } else {
            break;
        }
    }
    return err;
}

static kf_err decode_capture(struct kf__input *input, struct kf__printer *printer)
{
    struct kf__streams_events events = {kf__print_frame, kf__print_remark, printer};
    kf__streams *streams = kf__streams_open(&events);
    struct kf__capture capture;
    bool partial = wait_for(input, KF__CAPTURE_HEADER, printer);
    kf__capture_open(&capture, input->bytes + input->at, input->end - input->at);
    capture.partial = partial;
    kf_err err = streams ? read_segments(input, streams, &capture, printer) : KF_ERR_NO_MEMORY;
    if (!err)
        err = kf__streams_end(streams);
    kf__streams_close(streams);
    tell_capture(&capture, printer);
    return err ? err : printer->err;
}

/* Behind a size that is none nothing can be told any more. */
static void skip_rest(struct kf__input *input, struct kf__printer *printer)
{
    do {
        printer->undecoded += input->end - input->at;
        input->at = input->end;
    } while (wait_for(input, 1, printer));
}

static kf_err decode_raw(struct kf__raw *raw, struct kf__input *input, struct kf__printer *printer)
{
    while (!printer->err && wait_for(input, 1, printer)) {
        wait_for(input, KF__SIZE_FIELD, printer);
        bool sound = true;
        size_t size = kf__raw_frame_size(input->bytes + input->at, input->end - input->at, &sound);
        wait_for(input, size, printer);
        size_t here = input->end - input->at;
        kf__decode_raw_frame(raw, input->bytes + input->at, here < size ? here : size, printer);
        input->at += here < size ? here : size;
        if (!sound)
            skip_rest(input, printer);
    }
    return printer->err;
}

/* Hex is of people's hands and read whole: it begins with no byte that a size or a capture does. */
static int decode_hex(const struct wishes *wishes, struct kf__input *input,
                      struct kf__printer *printer)
{
    size_t line, size;
    while (wait_for(input, input->end - input->at + 1, printer))
        ;
    size = input->end - input->at;
    if (!wishes->hex && !kf__is_hex_text(input->bytes + input->at, size))
        return KF__GO_ON;
    if (!kf__hex_to_bytes(input->bytes + input->at, &size, &line))
        return kf__usage_error(&wishes->command, "%s: line %zu is no hex", input->name, line);
    input->end = input->at + size;
    return KF__GO_ON;
}

static bool begins_as_capture(const struct kf__input *input)
{
    return kf__capture_is(input->bytes + input->at, input->end - input->at);
}

/* What the file is, it says itself. */
static int decode(const struct wishes *wishes, struct kf__raw *raw, struct kf__input *input,
                  struct kf__printer *printer)
{
    enum {
        FIRST_BYTES = 4
    };
    wait_for(input, FIRST_BYTES, printer);
    size_t first = input->end - input->at < FIRST_BYTES ? input->end - input->at : FIRST_BYTES;
    bool text = !begins_as_capture(input) && kf__may_be_hex(input->bytes + input->at, first);
    int code = wishes->hex || text ? decode_hex(wishes, input, printer) : KF__GO_ON;
    if (code != KF__GO_ON)
        return code;
    kf_err err =
        begins_as_capture(input) ? decode_capture(input, printer) : decode_raw(raw, input, printer);
    if (input->error)
        fprintf(stderr, "kf decode: %s: %s\n", input->name, strerror(input->error));
    if (err)
        fprintf(stderr, "kf decode: %s\n", kf_err_text(err));
    if (err || input->error)
        return KF__EXIT_PARTLY;
    if (printer->frames == 0)
        fprintf(stderr, "kf decode: %s: no Kafka frame in it\n", input->name);
    else if (printer->damaged || printer->losses)
        fprintf(stderr, "kf decode: %llu frames, %llu of them damaged, %llu bytes not decoded\n",
                (unsigned long long)printer->frames, (unsigned long long)printer->damaged,
                (unsigned long long)printer->undecoded);
    bool whole = printer->frames && !printer->damaged && !printer->losses;
    return whole ? KF__EXIT_DONE : KF__EXIT_PARTLY;
}

static int open_and_decode(struct wishes *wishes, struct kf__raw *raw, const char *name,
                           struct kf__printer *printer)
{
    struct kf__input input;
    if (!kf__input_open(&input, name))
        return kf__usage_error(&wishes->command, "%s: %s", name, strerror(errno));
    int code = decode(wishes, raw, &input, printer);
    kf__input_close(&input);
    return kf__finish(&wishes->command, code);
}

int kf__verb_decode(int argc, char **argv)
{
    struct wishes wishes = {
        .command = {.verb = "decode",
                    .usage = usage,
                    .options = options,
                    .option_count = sizeof options / sizeof *options},
    };
    struct kf__raw *raw = calloc(1, sizeof *raw);
    struct kf__printer printer;
    size_t file_at;
    kf__printer_init(&printer, stdout, false, false);

    int code = kf__command_read(&wishes.command, argc, argv, &wishes);
    if (code == KF__GO_ON)
        code = read_hints(&wishes, raw, &file_at);
    if (code == KF__GO_ON) {
        const struct kf__texts *arguments = &wishes.command.arguments;
        const char *name = file_at < arguments->count ? arguments->items[file_at] : "-";
        printer.json = wishes.command.json;
        printer.all = wishes.all;
        code = arguments->count > file_at + 1
                   ? kf__usage_error(&wishes.command, "one file at a time")
                   : open_and_decode(&wishes, raw, name, &printer);
    }

    free(raw);
    kf__printer_free(&printer);
    kf__command_free(&wishes.command);
    return code;
}
