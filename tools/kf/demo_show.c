/*
 * demo_show: how the demo looks. On a terminal a table that is redrawn in
 * place under the lines that stay; elsewhere lines only. Colours unless
 * NO_COLOR says no, blocks where the locale can show them.
 */
#include "tools/kf/demo.h"

#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    BAR_CELLS = 30,
    TABLE_COLUMNS = 80, /* narrower terminals get lines */
    LINE_EVERY_MS = 1000,
    REDRAW_EVERY_MS = 100,
};

static struct {
    bool terminal;
    bool colour;
    bool blocks;
    int table_lines; /* on the screen, under the lines that stay */
    kf_time shown;
} screen;

/* ---- pieces ---- */

enum colour {
    PLAIN = 0,
    BOLD = 1,
    DIM = 2,
    RED = 31,
    GREEN = 32,
    YELLOW = 33,
    CYAN = 36,
};

static void paint(enum colour colour)
{
    if (screen.colour)
        printf("\033[%dm", (int)colour);
}

static void print_in(enum colour colour, const char *text)
{
    paint(colour);
    fputs(text, stdout);
    paint(PLAIN);
}

static enum colour colour_of(int member) { return member == 0 ? CYAN : YELLOW; }

/* "12,345" */
static const char *grouped(int64_t number, char text[32])
{
    char digits[24];
    int size = snprintf(digits, sizeof digits, "%lld", (long long)number);
    char *to = text;
    for (int i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = 0;
    return text;
}

static double seconds(const struct kf__demo *demo)
{
    return (double)(kf_now() - demo->began) / (double)KF_SECOND;
}

static void erase_table(void)
{
    if (screen.table_lines)
        printf("\033[%dA\033[J", screen.table_lines);
    screen.table_lines = 0;
}

static void end_table_line(void)
{
    putchar('\n');
    screen.table_lines++;
}

/* ---- lines that stay ---- */

static int columns(void)
{
#ifdef TIOCGWINSZ
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
        return size.ws_col;
#endif
    return TABLE_COLUMNS;
}

void kf__demo_show_begin(const struct kf__demo *demo)
{
    setlocale(LC_CTYPE, "");
    screen.terminal = isatty(STDOUT_FILENO) && columns() >= TABLE_COLUMNS;
    const char *no_colour = getenv("NO_COLOR");
    screen.colour = isatty(STDOUT_FILENO) && !(no_colour && *no_colour);
    screen.blocks = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    putchar('\n');
    print_in(BOLD, "  kafiber: a Kafka group member with one fiber per partition, at least once\n");
    print_in(DIM, demo->real_cluster ? "  on your cluster, with a topic of its own\n"
                                     : "  on the embedded broker, in this process\n");
    putchar('\n');
}

void kf__demo_say(const struct kf__demo *demo, const char *format, ...)
{
    erase_table();
    char time[16];
    snprintf(time, sizeof time, "%6.1f s  ", seconds(demo));
    print_in(DIM, time);
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
    screen.shown = 0;
}

/* ---- the table ---- */

static void print_bar(const struct kf__demo_part *part)
{
    int64_t cells = part->orders ? part->handled * BAR_CELLS / part->orders : BAR_CELLS;
    const char *full = screen.blocks ? "█" : "#";
    const char *empty = screen.blocks ? "░" : ".";
    paint(part->owner < 0 ? DIM : colour_of(part->owner));
    for (int i = 0; i < BAR_CELLS; i++)
        fputs(i < cells ? full : empty, stdout);
    paint(PLAIN);
}

static void print_part(const struct kf__demo_story *story, int index)
{
    const struct kf__demo_part *part = &story->parts[index];
    bool orphan = part->owner >= 0 && story->members[part->owner].killed;
    char handled[32], orders[32];
    printf("  %5d      ", index);
    paint(orphan ? RED : part->owner < 0 ? DIM : colour_of(part->owner));
    printf("%-7s", part->owner < 0 ? "-" : orphan ? "B dead" : part->owner == 0 ? "A" : "B");
    paint(PLAIN);
    print_bar(part);
    printf("  %7s of %7s  %6lld", grouped(part->handled, handled), grouped(part->orders, orders),
           (long long)part->failures);
    end_table_line();
}

static void print_table(const struct kf__demo_story *story)
{
    char handled[32], stored[32];
    erase_table();
    end_table_line();
    print_in(DIM, "  partition  owner  ");
    printf("%-*s", BAR_CELLS, "");
    print_in(DIM, "   orders handled    failures");
    end_table_line();
    for (int i = 0; i < KF__DEMO_PARTITIONS; i++)
        print_part(story, i);
    end_table_line();
    printf("  %s of %s orders handled, %lld failures tried again", grouped(story->handled, handled),
           grouped(story->stored, stored), (long long)story->failures);
    end_table_line();
}

static void print_line(const struct kf__demo_story *story)
{
    char handled[32];
    printf("%6.1f s  %7s orders handled, %lld failures tried again; ", seconds(story->demo),
           grouped(story->handled, handled), (long long)story->failures);
    for (int i = 0; i < KF__DEMO_MEMBERS; i++) {
        printf("%s%c%s owns", i ? "; " : "", story->members[i].name,
               story->members[i].killed ? " (dead)" : "");
        int owned = 0;
        for (int j = 0; j < KF__DEMO_PARTITIONS; j++)
            if (story->parts[j].owner == i && ++owned)
                printf(" %d", j);
        if (owned == 0)
            printf(" none");
    }
    putchar('\n');
}

void kf__demo_show(const struct kf__demo_story *story)
{
    kf_time now = kf_now();
    kf_time every = (screen.terminal ? REDRAW_EVERY_MS : LINE_EVERY_MS) * KF_MILLISECOND;
    if (now - screen.shown < every)
        return;
    screen.shown = now;
    if (screen.terminal)
        print_table(story);
    else
        print_line(story);
    fflush(stdout);
}

/* ---- the account ---- */

static void print_row(const char *name, int64_t number, enum colour colour, const char *remark)
{
    char text[32];
    printf("    %-16s", name);
    paint(colour);
    printf("%9s", grouped(number, text));
    paint(PLAIN);
    printf("%s%s\n", *remark ? "   " : "", remark);
}

void kf__demo_show_account(const struct kf__demo_story *story)
{
    int64_t lost = story->stored - story->handled;
    screen.shown = 0;
    if (screen.terminal)
        print_table(story);
    printf("\n");
    print_in(BOLD, "  The account, from the members' journals\n");
    print_row("orders stored", story->stored, BOLD, "acknowledged by the broker, acks=all");
    print_row("handled", story->handled, BOLD, "");
    print_row("lost", lost, lost ? RED : GREEN, lost ? "not handled when the demo ended" : "");
    print_row("handled twice", story->twice, BOLD,
              story->twice ? "what the killed member had done, but not committed yet" : "");
    print_row("failed, retried", story->failures, BOLD, "not one of them skipped");
    for (int i = 0; i < KF__DEMO_MEMBERS; i++) {
        const struct kf__demo_member *member = &story->members[i];
        char name[] = "  by member ?";
        name[sizeof name - 2] = member->name;
        print_row(name, member->handled, PLAIN,
                  member->killed                         ? "killed with SIGKILL"
                  : member->ended && member->status == 0 ? "drained, committed, left: exit 0"
                                                         : "did not end cleanly");
    }
    printf("\n  %.1f s\n\n", seconds(story->demo));
    fflush(stdout);
}
