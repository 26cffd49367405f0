"""What a Python client goes through: the course of course/course.go, step by step.

run(client, prefix) takes a client with the methods that the steps below call. One that blocks has
plain methods; a member runs in the background and tells what it does to a Ledger.
"""
import sys
import threading
import time
from collections import namedtuple

Record = namedtuple("Record", "partition offset key value header")
LATE = 40


class Ledger:
    """Who holds which partition, and what was handled by whom."""

    def __init__(self):
        self.lock = threading.Lock()
        self.held, self.seen, self.wrong = {}, {}, None

    def assigned(self, name, partition):
        with self.lock:
            by = self.held.get(partition)
            if by:
                self.wrong = self.wrong or f"{name} got partition {partition}, which {by} holds"
            self.held[partition] = name

    def revoked(self, name, partition):
        with self.lock:
            if self.held.get(partition) == name:
                del self.held[partition]

    def handled(self, name, record):
        with self.lock:
            self.seen.setdefault(name, set()).add(record)

    def holds(self, name):
        with self.lock:
            return sorted(p for p, by in self.held.items() if by == name)

    def records(self, *names):
        with self.lock:
            return sorted(set().union(*(self.seen.get(name, set()) for name in names)))


def some(partitions, count, first, what):
    """count records for each partition, whose offsets begin at first."""
    return [Record(p, first + i, f"key-{what}-{p}-{i}", f"value-{what}-{p}-{i}", f"{what}-{p}-{i}")
            for i in range(count) for p in range(partitions)]


def ends(partitions, at):
    return [Record(p, at, "end", "end", "end") for p in range(partitions)]


# ---- failing ------------------------------------------------------------------------------------

def fail(text):
    print("FAILED", text, flush=True)
    sys.exit(1)


def same(what, wanted, got):
    if wanted != got:
        fail(f"{what}: wanted {wanted}, got {got}")


def eventually(what, wanted, get):
    """What brokers do in their own time; get may also raise meanwhile."""
    deadline = time.monotonic() + LATE
    while True:
        try:
            got = get()
        except Exception as error:
            got = error
        if got == wanted:
            return
        if time.monotonic() > deadline:
            fail(f"{what}: wanted {wanted}, got {got!r}")
        time.sleep(0.05)


# ---- the steps ----------------------------------------------------------------------------------

def run(client, prefix):
    produce_and_consume(client, prefix + "-records")
    group(client, prefix + "-group")
    rebalance(client, prefix + "-rebalance")
    transaction(client, prefix + "-transaction")
    admin(client, prefix + "-admin")


def create(client, topic, partitions):
    client.create(topic, partitions, 3, {})
    eventually("partitions of " + topic, (partitions, 3), lambda: client.describe(topic))


def produce_and_consume(client, topic):
    create(client, topic, 3)
    wanted = []
    for i, codec in enumerate(client.codecs):
        records = some(3, 20, 20 * i, codec)
        client.produce(topic, codec, records)
        wanted += records
    end = 20 * len(client.codecs)
    client.produce(topic, "none", ends(3, end))
    for p in range(3):
        same("offsets", (0, end + 1), client.offsets(topic, p))
    print("produce", *client.codecs)
    got = client.read(topic, 3, False)
    same("records", sorted(wanted + ends(3, end)), sorted(got))
    print("consume", len(got))


def group(client, name):
    create(client, name, 3)
    for turn in range(2):
        wanted = some(3, 50, 50 * turn, f"round{turn}")
        client.produce(name, "none", wanted)
        ledger = Ledger()
        leave = client.join(name, name, ledger, "a")
        eventually("150 records", True, lambda: len(ledger.records("a")) >= 150)
        leave()
        same("records", sorted(wanted), ledger.records("a"))
        for p in range(3):
            same("committed", 50 * (turn + 1), client.committed(name, name, p))
    print("group 300")


