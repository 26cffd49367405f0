/*
 * demo: the story, see demo.h.
 *
 *   topic, orders ──▶ members A and B ──half of the orders──▶ kill -9 B
 *       ──session timeout──▶ A has all partitions ──all orders──▶ SIGTERM A ──▶ account
 */
#include "tools/kf/demo.h"

#include "tools/kf/verbs.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    LOOK_MS = 20,
    END_MS = 4500, /* what the survivor has to drain, commit and leave */
    MAX_ARGUMENTS = 64,
    VICTIM = 1,
};

static const char usage[] =
    "usage: kf demo [OPTION]...\n"
    "\n"
    "100,000 orders in a topic of six partitions; two members of one group, each with a fiber\n"
    "per partition, handle them at least once. Some 1 % fail and are tried again. Half-way one\n"
    "member is killed with SIGKILL; the other one takes over. Then the account is made of what\n"
    "the members wrote down. It takes some 20 seconds, and never more than 30.\n"
    "\n"
    "Without -b it runs on the embedded broker. On a real cluster it makes a topic and a group\n"
    "of its own and deletes both.\n"
    "\n"
    "common: -b HOST:PORT,...  -F client.properties  -X key=value  --verbose\n"
    "\n"
    "  kf demo\n"
    "  kf demo -b broker1:9092,broker2:9092\n"
    "\n"
    "Exit: 0 where no order was lost; 1 otherwise.\n";

#define AT(member) offsetof(struct kf__demo, member)
static const struct kf__option options[] = {
    /* of the members' command lines; not for people */
    {0, "member", KF__OPTION_TEXT, AT(member)},
    {0, "member-topic", KF__OPTION_TEXT, AT(member_topic)},
    {0, "member-group", KF__OPTION_TEXT, AT(member_group)},
    {0, "journal", KF__OPTION_TEXT, AT(journal)},
    {0, "started-ms", KF__OPTION_NUMBER, AT(started_ms)},
};
#undef AT

static volatile sig_atomic_t stop_signal;
static void note_signal(int number) { stop_signal = number; }

/* ---- members ---- */

static void path_of(const struct kf__demo *demo, const struct kf__demo_member *member,
                    const char *kind, char path[KF__DEMO_PATH_BYTES + 20])
{
    snprintf(path, KF__DEMO_PATH_BYTES + 20, "%s/%c.%s", demo->folder, member->name, kind);
}

static void exec_member(const struct kf__demo *demo, const struct kf__demo_member *member,
                        const char *journal)
{
    char name[] = {member->name, 0};
    char started[24];
    snprintf(started, sizeof started, "%lld", (long long)(demo->began / KF_MILLISECOND));
    const char *arguments[MAX_ARGUMENTS + 16] = {"kf", "demo"};
    int count = 2;
    for (int i = 1; i < demo->argc && count < MAX_ARGUMENTS; i++)
        arguments[count++] = demo->argv[i];
    const char *more[] = {"--member",       name,        "--member-topic", demo->topic,
                          "--member-group", demo->group, "--journal",      journal,
                          "--started-ms",   started};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        arguments[count++] = more[i];
    if (demo->bootstrap) {
        arguments[count++] = "-b";
        arguments[count++] = demo->bootstrap;
    }
    /* exec takes char *const[] for historical reasons and changes nothing. */
    char *vector[MAX_ARGUMENTS + 16];
    memcpy(vector, arguments, sizeof vector);
    execv("/proc/self/exe", vector);
    execvp("kf", vector); /* where there is no /proc */
    _exit(KF__EXIT_PARTLY);
}

