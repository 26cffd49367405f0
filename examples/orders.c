/*
 * orders: a group member that charges orders at least once and counts
 * metrics at most once. docs/getting-started.md walks through it.
 *
 *     orders client.properties ledger.txt
 *
 * It ends cleanly on SIGTERM or Ctrl-C: handlers finish, offsets are
 * committed, the group is left.
 */
#include <kafiber/kafiber.h>

#include <stdatomic.h>
#include <stdio.h>

/* Orders of several partitions are charged at the same time: what they share must stand that. */
struct bank {
    FILE *ledger;
};

static bool bank_charge(struct bank *bank, const kf_message *order)
{
    int size = order->value.data ? (int)order->value.size : 0;
    const char *text = order->value.data ? (const char *)order->value.data : "";
    return fprintf(bank->ledger, "%s-%d@%lld %.*s\n", order->topic, order->partition,
                   (long long)order->offset, size, text) > 0 &&
           fflush(bank->ledger) == 0;
}

/* At least once: an order whose handler failed is tried again, with back-off, and not skipped. */
static kf_verdict charge(const kf_message *order, void *context)
{
    struct bank *bank = context;
    if (!bank_charge(bank, order))
        return kf_fail(order, "the ledger can't be written");
    return KF_HANDLED;
}

/* At most once: never seen twice, lost where this process dies in between. */
static kf_verdict count(const kf_message *metric, void *context)
{
    (void)metric;
    atomic_ullong *counted = context;
    atomic_fetch_add(counted, 1);
    return KF_HANDLED;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: orders CLIENT.PROPERTIES LEDGER\n");
        return 2;
    }
    struct bank bank = {.ledger = fopen(argv[2], "a")};
    if (!bank.ledger) {
        perror(argv[2]);
        return 1;
    }
    atomic_ullong counted = 0;

    kf_error error = KF_ERROR_INIT;
    kf_runtime *runtime = kf_runtime_open(argv[1], &error);

    kf_runtime_handle(runtime, "orders", KF_AT_LEAST_ONCE, charge, &bank);
    kf_runtime_handle(runtime, "metrics", KF_AT_MOST_ONCE, count, &counted);

    kf_runtime_run(runtime, &error); /* until SIGTERM, or an error no retry cures */
    kf_runtime_close(runtime);

    fprintf(stderr, "%llu metrics counted\n", atomic_load(&counted));
    fclose(bank.ledger);
    return kf_error_print(&error, stderr);
}