def rebalance(client, name):
    create(client, name, 6)
    ledger = Ledger()
    leave_a = client.join(name, name, ledger, "a")
    eventually("a alone", [0, 1, 2, 3, 4, 5], lambda: ledger.holds("a"))
    leave_b = client.join(name, name, ledger, "b")
    eventually("three each", (3, 3), lambda: (len(ledger.holds("a")), len(ledger.holds("b"))))
    both = some(6, 10, 0, "both")
    client.produce(name, "none", both)
    eventually("60 records", True, lambda: len(ledger.records("a", "b")) >= 60)
    same("records", sorted(both), ledger.records("a", "b"))
    same("records of a and of b", (30, 30), (len(ledger.records("a")), len(ledger.records("b"))))
    same("partitions held twice", None, ledger.wrong)

    leave_a()
    eventually("b alone", [0, 1, 2, 3, 4, 5], lambda: ledger.holds("b"))
    alone = some(6, 10, 10, "alone")
    client.produce(name, "none", alone)
    eventually("120 records", True, lambda: len(ledger.records("a", "b")) >= 120)
    same("the group", ("Stable", 1), client.describe_group(name))
    leave_b()
    same("records", sorted(both + alone), ledger.records("a", "b"))
    same("partitions held twice", None, ledger.wrong)
    print("rebalance 120")


def transaction(client, name):
    create(client, name + "-in", 1)
    client.produce(name + "-in", "none", some(1, 7, 0, "in"))
    create(client, name, 2)
    aborted, committed = some(2, 5, 0, "aborted"), some(2, 5, 6, "committed")
    client.transact(name, name, name + "-in", name, aborted, False)
    same("committed by an aborted transaction", -1, client.committed(name, name + "-in", 0))
    client.transact(name, name, name + "-in", name, committed, True)
    client.produce(name, "none", ends(2, 12))  # markers are at 5 and 11
    eventually("committed by a transaction", 7, lambda: client.committed(name, name + "-in", 0))
    same("read committed", sorted(committed + ends(2, 12)), sorted(client.read(name, 2, True)))
    same("read uncommitted", sorted(aborted + committed + ends(2, 12)),
         sorted(client.read(name, 2, False)))
    print("transaction 10 of 20")


def admin(client, topic):
    client.create(topic, 4, 3, {"retention.ms": "600000"})
    eventually("partitions and replicas", (4, 3), lambda: client.describe(topic))
    eventually("listed", True, lambda: topic in client.topics())
    eventually("config", "600000", lambda: client.config(topic, "retention.ms"))
    client.alter(topic, "retention.ms", "700000")
    eventually("config", "700000", lambda: client.config(topic, "retention.ms"))
    client.add_partitions(topic, 6)
    eventually("partitions", (6, 3), lambda: client.describe(topic))
    done = ["topics", "configs", "partitions"]

    client.produce(topic, "none", some(1, 10, 0, "admin"))
    same("offsets", (0, 10), client.offsets(topic, 0))
    client.delete_records(topic, 0, 4)
    eventually("offsets", (4, 10), lambda: client.offsets(topic, 0))
    done += ["records"] + groups(client, topic)
    client.delete(topic)
    eventually("listed", False, lambda: topic in client.topics())
    print("admin", *done)


def groups(client, name):
    done = ["groups"]
    ledger = Ledger()
    leave = client.join(name, name, ledger, "a")
    eventually("6 records", 6, lambda: len(ledger.records("a")))
    leave()
    eventually("groups", True, lambda: name in client.groups())
    eventually("the group", ("Empty", 0), lambda: client.describe_group(name))
    same("committed", 10, client.committed(name, name, 0))
    if hasattr(client, "alter_offset"):
        client.alter_offset(name, name, 0, 5)
        same("committed", 5, client.committed(name, name, 0))
        done.append("offsets")
    if hasattr(client, "delete_group"):
        client.delete_group(name)
        eventually("groups", False, lambda: name in client.groups())
        done.append("deleted")
    return done