/* In the child: stdin is the pipe, what it says goes to its log. */
static void become_member(const struct kf__demo *demo, const struct kf__demo_member *member,
                          int pipe_end, const char *journal)
{
    char log[KF__DEMO_PATH_BYTES + 20];
    path_of(demo, member, "log", log);
    int fd = open(log, O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (fd < 0 || dup2(pipe_end, STDIN_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0 ||
        dup2(fd, STDOUT_FILENO) < 0)
        _exit(KF__EXIT_PARTLY);
    exec_member(demo, member, journal);
}

static bool start_member(const struct kf__demo *demo, struct kf__demo_member *member)
{
    char journal[KF__DEMO_PATH_BYTES + 20];
    path_of(demo, member, "journal", journal);
    int ends[2];
    int fd = open(journal, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || pipe(ends))
        return false;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    member->tail.fd = fd;
    member->pipe = ends[1];
    fflush(stdout);
    member->pid = fork();
    if (member->pid == 0)
        become_member(demo, member, ends[0], journal);
    close(ends[0]);
    return member->pid > 0;
}

static void reap(struct kf__demo_member *member, bool wait)
{
    if (member->pid <= 0 || member->ended)
        return;
    pid_t done;
    do
        done = waitpid(member->pid, &member->status, wait ? 0 : WNOHANG);
    while (done < 0 && errno == EINTR);
    member->ended = done == member->pid;
}

/* ---- what they wrote down ---- */

struct taking {
    struct kf__demo_story *story;
    int member;
};

static void take_handled(struct kf__demo_story *story, int member,
                         const struct kf__demo_entry *entry)
{
    uint8_t *times = &story->times[entry->order];
    story->members[member].handled++;
    if (*times == 0) {
        story->handled++;
        story->parts[entry->partition].handled++;
    } else if (*times == 1) {
        story->twice++;
    }
    if (*times < UINT8_MAX)
        (*times)++;
}

static void take_entry(void *context, const struct kf__demo_entry *entry)
{
    const struct taking *taking = context;
    struct kf__demo_story *story = taking->story;
    struct kf__demo_part *part = &story->parts[entry->partition];
    switch (entry->event) {
    case KF__DEMO_HANDLED:
        take_handled(story, taking->member, entry);
        break;
    case KF__DEMO_FAILED:
        part->failures++;
        story->failures++;
        break;
    case KF__DEMO_ASSIGNED:
        part->owner = taking->member;
        break;
    case KF__DEMO_REVOKED:
    case KF__DEMO_LOST:
        if (part->owner == taking->member)
            part->owner = -1;
        break;
    }
}

static void read_journals(struct kf__demo_story *story)
{
    for (int i = 0; i < KF__DEMO_MEMBERS; i++) {
        struct taking taking = {story, i};
        kf__demo_read(&story->members[i].tail, take_entry, &taking);
    }
}

static int owned_by(const struct kf__demo_story *story, int member)
{
    int owned = 0;
    for (int i = 0; i < KF__DEMO_PARTITIONS; i++)
        owned += story->parts[i].owner == member;
    return owned;
}

/* ---- the story ---- */

static bool is_over(const struct kf__demo_story *story)
{
    kf_time limit = story->demo->began + KF__DEMO_SECONDS * KF_SECOND;
    return stop_signal || story->handled >= story->stored || kf_now() >= limit;
}

static void kill_victim(struct kf__demo_story *story)
{
    struct kf__demo_member *victim = &story->members[VICTIM];
    int owned = owned_by(story, VICTIM);
    kill(victim->pid, SIGKILL);
    reap(victim, true);
    read_journals(story);
    victim->killed = true;
    kf__demo_say(story->demo,
                 "member %c killed with SIGKILL: its %d partitions wait, the others go on",
                 victim->name, owned);
    kf__demo_say(story->demo, "(the group gives it up after session.timeout.ms, %d s)",
                 KF__DEMO_SESSION_MS / 1000);
}

/* False: a member ended that nobody asked to. */
static bool are_alive(struct kf__demo_story *story)
{
    for (int i = 0; i < KF__DEMO_MEMBERS; i++) {
        struct kf__demo_member *member = &story->members[i];
        reap(member, false);
        if (member->ended && !member->killed) {
            kf__demo_say(story->demo, "member %c ended by itself: its log is %s/%c.log",
                         member->name, story->demo->folder, member->name);
            return false;
        }
    }
    return true;
}

static void tell_takeover(struct kf__demo_story *story, bool *told)
{
    if (*told || !story->members[VICTIM].killed || owned_by(story, VICTIM) > 0)
        return;
    *told = true;
    kf__demo_say(story->demo, "member A has all %d partitions now, from %c's last commits on",
                 owned_by(story, 0), story->members[VICTIM].name);
}

static void watch(struct kf__demo_story *story)
{
    bool told = false;
    while (!is_over(story) && are_alive(story)) {
        kf_sleep(LOOK_MS * KF_MILLISECOND);
        read_journals(story);
        if (!story->members[VICTIM].killed && story->handled >= story->stored / 2 &&
            owned_by(story, VICTIM) > 0)
            kill_victim(story);
        tell_takeover(story, &told);
        kf__demo_show(story);
    }
}

static void end_members(struct kf__demo_story *story)
{
    kf_time deadline = kf_now() + END_MS * KF_MILLISECOND;
    for (int i = 0; i < KF__DEMO_MEMBERS; i++)
        if (story->members[i].pid > 0 && !story->members[i].ended)
            kill(story->members[i].pid, SIGTERM);
    for (int i = 0; i < KF__DEMO_MEMBERS; i++) {
        struct kf__demo_member *member = &story->members[i];
        while (member->pid > 0 && !member->ended && kf_now() < deadline) {
            kf_sleep(LOOK_MS * KF_MILLISECOND);
            reap(member, false);
        }
        if (member->pid > 0 && !member->ended) {
            kill(member->pid, SIGKILL);
            reap(member, true);
        }
        close(member->pipe);
    }
    read_journals(story);
}

/* ---- beginning and end ---- */

static bool make_folder(struct kf__demo *demo)
{
    const char *base = getenv("TMPDIR");
    int size = snprintf(demo->folder, sizeof demo->folder, "%s/kafiber-demo-XXXXXX",
                        base && *base ? base : "/tmp");
    if (size < (int)sizeof demo->folder && mkdtemp(demo->folder))
        return true;
    fprintf(stderr, "kf demo: %s: %s\n", demo->folder, strerror(errno));
    return false;
}

static void remove_folder(const struct kf__demo *demo, const struct kf__demo_story *story)
{
    static const char *const kinds[] = {"journal", "log"};
    char path[KF__DEMO_PATH_BYTES + 20];
    for (int i = 0; i < KF__DEMO_MEMBERS; i++)
        for (size_t j = 0; j < sizeof kinds / sizeof *kinds; j++) {
            path_of(demo, &story->members[i], kinds[j], path);
            unlink(path);
        }
    rmdir(demo->folder);
}

static bool ended_well(const struct kf__demo_story *story)
{
    bool good = story->stored == KF__DEMO_ORDERS && story->handled == story->stored &&
                story->members[VICTIM].killed;
    for (int i = 0; i < KF__DEMO_MEMBERS; i++)
        good &=
            story->members[i].killed || (story->members[i].ended && story->members[i].status == 0);
    return good;
}

static int tell_story(struct kf__demo *demo, struct kf__demo_story *story)
{
    int64_t stored[KF__DEMO_PARTITIONS];
    int code = kf__demo_produce(demo, stored);
    if (code != KF__GO_ON)
        return code;
    for (int i = 0; i < KF__DEMO_PARTITIONS; i++) {
        story->parts[i] = (struct kf__demo_part){.orders = stored[i], .owner = -1};
        story->stored += stored[i];
    }
    kf__demo_say(demo, "100,000 orders produced to a topic of %d partitions, by customer",
                 KF__DEMO_PARTITIONS);
    bool started = true;
    for (int i = 0; i < KF__DEMO_MEMBERS; i++)
        started &= start_member(demo, &story->members[i]);
    kf__demo_say(demo, "members A (pid %d) and B (pid %d) of one group started",
                 (int)story->members[0].pid, (int)story->members[1].pid);
    if (started)
        watch(story);
    end_members(story);
    kf__demo_show_account(story);
    if (stop_signal)
        return KF__EXIT_SIGNAL + stop_signal;
    return started && ended_well(story) ? KF__EXIT_DONE : KF__EXIT_PARTLY;
}

static int run(struct kf__demo *demo)
{
    struct kf__demo_story *story = calloc(1, sizeof *story);
    uint8_t *times = calloc(KF__DEMO_ORDERS, 1);
    int code = KF__EXIT_PARTLY;
    if (story && times && make_folder(demo)) {
        story->demo = demo;
        story->times = times;
        for (int i = 0; i < KF__DEMO_MEMBERS; i++)
            story->members[i].name = (char)('A' + i);
        demo->began = kf_now();
        kf__demo_show_begin(demo);
        code = kf__demo_open_cluster(demo);
        if (code == KF__GO_ON) {
            code = tell_story(demo, story);
            kf__demo_close_cluster(demo);
        }
        if (code == KF__EXIT_PARTLY)
            fprintf(stderr, "kf demo: journals and logs are kept in %s\n", demo->folder);
        else
            remove_folder(demo, story);
    }
    free(times);
    free(story);
    return kf__finish(&demo->command, code);
}

static bool names_a_cluster(int argc, char **argv)
{
    static const char *const names[] = {"-b", "-F", "--bootstrap-servers", "--file"};
    for (int i = 1; i < argc; i++)
        for (size_t j = 0; j < sizeof names / sizeof *names; j++)
            if (strncmp(argv[i], names[j], strlen(names[j])) == 0)
                return true;
    return false;
}

int kf__verb_demo(int argc, char **argv)
{
    struct kf__demo demo = {
        .command = {.verb = "demo",
                    .usage = usage,
                    .options = options,
                    .option_count = sizeof options / sizeof *options},
        .argc = argc,
        .argv = argv,
        .real_cluster = names_a_cluster(argc, argv),
    };
    int code = kf__command_read(&demo.command, argc, argv, &demo);
    if (code == KF__GO_ON && demo.command.arguments.count)
        code = kf__usage_error(&demo.command, "it takes no argument");
    if (code == KF__GO_ON && demo.member) {
        code = kf__demo_run_member(&demo);
    } else if (code == KF__GO_ON) {
        kf__catch_signals(note_signal);
        code = run(&demo);
    }
    kf__command_free(&demo.command);
    return code;
}
